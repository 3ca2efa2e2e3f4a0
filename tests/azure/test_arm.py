"""What the adapters of Azure make of its errors, its waits and its lost answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiohttp import web
from azure.mgmt.compute import ComputeManagementClient

from local.azure_rm import AzureServer
from local.fakes.clock import ManualClock
from local.server import Served
from shared.adapters.azure_disks import AzureDisks
from shared.adapters.azure_vms import AzureMachines
from shared.azure.arm import compute_client, rest_client
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
def client(server: AzureServer) -> Iterator[ComputeManagementClient]:
    """The real client, as the adapters get it."""
    with compute_client(server.credential(), server.subscription, base_url=server.url) as made:
        yield made


@pytest.fixture
def machines(client: ComputeManagementClient) -> AzureMachines:
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
        machines.states()


def test_a_credential_that_gives_no_token_is_told(server: AzureServer) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    class Empty:
        def get_token(self, *scopes: str, **options: object) -> object:
            raise ClientAuthenticationError(f"no identity for {scopes} {options}")

    with (
        compute_client(Empty(), server.subscription, base_url=server.url) as client,
        pytest.raises(Unavailable, match="no answer"),
    ):
        AzureMachines(client).states()


def test_a_passing_trouble_is_tried_again_without_a_word(
    server: AzureServer, machines: AzureMachines
) -> None:
    server.faults.answer(503, "ServerBusy", times=1)
    server.faults.drop(times=1)
    server.faults.throttle(times=1, retry_after=0)

    assert len(machines.states()) == 1
    assert [one.status for one in server.requests("virtualMachines")] == [503, 0, 429, 200]


def test_a_snapshot_whose_answer_was_lost_is_taken_once(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    server.faults.lose(match="^PUT ")
    disks = AzureDisks(client, poll_every=timedelta(milliseconds=5))

    taken = disks.create_snapshot(server.add_disk("data").id, "data-1", {}, timeout=timedelta(seconds=20))

    assert list(disks.snapshots()) == [taken]
    assert [one.status in (200, 202) for one in server.requests("^PUT ")] == [False, True]


def test_a_start_whose_answer_was_lost_is_not_sent_twice(
    server: AzureServer, machines: AzureMachines
) -> None:
    machine = node(server)
    server.faults.lose(match="/start")

    with pytest.raises(Unavailable):
        machines.begin_start(machine)

    assert len(server.requests("POST")) == 1
    assert machines.state(machine).power in (PowerState.STARTING, PowerState.RUNNING)


def test_a_long_wait_is_left_to_the_next_tick(server: AzureServer, machines: AzureMachines) -> None:
    server.faults.throttle(times=10, retry_after=300)
    before = time.monotonic()

    with pytest.raises(Unavailable, match="Wait 300 seconds"):
        machines.states()

    assert time.monotonic() - before < 5
    assert len(server.requests()) == 1


def test_starting_and_stopping_are_one_request_each(server: AzureServer, machines: AzureMachines) -> None:
    machine = node(server)

    machines.begin_start(machine)

    assert [one.method for one in server.requests()] == ["POST"]


def test_a_group_narrows_what_is_seen(server: AzureServer, client: ComputeManagementClient) -> None:
    server.add_vm("stranger", group="elsewhere")

    narrowed = AzureMachines(client, group="RocketChat")

    assert [machine.name for machine in narrowed.list()] == ["node"]
    assert [state.name for state in narrowed.states().values()] == ["node"]
    disks = AzureDisks(client, group="elsewhere")
    assert [disk.name for disk in disks.list()] == ["stranger-os", "stranger-data0"][::-1]


def test_a_snapshot_that_is_not_done_in_time_is_unavailable() -> None:
    with AzureServer(clock=ManualClock(), delays={"snapshots/write": timedelta(hours=1)}) as server:
        disk = server.add_disk("data")
        with compute_client(server.credential(), server.subscription, base_url=server.url) as client:
            disks = AzureDisks(client, poll_every=timedelta(milliseconds=5))

            with pytest.raises(Unavailable, match="not done in time"):
                disks.create_snapshot(disk.id, "data-1", {}, timeout=timedelta(milliseconds=50))

            assert not next(disks.snapshots()).provisioned


@pytest.mark.parametrize(
    "url", ["http://management.azure.com", "ftp://127.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_a_token_never_travels_without_tls_except_on_this_machine(url: str) -> None:
    for make in (
        lambda: compute_client(object(), "s", base_url=url),
        lambda: rest_client(object(), base_url=url),
    ):
        with pytest.raises(UsageError, match="not https"):
            make()


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
        compute_client(server.credential(), "s", base_url=odd.url) as client,
        pytest.raises(Unavailable),
    ):
        AzureMachines(client).states()
