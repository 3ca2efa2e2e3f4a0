"""The gate `rehearsal`: what opens it, what closes it, and when another one is begun."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.deploy.gates.rehearsal import (
    RehearsalNeed,
    explain_no_need,
    judge_rehearsal,
    preview_rehearsal,
)
from shared.deploy.job import handle_message
from shared.deploy.plan_comment.request import PlanRequest
from shared.deploy.ports.releases import ChartPackage
from shared.deploy.progress import DeployState
from shared.formats.rehearsals import FAILED, INTERRUPTED, PASSED, RUNNING, Rehearsal, RehearsalMeasures
from shared.kubernetes.chat_container import find_chat_container
from shared.policy.rehearsal import RehearsalPolicy
from shared.records.rehearsals import RehearsalStore
from tests.support.backup_world import SIGNER
from tests.support.deploy_world import chart_files

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
SHA, PLAN = "a" * 40, "b" * 64
MEASURES = RehearsalMeasures(318, 331, 400.0, 420.0, 1_000_000_000, 5_100_000_000, 9, ("jira", "grafana"), 0)
NEED = RehearsalNeed("majors", "8.6.1", "9.0.0", True, PLAN, timedelta(hours=36), "daily/20261128T010000Z")
RECORD = Rehearsal(
    1, SHA, 12, "production", PASSED, "trying", "", "", False, 1, "ada", NOW, NOW,
    plan_sha256=PLAN, set="20261128T010000Z", klass="daily", set_end=NOW - timedelta(hours=8),
    measures=MEASURES,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"has_data": False}, "first install"),
        ({"target": "8.7.0"}, "no new major"),
        ({"target": "8.6.1"}, "does not change"),
        ({"target": "8.7.0", "when": "versions"}, ""),
        ({"target": "8.6.1", "when": "versions"}, "does not change"),
        ({"target": "8.6.1", "when": "always"}, ""),
        ({"target": ""}, ""),
        ({"running": ""}, ""),
    ],
)
def test_policy_says_which_deploys_are_rehearsed_and_what_is_unknown_is(change, reason: str) -> None:
    found = explain_no_need(replace(NEED, **change))
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_rehearsal_that_passed_opens_the_gate_with_what_it_measured() -> None:
    verdict = judge_rehearsal(RECORD, NEED, NOW)
    assert verdict.gate is not None
    assert verdict.gate.passed
    assert "Migrations 318 → 331 took 6 min 40 s, peak disk +4.1 GB, 2 of 9 scripts do" in verdict.gate.reason
    assert verdict.gate.warnings == ("scripts of integrations that do not compile: `jira`, `grafana`",)
    assert (verdict.downtime, verdict.begin) == (timedelta(minutes=7), False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "was not rehearsed yet"),
        ({"plan_sha256": "c" * 64}, "not what was rehearsed"),
        ({"set_end": NOW - timedelta(hours=36, seconds=1)}, "1 d 12 h old"),
        ({"set_end": None}, "does not say on what"),
        ({"measures": None}, "does not say on what"),
        ({"state": INTERRUPTED, "retry": True, "problem": "no answer"}, "no answer"),
        ({"state": FAILED, "problem": "duplicate", "set": "20261127T010000Z"}, "T010000Z is newer"),
        ({"state": RUNNING, "updated": NOW - timedelta(minutes=31)}, "nothing was heard of it for 31 min"),
    ],
)  # fmt: skip
def test_what_says_nothing_of_todays_data_begins_another_one(change, reason: str) -> None:
    record = replace(RECORD, **change) if change is not None else None
    verdict = judge_rehearsal(record, NEED, NOW)
    assert verdict.gate is not None
    assert (verdict.begin, verdict.gate.passed, verdict.gate.pending) == (True, False, True)
    assert reason in verdict.gate.reason


def test_exactly_as_old_as_allowed_still_counts() -> None:
    verdict = judge_rehearsal(replace(RECORD, set_end=NOW - timedelta(hours=36)), NEED, NOW)
    assert verdict.gate is not None
    assert verdict.gate.passed


def test_one_that_runs_is_waited_for() -> None:
    verdict = judge_rehearsal(replace(RECORD, state=RUNNING, step="restoring daily/x"), NEED, NOW)
    assert verdict.gate is not None
    assert (verdict.gate.passed, verdict.gate.pending, verdict.begin) == (False, True, False)
    assert verdict.gate.reason == "running since 2026-11-28 09:00Z: restoring daily/x"


@pytest.mark.parametrize(
    "change",
    [
        {"state": FAILED, "problem": "duplicate keys"},
        {"state": INTERRUPTED, "problem": "no node has room", "hint": "Free some."},
        {"state": INTERRUPTED, "problem": "no answer", "retry": True, "attempts": 3},
    ],
    ids=["failed", "refused", "given up"],
)
def test_what_failed_on_the_newest_backup_closes_the_gate_with_the_cure(change) -> None:
    verdict = judge_rehearsal(replace(RECORD, **change), NEED, NOW)
    assert verdict.gate is not None
    assert (verdict.gate.passed, verdict.gate.pending, verdict.begin) == (False, False, False)
    assert change["problem"] in verdict.gate.reason
    assert change.get("hint", "Mend the cause").rstrip(".") in verdict.gate.hint


class StoredRehearsals:
    """`Rehearsals` over a store, with what was asked for."""

    def __init__(self, world) -> None:
        self._store = RehearsalStore(world.state, world.clock, SIGNER, (SIGNER.public_text(),))
        self.begun: list[tuple[str, int, str]] = []
        self.save = self._store.save

    def find(self, sha: str) -> Rehearsal | None:
        return self._store.read(sha)

    def newest_set(self) -> str:
        return "daily/20261128T010000Z"

    def begin(self, sha: str, pull: int, environment: str, *, by: str) -> None:
        self.begun.append((sha, pull, by))
        self._store.request(sha, pull, environment, by=by)


@pytest.fixture
def place(world):
    world.deployed_first("8.2.0")
    rehearsal = RehearsalPolicy(when="versions", images=("mongo:8.0.15",))
    world.policy = world.policy.model_copy(update={"rehearsal": rehearsal})
    world.rehearsals = StoredRehearsals(world)
    return world


def finish(world, sha: str, **change) -> None:
    """What the rehearsal's own job does in the end."""
    container = find_chat_container(
        world.releases.render(ChartPackage(chart_files("8.3.0"), [], [])).manifests
    )
    record = world.rehearsals.find(sha)
    ended = {
        "state": PASSED, "plan_sha256": container.sha256, "set": "20261128T010000Z", "klass": "daily",
        "set_end": world.clock.now(), "measures": MEASURES,
    }  # fmt: skip
    world.rehearsals.save(replace(record, **{**ended, **change}))


def test_a_deploy_asks_for_one_waits_for_it_and_goes_on(place) -> None:
    pull, sha = place.merge(chart_files("8.3.0"))
    place.work(most=3)
    assert place.rehearsals.begun == [(sha, pull.number, "ada")]
    record = place.record(sha)
    assert record.state is DeployState.GATING
    assert any(line.startswith("waits  rehearsal: running since") for line in record.gates)
    finish(place, sha)
    place.work()
    record = place.record(sha)
    assert record.state is DeployState.DONE
    assert "note: predicted downtime: 7 min, as rehearsed" in record.plan
    titles = [one.title for one in place.people.told]
    assert titles[0] == "Rocket.Chat will be away for about 7 min: 8.2.0 → 8.3.0"


def test_a_failed_one_closes_the_gate_and_nothing_is_deployed(place) -> None:
    _, sha = place.merge(chart_files("8.3.0"))
    place.work(most=3)
    finish(place, sha, state=FAILED, problem="duplicate keys: rocketchat_cron_history", measures=None)
    place.work()
    assert place.record(sha).state is DeployState.FAILED
    assert "rehearsal" in place.record(sha).progress.reason
    assert place.runs.endswith(":8.2.0")


def test_what_nobody_approved_is_not_rehearsed(place) -> None:
    _, sha = place.merge(chart_files("8.3.0"), approved=False)
    place.work()
    assert place.record(sha).state is DeployState.FAILED
    assert place.rehearsals.begun == []


def test_a_rehearsal_may_take_longer_than_checks(place) -> None:
    _, sha = place.merge(chart_files("8.3.0"))
    place.work(most=2)
    end = place.clock.now() + timedelta(hours=2)
    while place.clock.now() < end:
        place.work(most=1)
        place.rehearsals.save(place.rehearsals.find(sha))  # it says that it is at it
    finish(place, sha)
    place.work()
    assert place.record(sha).state is DeployState.DONE


def test_the_head_of_the_pull_request_counts_if_the_merge_starts_the_same(place) -> None:
    pull = place.propose(chart_files("8.3.0"))
    place.repository.review(pull, "grace")
    place.rehearsals.begin(pull.head_sha, pull.number, "production", by="ada")
    finish(place, pull.head_sha)
    sha = place.repository.merge(pull, by="grace")
    place.send(sha, pull.number)
    place.work()
    assert place.record(sha).state is DeployState.DONE
    assert [one[0] for one in place.rehearsals.begun] == [pull.head_sha]


@pytest.mark.parametrize(
    ("change", "passed", "pending", "text"),
    [
        ({}, True, False, "passed: Migrations 318 → 331"),
        ({"state": FAILED, "problem": "duplicate keys"}, False, False, "failed: duplicate keys"),
        ({"state": INTERRUPTED, "problem": "no node has room"}, False, True, "interrupted: no node has room"),
        ({"state": RUNNING}, False, True, "was asked for"),
    ],
)
def test_the_plan_tells_what_became_of_the_rehearsal_of_its_commit(change, passed, pending, text) -> None:
    gate = preview_rehearsal("majors", "8.6.1", "9.0.0", replace(RECORD, **change))
    assert gate is not None
    assert (gate.passed, gate.pending) == (passed, pending)
    assert text in gate.reason
    assert bool(gate.warnings) == (change.get("state") != RUNNING)


@pytest.mark.parametrize(
    ("when", "target", "is_needed"),
    [
        ("never", "9.0.0", False), ("majors", "9.0.0", True), ("majors", "8.7.0", False),
        ("versions", "8.7.0", True), ("versions", "8.6.1", False), ("always", "8.6.1", True),
        ("majors", "", True),
    ],
)  # fmt: skip
def test_the_plan_tells_that_a_rehearsal_will_be_needed(when: str, target: str, is_needed: bool) -> None:
    gate = preview_rehearsal(when, "8.6.1", target, None)
    assert (gate is not None) == is_needed
    if gate is not None:
        assert (gate.passed, gate.pending) == (False, True)
        assert gate.reason.startswith("needed: ")


def test_the_comment_under_a_pull_request_has_a_line_of_the_rehearsal(place) -> None:
    place.policy = place.policy.model_copy(update={"plan_comments": "branches"})
    pull = place.propose(chart_files("8.3.0"))

    def comment() -> str:
        handle_message(place.deps(), [json.loads(PlanRequest("acme/chat", pull.number, "d-1").to_message())])
        (text,) = place.repository.comments[pull.number]
        return str(text["body"])

    assert "waits  rehearsal: needed" in comment()
    assert place.rehearsals.begun == [], "a plan begins nothing"
    place.rehearsals.begin(pull.head_sha, pull.number, "production", by="ada")
    finish(place, pull.head_sha)
    assert "passed  rehearsal: passed: Migrations 318 → 331" in comment()
    place.rehearsals = None
    assert "waits  rehearsal: needed" in comment(), "no record can be read here"


def test_without_a_way_to_rehearse_the_gate_is_closed(place) -> None:
    place.rehearsals = None
    _, sha = place.merge(chart_files("8.3.0"))
    place.work()
    assert any("rehearsals cannot be run here" in line for line in place.record(sha).gates)
    assert place.record(sha).state is DeployState.FAILED
