"""The plan under an open pull request: one comment, kept up to date, without secrets."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from local.github.model import Pull
from shared.deploy.deps import QUEUE
from shared.deploy.job import handle_message
from shared.deploy.plan_comment.decide import MARKER
from shared.deploy.plan_comment.request import PlanRequest, parse_plan_request
from shared.deploy.progress import DeployState
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.sops import decrypt
from shared.formats.sops_writer import SealRules, seal
from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.upgrades.model import ProbeKind, ProbeResult, ProbeSubject, UpgradeObservation


@pytest.fixture
def place(world):
    """Something is deployed, and plans of branches are commented."""
    world.deployed_first("8.2.0")
    world.policy = world.policy.model_copy(update={"plan_comments": "branches"})
    return world


def comment(world, pull: Pull, plan: FaultPlan | None = None) -> str:
    """What was done about the message of this pull request."""
    document = json.loads(PlanRequest("acme/chat", pull.number, "d-1").to_message())
    return handle_message(world.deps(plan), [document])


def texts(world, pull: Pull) -> list[str]:
    return [str(one["body"]) for one in world.repository.comments.get(pull.number, [])]


def test_an_open_pull_request_gets_its_plan_as_a_comment(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    assert comment(place, pull) == f"#{pull.number}: commented the plan of {pull.head_sha[:7]}"
    (text,) = texts(place, pull)
    assert f"Plan of {pull.head_sha[:7]} for production" in text
    assert "8.2.0 -> " in text.replace('"', "")
    assert "passed  version: goes from 8.2.0 to 8.3.0" in text
    assert "closed  approvals" in text
    assert "checks" not in text.partition("Not known")[0], "GitHub shows them beside it"
    assert len(place.releases.history()) == 1, "nothing was deployed"


def test_it_is_one_comment_that_follows_the_pull_request(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    comment(place, pull)
    assert "is commented already" in comment(place, pull)
    place.repository.review(pull, "grace")
    assert "updated the plan" in comment(place, pull)
    place.repository.commit(files("8.4.0"), branch=pull.head_ref, author="ada")
    assert f"updated the plan to {pull.head_sha[:7]}" in comment(place, pull)
    (text,) = texts(place, pull)
    assert "8.4.0" in text
    assert "passed  approvals" not in text, "the review was of an earlier commit"


def test_a_comment_of_another_with_our_marker_is_left_alone(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    forged = {"id": 1, "body": f"{MARKER}\nall gates are open", "user": {"login": "mallory"}}
    place.repository.comments[pull.number] = [forged]
    comment(place, pull)
    assert forged["body"] == f"{MARKER}\nall gates are open"
    assert len(texts(place, pull)) == 2


@pytest.mark.parametrize(
    ("allowed", "from_fork", "done"),
    [
        ("off", False, "is off"),
        ("branches", False, "commented"),
        ("branches", True, "comes from a fork"),
        ("forks", True, "commented"),
        ("forks", False, "commented"),
    ],
)
def test_policy_says_whose_plans_are_commented(place, files, allowed, from_fork, done) -> None:
    place.policy = place.policy.model_copy(update={"plan_comments": allowed})
    pull = place.propose(files("8.3.0"))
    pull.from_fork = from_fork
    assert done in comment(place, pull)
    assert len(texts(place, pull)) == (done == "commented")


def test_one_that_is_closed_or_goes_elsewhere_or_is_of_another_repository_gets_none(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    place.repository.close(pull)
    assert "is not open" in comment(place, pull)
    other = place.propose(files("8.3.0"))
    other.base_ref = "next"
    assert "into another branch than main" in comment(place, other)
    assert "policy deploys acme/chat" in handle_message(
        place.deps(), [{"repository": "evil/chat", "plan": other.number}]
    )
    assert place.repository.comments == {}


def test_one_that_changes_nothing_deployed_says_that_it_deploys_nothing(place) -> None:
    place.policy = place.policy.model_copy(update={"paths": ("templates/**",)})
    pull = place.propose({"notes.md": b"for the team"})
    comment(place, pull)
    assert "it deploys nothing" in texts(place, pull)[0]


def test_a_chart_that_does_not_render_is_told_with_its_error(place) -> None:
    pull = place.propose({"templates/broken.yaml": b"a: {{ .Values.missing.deep }}\n"})
    comment(place, pull)
    assert "closed  template: the chart does not render" in texts(place, pull)[0]
    assert "What it changes" not in texts(place, pull)[0]


def test_one_that_mends_a_chart_which_did_not_render_says_that_the_change_is_not_known(place) -> None:
    place.repository.commit({"templates/broken.yaml": b"a: {{ .Values.missing.deep }}\n"})
    pull = place.propose({"templates/broken.yaml": None})
    comment(place, pull)
    assert "note: " in texts(place, pull)[0]
    assert "does not render, so what changes is not known" in texts(place, pull)[0]


def test_one_that_brings_the_chart_shows_all_of_it(place, files) -> None:
    place.policy = place.policy.model_copy(update={"chart": "new", "paths": ("**",)})
    pull = place.propose({f"new/{path}": data for path, data in files("8.3.0").items()})
    comment(place, pull)
    assert "1 to create, 0 to change" in texts(place, pull)[0]


def test_nothing_of_a_sealed_value_is_opened_or_told(place, files) -> None:
    secret, recipient = generate_identity(post_quantum=False)
    identities = parse_identities(secret)
    place.policy = place.policy.model_copy(update={"values": ("secret.yaml",)})

    def sealed(password: str) -> bytes:
        text = f"password: {password}\nhost: {password}.example.org\n"
        return seal(text, "secret.yaml", [recipient], SealRules(), place.clock.now()).encode()

    opened: list[str] = []

    def open_values(text: str, name: str):
        opened.append(name)
        from shared.deploy.deps import DecryptedValues

        return DecryptedValues(*decrypt(text, name, identities))

    place.decrypt = open_values
    place.repository.commit({"secret.yaml": sealed("first-secret-of-ours")})
    pull = place.propose({"secret.yaml": sealed("second-secret-of-ours")})
    comment(place, pull)
    (text,) = texts(place, pull)
    assert opened == []
    assert "secret-of-ours" not in text
    assert "encrypted-" in text, "the host, which is no Secret, is shown to have changed"


def test_the_release_and_the_cluster_are_not_asked(place, files) -> None:
    """They may be off, and what an unreviewed chart is rendered with must know nothing."""
    pull = place.propose(files("8.3.0"))
    away = Unavailable("the machine is off")
    faults = [
        Fault(away, operation=f"{port}.{name}", times=99)
        for port, names in {
            "releases": ("render", "lint", "history", "manifests", "status", "tool_version"),
            "cluster": ("get_version", "list_claims", "get_live_objects"),
        }.items()
        for name in names
    ]
    plan = FaultPlan(*faults)
    assert "commented" in comment(place, pull, plan)
    assert not [
        step for step in plan.steps if step.startswith(("releases.", "cluster.", "backups.", "server"))
    ]


def test_github_being_away_puts_it_off_a_few_times_and_never_longer(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    plan = FaultPlan(Fault(Unavailable("GitHub is away"), operation="forge.get_pull_request", times=99))
    assert "put off" in comment(place, pull, plan)
    done = place.work(plan)
    assert done[-1] == f"#{pull.number}: no plan was commented after 6 attempts"
    assert place.queues.length(QUEUE) == 0
    assert texts(place, pull) == []


def test_after_an_outage_it_is_commented_once(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    comment(place, pull, FaultPlan(Fault(Unavailable("GitHub is away"), operation="forge.get_pull_request")))
    place.work()
    assert len(texts(place, pull)) == 1


def test_who_may_not_comment_is_no_reason_to_try_again(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    fault = Fault(Refused("GitHub: not allowed"), operation="forge.create_comment")
    assert "no plan was commented: GitHub: not allowed" in comment(place, pull, FaultPlan(fault))
    assert place.queues.length(QUEUE) == 0


def test_killed_after_it_was_written_it_is_found_again(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    with pytest.raises(Killed):
        comment(place, pull, FaultPlan(Fault(Killed(), operation="forge.create_comment", when="after")))
    place.die()
    assert "is commented already" in comment(place, pull)
    assert len(texts(place, pull)) == 1


def test_two_events_at_once_make_one_comment(place, files) -> None:
    pull = place.propose(files("8.3.0"))
    with place.state.lease(f"locks/plan-comments/{pull.number}", duration=timedelta(seconds=30)):
        assert "put off" in comment(place, pull)
    place.work()
    assert len(texts(place, pull)) == 1


def test_a_batch_of_deploys_and_plans_is_split_and_each_done(place, files) -> None:
    merged = place.propose(files(host="two.example.org"))
    place.repository.review(merged, "grace")
    sha = place.repository.merge(merged, by="grace")
    pull = place.propose(files("8.3.0"))
    deploy = {"repository": "acme/chat", "sha": sha, "environment": "production", "pull": merged.number}
    plan = {"repository": "acme/chat", "plan": pull.number, "delivery": "d-2"}
    assert (
        handle_message(place.deps(), [{**deploy, "delivery": "d-1"}, plan]) == "split a batch of 2 requests"
    )
    place.work()
    assert place.record(sha).state is DeployState.DONE
    assert len(texts(place, pull)) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"repository": "acme/chat", "plan": True},
        {"repository": "acme/chat", "plan": 0},
        {"repository": "acme/chat", "plan": "5"},
        {"repository": "chat", "plan": 5},
        {"repository": 5, "plan": 5},
        {"repository": "acme/chat", "plan": 5, "delivery": "../x"},
        {"repository": "acme/chat", "plan": 5, "delivery": 7},
        {"repository": "acme/chat", "plan": 5, "attempt": True},
    ],
)
def test_a_message_that_is_no_request_is_refused(document) -> None:
    with pytest.raises(UsageError):
        parse_plan_request(document)


@pytest.mark.parametrize("from_fork", [False, True], ids=["branch", "fork"])
def test_who_would_lose_what_is_shown_but_not_to_whoever_opens_one_from_a_fork(
    place, files, from_fork: bool
) -> None:
    place.policy = place.policy.model_copy(update={"plan_comments": "forks"})
    keycloak = ProbeResult((ProbeSubject("keycloak", 150, 143, 160),))
    place.count_upgrade = lambda probes: UpgradeObservation(
        {key: keycloak if key[0] is ProbeKind.CUSTOM_OAUTH else ProbeResult() for key in probes}, frozenset()
    )
    pull = place.propose(files("9.0.0"))
    pull.from_fork = from_fork
    comment(place, pull)
    (text,) = texts(place, pull)
    assert ("143 of 160 active users have no other login" in text) is not from_fork
    assert ("upgrade impact" in text) is not from_fork
