"""The hook: who gets in, what is made of it, and that nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from local.fakes.forge import MemoryForge
from local.fakes.queues import MemoryQueues
from local.github import Repository, webhooks
from shared.azure.storage.retries import ENDPOINT_RETRIES
from shared.deploy.plan_comment.request import is_plan_request
from shared.deploy.webhook import intake
from shared.deploy.webhook.access import find_access_problems
from shared.deploy.webhook.event import Accept, DeployTarget
from shared.deploy.webhook.signature import MAX_BODY_BYTES
from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.kernel.group_commit import PUT_TIMEOUT, GroupCommit
from shared.kernel.storage_limits import MAX_MESSAGE_BYTES

SECRET, OLDER = "the-newer-secret", "the-one-that-goes"
FORM = "application/x-www-form-urlencoded"
TARGETS = (DeployTarget("acme/chat", "main", "production"),)


@pytest.fixture
def queues() -> MemoryQueues:
    return MemoryQueues()


@pytest.fixture
def hook(queues: MemoryQueues) -> intake.WebhookIntake:
    return intake.WebhookIntake((SECRET, OLDER), TARGETS, intake.make_group_commit(queues))


@pytest.fixture(scope="module")
def merged() -> dict:
    repository = Repository("acme/chat")
    repository.commit({"values.yaml": b"a: 1\n"})
    repository.branch("topic")
    repository.commit({"values.yaml": b"a: 2\n"}, branch="topic")
    pull = repository.open_pull("topic")
    repository.merge(pull)
    return webhooks.pull_request(repository, pull, "https://github.example")


def knock(
    hook: intake.WebhookIntake, event: str, payload: dict, secret: str = SECRET, **more
) -> intake.WebhookAnswer:
    body = webhooks.encode_payload(payload)
    headers = {**webhooks.delivery_headers(event, body, secret), **more}
    return asyncio.run(intake.receive_delivery(hook, headers, body))


def test_an_open_pull_request_is_put_on_the_queue_by_its_number(queues) -> None:
    repository = Repository("acme/chat")
    repository.commit({"values.yaml": b"a: 1\n"})
    repository.branch("topic")
    pull = repository.open_pull("topic")
    targets = (DeployTarget("acme/chat", "main", "production", "branches"),)
    hook = intake.WebhookIntake((SECRET,), targets, intake.make_group_commit(queues))
    payload = webhooks.pull_request(repository, pull, "https://github.example", "opened")
    assert knock(hook, "pull_request", payload).status == 202
    (told,) = intake.parse_message(queues.take(intake.QUEUE))
    assert (told["plan"], told["repository"]) == (pull.number, "acme/chat")
    assert is_plan_request(told)
    assert knock(hook, "pull_request", payload, "not-the-secret").status == 401


@pytest.mark.parametrize("secret", [SECRET, OLDER], ids=["newer", "older"])
def test_a_merge_signed_with_either_secret_is_put_on_the_queue(hook, queues, merged, secret) -> None:
    answer = knock(hook, "pull_request", merged, secret)
    assert answer.status == 202
    (asked,) = intake.parse_message(queues.take(intake.QUEUE))
    assert asked["sha"] == merged["pull_request"]["merge_commit_sha"]
    assert (asked["repository"], asked["environment"]) == ("acme/chat", "production")
    assert set(asked) == {"repository", "sha", "environment", "pull", "delivery"}


def knock_with_form(hook: intake.WebhookIntake, event: str, body: bytes, content_type: str = FORM):
    headers = webhooks.delivery_headers(event, body, SECRET, content_type=content_type)
    return asyncio.run(intake.receive_delivery(hook, headers, body))


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), f"{FORM}; charset=utf-8"])
def test_a_merge_sent_as_a_form_which_is_githubs_default_is_put_on_the_queue(
    hook, queues, merged, content_type
) -> None:
    title = {"title": "Grüße & more = 100 % + \u2028 🚀"}
    payload = {**merged, "pull_request": {**merged["pull_request"], **title}}
    assert knock_with_form(hook, "pull_request", webhooks.encode_form(payload), content_type).status == 202
    (asked,) = intake.parse_message(queues.take(intake.QUEUE))
    assert asked["sha"] == merged["pull_request"]["merge_commit_sha"]


@pytest.mark.parametrize(
    "body",
    [b"", b"payload", b"payload=", b"other=1", b"payload=%7B%7D&payload=%7B%7D", b"payload=%zz", b"&" * 99],
)
def test_a_form_without_one_payload_is_malformed(hook, queues, body) -> None:
    assert knock_with_form(hook, "pull_request", body).status == 400
    assert queues.length(intake.QUEUE) == 0


def test_a_form_is_only_read_as_one_where_it_says_so(hook, merged) -> None:
    assert (
        knock_with_form(hook, "pull_request", webhooks.encode_form(merged), "application/json").status == 400
    )
    assert knock_with_form(hook, "pull_request", webhooks.encode_payload(merged)).status == 400


def test_a_push_of_as_many_commits_as_github_sends_is_taken(hook, queues) -> None:
    repository = Repository("acme/chat")
    before, after = repository.commit({"a": b"1"}), repository.commit({"a": b"2"})
    push = webhooks.push_event(repository, "main", before, after, "https://github.example")
    commit = {"id": "a" * 40, "message": "m" * 1500, "added": [f"folder/file-{n}" for n in range(30)]}
    body = webhooks.encode_payload({**push, "commits": [commit] * 2048})
    assert len(body) > 3 << 20
    for content_type, data in (("application/json", body), (FORM, b"payload=" + quote(body).encode())):
        assert knock_with_form(hook, "push", data, content_type).status == 202
        assert queues.take(intake.QUEUE)


# A ping


def ping(**hook) -> dict:
    payload = webhooks.ping_event(Repository("acme/chat"), "https://github.example")
    return {**payload, "hook": {**payload["hook"], **hook}}


def with_access(queues, find_access_problems) -> intake.WebhookIntake:
    return intake.WebhookIntake((SECRET,), TARGETS, intake.make_group_commit(queues), find_access_problems)


@pytest.mark.parametrize("form", [False, True], ids=["JSON", "form"])
def test_a_ping_of_a_webhook_that_fits_says_what_is_deployed_where(hook, queues, form) -> None:
    body = webhooks.encode_form(ping()) if form else webhooks.encode_payload(ping())
    answer = knock_with_form(hook, "ping", body, FORM if form else "application/json")
    assert answer.status == 202
    for word in ("acme/chat", "branch main", "environment production"):
        assert word in answer.text
    assert queues.length(intake.QUEUE) == 0


def test_a_ping_of_another_repository_is_refused_and_names_ours(hook) -> None:
    payload = webhooks.ping_event(Repository("eve/chat"), "https://github.example")
    answer = knock(hook, "ping", payload)
    assert (answer.status, "eve/chat is not deployed" in answer.text, "acme/chat" in answer.text) == (
        403, True, True,
    )  # fmt: skip


def test_a_ping_of_a_webhook_that_sends_no_pull_requests_is_refused(hook) -> None:
    answer = knock(hook, "ping", ping(events=["push"]))
    assert (answer.status, "Pull requests" in answer.text) == (422, True)
    assert knock(hook, "ping", ping(events=["*"])).status == 202


def test_a_ping_says_what_the_app_may_not_read(queues) -> None:
    hook = with_access(queues, lambda target: [f"branch {target.branch} not found"])
    answer = knock(hook, "ping", ping())
    assert (answer.status, answer.text.endswith("branch main not found")) == (422, True)


def test_a_ping_is_answered_where_github_cannot_be_asked(queues) -> None:
    def refuse(_target) -> list[str]:
        raise Unavailable("GitHub does not answer")

    answer = knock(with_access(queues, refuse), "ping", ping())
    assert (answer.status, "rights are unknown" in answer.text) == (202, True)


def test_only_a_signed_ping_is_answered(hook) -> None:
    assert knock(hook, "ping", ping(), "wrong").status == 401


def access_problems(repository: Repository) -> list[str]:
    return find_access_problems(MemoryForge(repository), TARGETS[0])


def test_access_is_asked_of_everything_that_a_deploy_reads() -> None:
    repository = Repository("acme/chat")
    repository.commit({"a": b"1"})
    assert access_problems(repository) == ["environment production does not exist"]
    repository.environment("production")
    assert access_problems(repository) == []
    empty = Repository("acme/chat")
    empty.environment("production")
    assert "branch main not found" in access_problems(empty)[0]


class Guarded(MemoryForge):
    """That fails to answer one question."""

    def __init__(self, repository: Repository, question: str, error: GroundcrewError) -> None:
        super().__init__(repository)
        self._question, self._error = question, error

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name == self._question:
            raise self._error
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("get_branch_tip", "branch main"),
        ("get_branch_protection", "branch protection"),
        ("list_pull_requests_of", "pull requests"),
        ("list_checks", "checks"),
        ("list_deployments", "deployments"),
        ("get_environment", "environments"),
    ],
)
def test_a_right_that_is_missing_is_named_with_its_cure(question: str, name: str) -> None:
    repository = Repository("acme/chat")
    repository.commit({"a": b"1"})
    repository.environment("production")
    for error, problem in (
        (Refused("GitHub: not allowed", hint="Grant checks=read"), f"{name}: Grant checks=read"),
        (Refused("GitHub: not allowed"), f"{name}: GitHub: not allowed"),
        (NotFound("HTTP 404"), f"{name} not found, or not visible to the app"),
    ):
        problems = find_access_problems(Guarded(repository, question, error), TARGETS[0])
        # The fake looks for the tip where the protection is asked for, too.
        assert [one for one in problems if one.startswith(name)] == [problem]


def test_without_a_secret_the_endpoint_is_closed_to_everybody(queues, merged) -> None:
    for secrets in ((), ("",)):
        hook = intake.WebhookIntake(secrets, TARGETS, intake.make_group_commit(queues))
        for signed in (SECRET, ""):
            assert knock(hook, "pull_request", merged, signed).status == 503
    assert queues.length(intake.QUEUE) == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"action": "opened"}, 202, id="opened"),
        pytest.param({"action": "closed", "merged": False}, 202, id="closed without a merge"),
        pytest.param({"repository": "eve/chat"}, 403, id="another repository"),
        pytest.param({"branch": "other"}, 202, id="another branch"),
        pytest.param({"sha": "HEAD"}, 400, id="no commit"),
        pytest.param({"sha": "../../etc"}, 400, id="a path for a commit"),
    ],
)
def test_what_is_no_merge_of_ours_puts_nothing_on_the_queue(hook, queues, merged, change, status) -> None:
    payload = json.loads(json.dumps(merged))
    payload["action"] = change.get("action", "closed")
    pull = payload["pull_request"]
    pull["merged"] = change.get("merged", True)
    pull["base"]["ref"] = change.get("branch", "main")
    pull["merge_commit_sha"] = change.get("sha", pull["merge_commit_sha"])
    payload["repository"]["full_name"] = change.get("repository", "acme/chat")
    assert knock(hook, "pull_request", payload).status == status
    assert queues.length(intake.QUEUE) == 0


def test_a_ping_is_answered_and_a_push_is_passed_on_without_a_pull_request(hook, queues, merged) -> None:
    assert knock(hook, "ping", {"zen": "x"}).status == 202
    repository = Repository("acme/chat")
    before = repository.commit({"a": b"1"})
    after = repository.commit({"a": b"2"})
    push = webhooks.push_event(repository, "main", before, after, "https://github.example")
    assert knock(hook, "push", push).status == 202
    (asked,) = intake.parse_message(queues.take(intake.QUEUE))
    assert (asked["sha"], asked["pull"]) == (after, 0)
    assert knock(hook, "push", {**push, "forced": True}).status == 403
    assert knock(hook, "push", {**push, "deleted": True, "after": "0" * 40}).status == 202
    assert queues.length(intake.QUEUE) == 0


def test_a_body_above_the_cap_is_turned_away_before_it_is_hashed_or_parsed(hook, merged) -> None:
    for told in (str(MAX_BODY_BYTES + 1), "9" * 40):
        assert knock(hook, "pull_request", merged, **{"Content-Length": told}).status == 413
    body = b" " * (MAX_BODY_BYTES + 1)
    headers = webhooks.delivery_headers("pull_request", body, SECRET)
    assert asyncio.run(intake.receive_delivery(hook, headers, body)).status == 413


@pytest.mark.parametrize(
    "told", ["5", str(MAX_BODY_BYTES), "0" * 17 + "5", "-1", "1e99", "", "\u0665" * 9, "\u00b2" * 9]
)
def test_what_a_sender_says_of_the_length_turns_away_only_what_is_too_long(hook, merged, told) -> None:
    assert knock(hook, "pull_request", merged, **{"Content-Length": told}).status == 202


def test_a_queue_that_takes_nothing_is_told_as_a_failure(merged) -> None:
    def refuse(_items) -> None:
        raise Unavailable("the queue does not answer")

    hook = intake.WebhookIntake((SECRET,), TARGETS, GroupCommit(refuse))
    assert knock(hook, "pull_request", merged).status == 503


def test_ten_thousand_fuzzed_webhooks_and_none_is_accepted(hook, queues, merged) -> None:
    dice, body = random.Random(20261123), webhooks.encode_payload(merged)
    good = webhooks.delivery_headers("pull_request", body, SECRET)
    for number in range(10_000):
        headers, fuzzed = dict(good), body
        match number % 6:
            case 0:  # one bit of the body, anywhere
                at = dice.randrange(len(body))
                fuzzed = body[:at] + bytes([body[at] ^ (1 << dice.randrange(8))]) + body[at + 1 :]
            case 1:  # another secret
                headers = webhooks.delivery_headers("pull_request", body, dice.randbytes(8).hex())
            case 2:  # a cut or a longer body
                cut = dice.randrange(len(body))
                fuzzed = body[:cut] if number % 2 else body + dice.randbytes(1 + cut % 50)
            case 3:  # a signature of another form
                mac = headers["X-Hub-Signature-256"]
                forms = [
                    "",
                    mac.upper(),
                    mac[:-1],
                    mac + "0",
                    mac.removeprefix("sha256="),
                    f" {mac}",
                    f"{mac},{mac}",
                ]
                headers["X-Hub-Signature-256"] = dice.choice(forms)
            case 4:  # only the old kind of signature
                del headers["X-Hub-Signature-256"]
            case 5:  # noise
                fuzzed = dice.randbytes(dice.randrange(300))
        verdict = intake.evaluate_delivery(hook, headers, fuzzed)
        assert not isinstance(verdict, Accept), number
        assert 400 <= verdict.status < 500, (number, verdict)
    assert isinstance(intake.evaluate_delivery(hook, good, body), Accept), (
        "the fuzz must start from what is accepted"
    )
    assert queues.length(intake.QUEUE) == 0


def test_what_comes_together_is_written_together_and_nobody_is_told_before_it_is_stored() -> None:
    written: list[list[str]] = []

    async def crowd() -> None:
        commit = GroupCommit(lambda items: written.append(list(items)), most=10)
        await asyncio.gather(*(commit.put(str(number)) for number in range(25)))
        assert sorted(int(item) for batch in written for item in batch) == list(range(25))

    asyncio.run(crowd())
    assert max(map(len, written)) <= 10
    assert len(written) < 25


def test_those_that_come_a_moment_later_are_written_together_with_the_first() -> None:
    written: list[list[str]] = []

    async def put() -> None:
        commit = GroupCommit(lambda items: written.append(list(items)), linger=timedelta(milliseconds=50))
        first = asyncio.create_task(commit.put("first"))
        for _ in range(5):
            await asyncio.sleep(0)  # the first one's write would have begun
        await asyncio.gather(first, commit.put("later"))

    asyncio.run(put())
    assert written == [["first", "later"]]


def test_a_full_write_waits_for_nobody() -> None:
    written: list[list[str]] = []

    async def put() -> None:
        commit = GroupCommit(lambda items: written.append(list(items)), most=2, linger=timedelta(hours=1))
        await asyncio.gather(commit.put("a"), commit.put("b"))

    asyncio.run(put())
    assert written == [["a", "b"]]


def test_of_what_is_written_together_a_failure_is_everybodys() -> None:
    def refuse(_items) -> None:
        raise Unavailable("no")

    async def crowd() -> list[object]:
        commit = GroupCommit(refuse)
        return await asyncio.gather(*(commit.put("x") for _ in range(5)), return_exceptions=True)

    assert all(isinstance(one, Unavailable) for one in asyncio.run(crowd()))


def test_storage_that_hangs_is_told_as_a_failure_and_what_was_refused_is_not_written_later(merged) -> None:
    written: list[list[str]] = []
    back = threading.Event()

    def hang(items) -> None:
        assert back.wait(60)
        written.append(list(items))

    async def deliver() -> list[int]:
        commit = GroupCommit(hang, timeout=timedelta(milliseconds=50))
        hook = intake.WebhookIntake((SECRET,), TARGETS, commit)
        body = webhooks.encode_payload(merged)
        headers = webhooks.delivery_headers("pull_request", body, SECRET)
        try:
            async with asyncio.timeout(60):
                # Of the first the write is under way, the second waits behind it.
                answers = [await intake.receive_delivery(hook, headers, body) for _ in range(2)]
        finally:
            back.set()
        await put_until_stored(commit, "later")
        return [answer.status for answer in answers]

    assert asyncio.run(deliver()) == [503, 503]
    items = [item for batch in written for item in batch]
    assert len(items) - items.count("later") == 1  # the first, whose write went on


async def put_until_stored(commit: GroupCommit, item: str) -> None:
    """However slow the machine is: what waited before it was taken or dropped by then."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Unavailable):
                return await commit.put(item)


def test_a_write_to_the_queue_has_failed_before_github_gives_up() -> None:
    tries = ENDPOINT_RETRIES
    pauses = sum(tries.pause_seconds(number) for number in range(1, tries.attempts))
    assert tries.attempts * tries.read_timeout.total_seconds() + pauses < PUT_TIMEOUT.total_seconds() < 10


def test_requests_that_are_put_together_fit_whatever_their_length(queues) -> None:
    longest = Accept("a" * 39 + "/" + "b" * 100, "0" * 64, "\u00e4" * 128, 10**9, "d" * 64)

    async def crowd() -> None:
        commit = intake.make_group_commit(queues)
        await asyncio.gather(*(commit.put(intake.build_message(longest)) for _ in range(200)))

    asyncio.run(crowd())
    found = 0
    while queues.length(intake.QUEUE):
        found += len(intake.parse_message(queues.take(intake.QUEUE)))
    assert found == 200


@pytest.mark.parametrize(
    ("length", "items", "messages"),
    [
        pytest.param(MAX_MESSAGE_BYTES // 6, 10, 2, id="five fit"),
        pytest.param(MAX_MESSAGE_BYTES // 6, 11, 3, id="one more"),
        pytest.param(MAX_MESSAGE_BYTES // 2 + 1, 2, 2, id="one fits"),
        pytest.param(MAX_MESSAGE_BYTES - 10, 2, 2, id="one fills it"),
    ],
)
def test_as_many_requests_are_put_together_as_fit(queues, length: int, items: int, messages: int) -> None:
    async def crowd() -> None:
        commit = intake.make_group_commit(queues)
        await asyncio.gather(*(commit.put(json.dumps("x" * (length - 2))) for _ in range(items)))

    asyncio.run(crowd())
    bodies = []
    while queues.length(intake.QUEUE):
        bodies.append(queues.take(intake.QUEUE))
    assert len(bodies) == messages
    assert max(map(len, bodies)) <= MAX_MESSAGE_BYTES


def test_a_ping_is_answered_where_github_takes_too_long(queues) -> None:
    def hang(_target: DeployTarget) -> list[str]:
        raise TimeoutError

    answer = knock(with_access(queues, hang), "ping", ping())
    assert (answer.status, answer.text.rpartition(": ")[2]) == (
        202, "GitHub did not answer in time, so rights are unknown",
    )  # fmt: skip
