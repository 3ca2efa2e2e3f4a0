"""The intake of GitHub's events: who may ask, and for what."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from typing import Any

import pytest

from local.github import Repository, webhooks
from shared.deploy.webhook.event import (
    Accept,
    DeployTarget,
    Ignore,
    Ping,
    PlanEvent,
    Reject,
    read_delivery,
    read_event,
)
from shared.deploy.webhook.signature import MAX_BODY_BYTES, SignatureVerdict, find_header, verify_signature

SECRET = "correct horse battery staple"
TARGETS = (
    DeployTarget("acme/chat", "main", "production"),
    DeployTarget("acme/chat", "staging", "staging"),
)
BASE = "https://api.example.org"
MUTATIONS = 10_000


def repository() -> Repository:
    made = Repository("acme/chat")
    made.commit({"Chart.yaml": b"name: chat\n"})
    made.branch("topic")
    made.commit({"values.yaml": b"a: 1\n"}, branch="topic")
    return made


def merge(made: Repository | None = None, *, base: str = "main") -> dict[str, Any]:
    made = made or repository()
    if base not in made.branches:
        made.branch(base)
    pull = made.open_pull("topic", base=base)
    made.merge(pull, by="grace")
    return webhooks.pull_request(made, pull, BASE)


def changed(payload: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    copy = json.loads(json.dumps(payload))
    *parents, last = path.split(".")
    inner = copy
    for name in parents:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return copy


def asked(payload: object, event: str = "pull_request", *, secret: str = SECRET, delivery: str = "d-1"):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return read_delivery(body, webhooks.delivery_headers(event, body, secret, delivery), [SECRET], TARGETS)


def sign(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_githubs_own_example_is_accepted():
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert verify_signature(b"Hello, World!", given, ["It's a Secret to Everybody"]).accepted


@pytest.mark.parametrize(
    ("secrets", "signed_with", "accepted"),
    [
        pytest.param(["new"], "new", True, id="the one"),
        pytest.param(["new", "old"], "old", True, id="the old one during a rotation"),
        pytest.param(["new", "old"], "new", True, id="the new one during a rotation"),
        pytest.param(["new"], "old", False, id="the old one afterwards"),
        pytest.param([], "new", False, id="none is set"),
        pytest.param(["", ""], "", False, id="only empty ones are set"),
        pytest.param(["", "new"], "", False, id="an empty one beside a set one"),
    ],
)
def test_a_signature_is_accepted_under_the_secrets_that_are_valid_now(secrets, signed_with, accepted):
    verdict = verify_signature(b"body", sign(b"body", signed_with), secrets)
    assert verdict.accepted is accepted
    assert bool(verdict.reason) is not accepted


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "sha256=",
        "sha1=" + "0" * 40,
        sign(b"body", SECRET).upper(),
        sign(b"body", SECRET) + "0",
        sign(b"body", SECRET) + "\n",
        sign(b"body", SECRET).removeprefix("sha256="),
        " " + sign(b"body", SECRET),
        sign(b"body", SECRET).replace("=", "=ａ"),
    ],
)
def test_a_malformed_signature_is_refused(given):
    assert not verify_signature(b"body", given, [SECRET]).accepted


def test_headers_are_found_whatever_their_case():
    assert find_header({"x-github-EVENT": "ping"}, "X-GitHub-Event") == "ping"
    assert find_header({}, "X-GitHub-Event") is None


def test_a_merge_is_accepted_with_the_merge_commit_and_not_the_head():
    payload = merge()
    accepted = asked(payload)
    sha = payload["pull_request"]["merge_commit_sha"]
    assert accepted == Accept("acme/chat", sha, "production", payload["number"], "d-1")
    assert sha != payload["pull_request"]["head"]["sha"]


def test_the_base_branch_chooses_the_environment():
    accepted = asked(merge(base="staging"))
    assert isinstance(accepted, Accept)
    assert accepted.environment == "staging"


def test_a_push_is_accepted_without_a_pull_request_yet():
    made = repository()
    before, after = made.branches["main"], made.commit({"a": b"1"})
    accepted = asked(webhooks.push_event(made, "main", before, after, BASE), "push")
    assert accepted == Accept("acme/chat", after, "production", 0, "d-1")


def test_a_ping_is_answered_and_starts_nothing():
    assert asked(webhooks.ping_event(repository(), BASE), "ping") == Ping(TARGETS[0])


def test_a_ping_of_what_is_not_deployed_names_what_is() -> None:
    headers = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": "d-1"}
    payload = {"repository": {"full_name": "eve/chat"}}
    more = (*TARGETS, DeployTarget("acme/web", "main", "production"))
    for targets, named in ((more, "acme/chat, acme/web"), ((), "nothing: deploy.repository is unset")):
        answer = read_event(payload, headers, targets)
        assert answer == Reject(f"ping: eve/chat is not deployed from here; policy.yaml deploys {named}", 403)


def test_a_form_of_more_than_eleven_fields_is_not_read_to_its_end() -> None:
    headers = {
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "d-1",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    form = webhooks.encode_form(merge())
    assert isinstance(read_event(b"a=1&" * 10 + form, headers, TARGETS), Accept)
    assert read_event(b"a=1&" * 11 + form, headers, TARGETS) == Reject("the form has no field payload")


def test_the_first_pull_request_of_a_repository_is_number_1() -> None:
    answer = asked(changed(merge(), "pull_request.number", 1))
    assert isinstance(answer, Accept)
    assert answer.pull == 1


def test_what_is_quoted_of_an_event_is_short() -> None:
    answer = asked(changed(merge(), "action", "x" * 81))
    assert answer == Ignore(f"the pull request was not closed but {'x' * 80}")
    assert asked(merge(), "y" * 41) == Ignore(f"events of the kind {'y' * 40!r} are not deploys")


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        pytest.param("action", "opened", Ignore, id="opened"),
        pytest.param("action", None, Ignore, id="no action"),
        pytest.param("pull_request.merged", False, Ignore, id="closed without a merge"),
        pytest.param("pull_request.merged", 1, Ignore, id="merged is a number"),
        pytest.param("pull_request.merged", "true", Ignore, id="merged is a text"),
        pytest.param("pull_request.base.ref", "feature", Ignore, id="another branch"),
        pytest.param("pull_request.base.ref", ["main"], Ignore, id="a list of branches"),
        pytest.param("pull_request.merge_commit_sha", None, Reject, id="no sha"),
        pytest.param("pull_request.merge_commit_sha", "main", Reject, id="a branch for a sha"),
        pytest.param("pull_request.merge_commit_sha", "a" * 39, Reject, id="a short sha"),
        pytest.param("pull_request.merge_commit_sha", "a" * 40 + "\n", Reject, id="a sha and a newline"),
        pytest.param("pull_request.merge_commit_sha", "../" + "a" * 37, Reject, id="a path for a sha"),
        pytest.param("pull_request.number", True, Reject, id="true for a number"),
        pytest.param("pull_request.number", -1, Reject, id="a negative number"),
        pytest.param(
            "pull_request.base.repo.full_name", "evil/chat", Reject, id="base in another repository"
        ),
        pytest.param("pull_request", "x", Reject, id="no pull request"),
        pytest.param("repository.full_name", "evil/chat", Reject, id="another repository"),
        pytest.param("repository.full_name", "acme/chat/../x", Reject, id="no repository's name"),
        pytest.param("repository", [], Reject, id="no repository"),
    ],
)
def test_a_signed_event_that_is_not_a_merge_into_a_deployed_branch_starts_nothing(path, value, kind):
    answer = asked(changed(merge(), path, value))
    assert isinstance(answer, kind)
    assert answer.reason


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        pytest.param("forced", True, Reject, id="forced"),
        pytest.param("forced", None, Reject, id="says not whether forced"),
        pytest.param("deleted", True, Ignore, id="deleted"),
        pytest.param("ref", "refs/heads/feature", Ignore, id="another branch"),
        pytest.param("ref", "refs/tags/main", Ignore, id="a tag of the branch's name"),
        pytest.param("after", "x", Reject, id="no sha"),
    ],
)
def test_a_push_that_may_bypass_review_starts_nothing(path, value, kind):
    made = repository()
    before = made.branches["main"]
    payload = webhooks.push_event(made, "main", before, made.commit({"a": b"1"}), BASE)
    assert isinstance(asked(changed(payload, path, value), "push"), kind)


@pytest.mark.parametrize("event", ["issues", "", "pull_request_review", "PULL_REQUEST"])
def test_other_events_start_nothing(event):
    assert isinstance(asked(merge(), event), Ignore)


@pytest.mark.parametrize("delivery", ["../../locks/x", "a/b", "x" * 65, "a b", "ä"])
def test_a_delivery_id_that_could_not_be_a_blobs_name_is_refused(delivery):
    assert isinstance(asked(merge(), delivery=delivery), Reject)


@pytest.mark.parametrize("path", ["action", "pull_request.base.ref"])
@pytest.mark.parametrize(
    "value", ["\ud800", "a\r\nX-Header: b", ["\ud800"]], ids=["surrogate", "lines", "list"]
)
def test_what_is_said_of_an_event_can_be_sent_as_an_answer(path, value):
    answer = asked(changed(merge(), path, value))
    assert isinstance(answer, Ignore | Reject)
    assert answer.reason.encode().isascii()
    assert answer.reason.isprintable()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"repository": NaN}', b'"text"']
)
def test_a_signed_body_that_is_no_event_is_rejected_and_never_raises(body):
    assert isinstance(asked(body), Reject)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b'{"repository": []}', "repository is missing or malformed"),
        (b'{"pull_request": {"base": 5}}', "pull_request.base is missing or malformed"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(body, reason):
    assert asked(body) == Reject(reason)


def test_the_size_is_judged_before_the_signature():
    body = b"x" * (MAX_BODY_BYTES + 1)
    answer = read_delivery(body, webhooks.delivery_headers("ping", body, SECRET), [SECRET], TARGETS)
    assert isinstance(answer, Reject)
    assert answer.status == 413


def test_the_largest_body_that_github_sends_is_not_too_large():
    body = b"x" * 26_214_400  # 25 MB
    assert asked(body).status == 400
    assert asked(body + b"x").status == 413


def test_an_unsigned_or_wrongly_signed_event_is_rejected_before_it_is_read():
    for secret in ("", "wrong"):
        answer = asked(b"{", secret=secret)
        assert isinstance(answer, Reject)
        assert answer.status == 401


def test_none_of_ten_thousand_mutated_deliveries_is_accepted():
    """Bytes of the body, the signature and the headers flipped, cut, doubled, swapped; all from one seed."""
    dice, payload = random.Random(20260101), merge()
    body = webhooks.encode_payload(payload)
    sent = webhooks.delivery_headers("pull_request", body, SECRET, "d-1")
    assert isinstance(read_delivery(body, sent, [SECRET], TARGETS), Accept)
    started, accepted = time.monotonic(), []
    for number in range(MUTATIONS):
        forged_body, forged = _mutated(dice, body, sent)
        answer = read_delivery(forged_body, forged, [SECRET], TARGETS)
        if isinstance(answer, Accept):
            accepted.append((number, answer))
    assert accepted == []
    assert time.monotonic() - started < 30


def _mutated(dice: random.Random, body: bytes, sent: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Something that differs from the genuine delivery in its body or in its signature."""
    match dice.randrange(7):
        case 0:  # a bit
            at = dice.randrange(len(body))
            return body[:at] + bytes([body[at] ^ 1 << dice.randrange(8)]) + body[at + 1 :], sent
        case 1:  # the end
            return body[: dice.randrange(len(body))], sent
        case 2:  # more at the end
            return body + dice.randbytes(dice.randint(1, 20)), sent
        case 3:  # another text, well-formed
            forged = body.replace(b'"merged":true', b'"merged":true,"n":%d' % dice.randrange(10**9))
            return forged, sent
        case 4:  # a digit of the signature
            given = sent["X-Hub-Signature-256"]
            at = dice.randrange(7, len(given))
            digit = dice.choice([one for one in "0123456789abcdef" if one != given[at]])
            return body, {**sent, "X-Hub-Signature-256": given[:at] + digit + given[at + 1 :]}
        case 5:  # signed with a guess
            guess = SECRET[: dice.randrange(len(SECRET))] + chr(dice.randrange(33, 126))
            forged = body if guess != SECRET else body + b" "
            return forged, webhooks.delivery_headers("pull_request", forged, guess, "d-1")
    # the signature taken away, or another kind of it in its place
    rest = {key: value for key, value in sent.items() if key != "X-Hub-Signature-256"}
    return body, rest | dice.choice([{}, {"X-Hub-Signature-256": sent["X-Hub-Signature"]}])


def test_without_a_secret_nothing_is_accepted_and_the_reason_says_so() -> None:
    header = webhooks.delivery_headers("ping", b"{}", SECRET, "d-1")["X-Hub-Signature-256"]
    for secrets in ([], ["", ""]):
        assert verify_signature(b"{}", header, secrets) == SignatureVerdict(False, "no webhook secret is set")
    assert verify_signature(b"{}", header, [SECRET]).accepted


def test_a_header_is_found_by_its_own_name_before_any_other_spelling() -> None:
    headers = {"x-hub-signature-256": "another", "X-Hub-Signature-256": "this one"}
    assert find_header(headers, "X-Hub-Signature-256") == "this one"
    assert find_header({"x-hub-signature-256": "lower"}, "X-Hub-Signature-256") == "lower"
    assert find_header({"X-Other": "no"}, "X-Hub-Signature-256") is None


def open_pull(*, fork: bool = False, base: str = "main") -> tuple[Repository, Any]:
    made = repository()
    if base not in made.branches:
        made.branch(base)
    pull = made.open_pull("topic", base=base)
    pull.from_fork = fork
    return made, pull


def planned(payload: object, allowed: str, event: str = "pull_request"):
    body = json.dumps(payload).encode()
    targets = (DeployTarget("acme/chat", "main", "production", allowed),)
    return read_delivery(body, webhooks.delivery_headers(event, body, SECRET, "d-1"), [SECRET], targets)


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened", "ready_for_review", "edited"])
def test_an_open_pull_request_is_planned_if_policy_says_so(action) -> None:
    made, pull = open_pull()
    payload = webhooks.pull_request(made, pull, BASE, action)
    assert planned(payload, "branches") == PlanEvent("acme/chat", pull.number, "d-1")
    assert isinstance(planned(payload, "off"), Ignore)
    assert isinstance(planned({**payload, "action": "labeled"}, "branches"), Ignore)


def test_a_review_brings_the_plan_up_to_date() -> None:
    made, pull = open_pull()
    payload = webhooks.pull_request(made, pull, BASE, "submitted")
    assert planned(payload, "branches", "pull_request_review") == PlanEvent("acme/chat", pull.number, "d-1")
    assert isinstance(planned(payload, "off", "pull_request_review"), Ignore)


def test_forks_and_other_branches_are_planned_only_where_policy_says_so() -> None:
    made, pull = open_pull(fork=True)
    payload = webhooks.pull_request(made, pull, BASE, "opened")
    assert isinstance(planned(payload, "branches"), Ignore)
    assert isinstance(planned(payload, "forks"), PlanEvent)
    deleted = changed(payload, "pull_request.head.repo", None)
    assert isinstance(planned(deleted, "branches"), Ignore)
    assert isinstance(planned(deleted, "forks"), PlanEvent)
    made, pull = open_pull(base="next")
    assert isinstance(planned(webhooks.pull_request(made, pull, BASE, "opened"), "forks"), Ignore)


def test_an_open_pull_request_without_a_number_is_malformed() -> None:
    made, pull = open_pull()
    payload = webhooks.pull_request(made, pull, BASE, "opened")
    for number in (None, 0, True, "5"):
        assert isinstance(planned(changed(payload, "pull_request.number", number), "forks"), Reject)
