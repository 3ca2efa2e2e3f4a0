"""What the adapters of Azure make of its errors, its waits and its lost answers."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest
from aiohttp import web

from local.azure_rm import AzureServer
from local.fakes.clock import ManualClock
from local.server import Served
from shared.adapters import azure_disks, azure_vms
from shared.adapters.azure_disks import AzureDisks
from shared.adapters.azure_vms import AzureMachines
from shared.azure.arm import ArmId
from shared.azure.arm_client import ArmClient, connect_arm
from shared.azure.managed_identity import IdentityToken
from shared.cloud.machines import PowerState
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """With a machine and a disk."""
    with AzureServer() as running:
        running.add_vm("node", power="deallocated")
        running.add_disk("data")
        yield running


@pytest.fixture
def client(server: AzureServer) -> Iterator[ArmClient]:
    """As the adapters get it."""
    with connect_arm(server.credential(), server.subscription, base_url=server.url) as made:
        yield made


@pytest.fixture
def machines(client: ArmClient) -> AzureMachines:
    """The adapter."""
    return AzureMachines(client, poll_every=timedelta(milliseconds=5))


def node(server: AzureServer) -> str:
    """The machine's id."""
    return server.add_vm("node", power="deallocated").id


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AuthorizationFailed", Refused),
        (401, "ExpiredAuthenticationToken", Refused),
        (404, "ResourceNotFound", NotFound),
        (404, "ResourceGroupNotFound", NotFound),
        (404, "SubscriptionNotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AnotherOperationInProgress", Conflict),
        (412, "PreconditionFailed", Conflict),
        (409, "OperationNotAllowed", Refused),
        (403, "ScopeLocked", Refused),
        (409, "ScopeLocked", Refused),
        (409, "AllocationFailed", Unavailable),
        (400, "ZonalAllocationFailed", Unavailable),
        (409, "SkuNotAvailable", Refused),
        (429, "TooManyRequests", Unavailable),
        (429, "OperationNotAllowed", Unavailable),
        (400, "InvalidParameter", UsageError),
        (500, "InternalServerError", Unavailable),
        (503, "ServerBusy", Unavailable),
    ],
)
def test_an_answer_of_azure_becomes_one_of_our_errors_with_its_code_as_value(
    server: AzureServer, machines: AzureMachines, status: int, code: str, kind: type[GroundcrewError]
) -> None:
    server.faults.answer(status, code, times=10, match="POST")

    with pytest.raises(GroundcrewError) as caught:
        machines.begin_start(node(server))

    assert type(caught.value) is kind
    assert caught.value.value == code
    assert "node" in caught.value.message
    assert caught.value.__cause__ is not None


def test_a_lost_connection_is_unavailable(server: AzureServer, machines: AzureMachines) -> None:
    server.faults.drop(times=10)

    with pytest.raises(Unavailable):
        machines.list_states()


def test_a_credential_that_gives_no_token_is_told(server: AzureServer) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    class Empty:
        def get_token(self, *scopes: str, **options: object) -> object:
            raise ClientAuthenticationError(f"no identity for {scopes} {options}")

    with (
        connect_arm(Empty(), server.subscription, base_url=server.url) as client,
        pytest.raises(Unavailable, match="no answer"),
    ):
        AzureMachines(client).list_states()


def test_a_passing_trouble_is_tried_again_without_a_word(
    server: AzureServer, machines: AzureMachines
) -> None:
    server.faults.answer(503, "ServerBusy", times=1)
    server.faults.drop(times=1)
    server.faults.throttle(times=1, retry_after=0)

    assert len(machines.list_states()) == 1
    assert [one.status for one in server.requests("virtualMachines")] == [503, 0, 429, 200]


def test_a_snapshot_whose_answer_was_lost_is_taken_once(server: AzureServer, client: ArmClient) -> None:
    server.faults.lose_answer(match="^PUT ")
    disks = AzureDisks(client, poll_every=timedelta(milliseconds=5))

    taken = disks.create_snapshot(server.add_disk("data").id, "data-1", {}, timeout=timedelta(seconds=20))

    assert list(disks.list_snapshots()) == [taken]
    assert [one.status in (200, 202) for one in server.requests("^PUT ")] == [False, True]


def test_a_start_whose_answer_was_lost_is_not_sent_twice(
    server: AzureServer, machines: AzureMachines
) -> None:
    machine = node(server)
    server.faults.lose_answer(match="/start")

    with pytest.raises(Unavailable):
        machines.begin_start(machine)

    assert len(server.requests("POST")) == 1
    assert machines.get_state(machine).power in (PowerState.STARTING, PowerState.RUNNING)


def test_a_long_wait_is_left_to_the_next_tick(server: AzureServer, machines: AzureMachines) -> None:
    server.faults.throttle(times=10, retry_after=300)
    before = time.monotonic()

    with pytest.raises(Unavailable, match="Wait 300 seconds"):
        machines.list_states()

    assert time.monotonic() - before < 5
    assert len(server.requests()) == 1


def test_starting_and_stopping_are_one_request_each(server: AzureServer, machines: AzureMachines) -> None:
    machine = node(server)

    machines.begin_start(machine)

    assert [one.method for one in server.requests()] == ["POST"]


def test_a_group_narrows_what_is_seen(server: AzureServer) -> None:
    server.add_vm("stranger", group="elsewhere")

    narrowed = azure_vms.connect(
        server.credential(), server.subscription, group="RocketChat", base_url=server.url
    )

    assert [machine.name for machine in narrowed.list()] == ["node"]
    assert [state.name for state in narrowed.list_states().values()] == ["node"]
    disks = azure_disks.connect(
        server.credential(), server.subscription, group="elsewhere", base_url=server.url
    )
    assert [disk.name for disk in disks.list()] == ["stranger-os", "stranger-data0"][::-1]


def test_a_snapshot_that_is_not_done_in_time_is_unavailable() -> None:
    with AzureServer(clock=ManualClock(), delays={"snapshots/write": timedelta(hours=1)}) as server:
        disk = server.add_disk("data")
        with connect_arm(server.credential(), server.subscription, base_url=server.url) as client:
            disks = AzureDisks(client, poll_every=timedelta(milliseconds=5))

            with pytest.raises(Unavailable, match="not done in time"):
                disks.create_snapshot(disk.id, "data-1", {}, timeout=timedelta(milliseconds=50))

            assert not next(disks.list_snapshots()).provisioned


@pytest.mark.parametrize(
    "url", ["http://management.azure.com", "ftp://127.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_a_token_never_travels_without_tls_except_on_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="not https"):
        connect_arm(object(), "s", base_url=url)


@pytest.mark.parametrize("script", ["exit 7", "set -e\nfalse\ntrue", "cat <<X\nhello\nX\nexit 7", "if"])
def test_a_script_cannot_keep_its_exit_code_to_itself(
    server: AzureServer, machines: AzureMachines, script: str
) -> None:
    machine = server.add_vm("running")
    server.guest.commands["cat"] = "while read -r line; do echo $line; done"

    result = machines.run_command(machine.id, script, timeout=timedelta(seconds=20))

    expected = {"exit 7": 7, "set -e\nfalse\ntrue": 1, "cat <<X\nhello\nX\nexit 7": 7, "if": None}
    assert result.exit_code == expected[script]


def busy_proxy() -> web.Application:
    """Answers everything in HTML, with a 200."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>busy</html>")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    return application


def test_a_page_that_is_not_json_is_unavailable(server: AzureServer) -> None:
    with (
        Served(busy_proxy) as odd,
        connect_arm(server.credential(), "s", base_url=odd.url) as client,
        pytest.raises(Unavailable),
    ):
        AzureMachines(client).list_states()


def answer_by(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[], web.Application]:
    """A Resource Manager that answers whatever it is asked by this function."""

    def make() -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        return application

    return make


def luring(answer: web.Response) -> Callable[[], web.Application]:
    """A Resource Manager whose every answer is this one."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    return answer_by(handle)


ELSEWHERE = "https://evil.example.org/next"


def test_the_token_is_not_taken_to_another_host_by_the_next_page(server: AzureServer) -> None:
    with (
        Served(luring(web.json_response({"value": [], "nextLink": ELSEWHERE}))) as odd,
        connect_arm(server.credential(), "s", base_url=odd.url) as client,
        pytest.raises(Refused, match=r"evil\.example\.org"),
    ):
        client.list_resources("Microsoft.Compute/disks", "2026-03-02", "List the disks")


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
def test_the_token_is_not_taken_to_another_host_by_a_long_operation(server: AzureServer, header: str) -> None:
    with (
        Served(luring(web.Response(status=202, headers={header: ELSEWHERE}))) as odd,
        connect_arm(server.credential(), "s", base_url=odd.url) as client,
        pytest.raises(Refused, match=r"evil\.example\.org"),
    ):
        AzureMachines(client, poll_every=timedelta(milliseconds=5)).run_command(
            node(server), "true", timeout=timedelta(seconds=60)
        )


def test_a_listing_that_never_ends_is_given_up() -> None:
    pages = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal pages
        pages += 1
        return web.json_response({"value": [], "nextLink": str(request.url)})

    def endless() -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        return application

    with (
        AzureServer() as server,
        Served(endless) as odd,
        connect_arm(server.credential(), "s", base_url=odd.url, most_pages=20) as client,
        pytest.raises(Unavailable, match="does not end"),
    ):
        client.list_resources("Microsoft.Compute/disks", "2026-03-02", "List the disks")
    assert pages == 20


class Tokens:
    """A credential that notes what is asked of it."""

    def __init__(self, lifetime: float = 3600) -> None:
        self.asked: list[object] = []
        self._lifetime = lifetime

    def get_token(self, *_scopes: str, claims: str = "") -> IdentityToken:
        self.asked.append(claims)
        return IdentityToken(f"token{len(self.asked)}", int(time.time() + self._lifetime))


def keeping(seen: list[str], answers: list[web.Response]) -> Callable[[], web.Application]:
    """A Resource Manager that gives these answers in turn, and keeps who asked by which token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.headers['Authorization']}")
        answer = answers[min(len(seen), len(answers)) - 1]
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    return answer_by(handle)


CLAIMS = base64.b64encode(b'{"access_token":{}}').decode().rstrip("=")
CHALLENGE = {"WWW-Authenticate": f'Bearer error="insufficient_claims", claims="{CLAIMS}"'}


def test_a_token_is_kept_and_made_anew_before_it_ends_or_where_the_answer_wants_other_claims() -> None:
    seen: list[str] = []
    answers = [web.json_response({}), web.Response(status=401, headers=CHALLENGE), web.json_response({})]
    tokens, ending = Tokens(), Tokens(lifetime=200)
    machine = ArmId.parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d")
    with Served(keeping(seen, answers)) as odd, connect_arm(tokens, "s", base_url=odd.url) as client:
        for _ in range(3):
            client.get(machine, "2026-03-02", "Read")
        with connect_arm(ending, "s", base_url=odd.url) as other:
            for _ in range(2):
                other.get(machine, "2026-03-02", "Read")
    assert seen[:4] == ["GET Bearer token1", "GET Bearer token1", "GET Bearer token2", "GET Bearer token2"]
    assert tokens.asked == ["", '{"access_token":{}}']
    assert ending.asked == ["", ""]


@pytest.mark.parametrize(
    ("status", "headers", "tries"),
    [
        (401, CHALLENGE, 2),
        (401, {}, 1),
        (502, {}, 1),
        (503, {"Retry-After": "0"}, 4),
        (302, {"Location": "/"}, 1),
    ],
)
def test_an_order_is_sent_again_only_where_it_was_not_taken_up(
    status: int, headers: dict[str, str], tries: int
) -> None:
    seen: list[str] = []
    with (
        Served(keeping(seen, [web.Response(status=status, headers=headers)])) as odd,
        connect_arm(Tokens(), "s", base_url=odd.url) as client,
        pytest.raises(GroundcrewError),
    ):
        AzureMachines(client).begin_start(f"/subscriptions/s/resourceGroups/g/providers/{azure_vms.KIND}/m")
    assert len(seen) == tries
