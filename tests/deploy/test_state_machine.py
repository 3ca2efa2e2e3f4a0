"""The course of a deploy: what comes next, also after a kill, and when there is no way back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.deploy.state_machine import (
    INTERRUPTED,
    MOST_ATTEMPTS,
    Record,
    Seen,
    State,
    after_failure,
    load,
    may_roll_back,
    migrated,
    next_step,
)

SAME = Record(
    "k", "a" * 40, "production",
    version_before="8.2.0", version_after="8.2.0", revision_before=4, revision_version="8.2.0",
)  # fmt: skip
NEW = replace(SAME, version_after="8.3.0", backup="daily/20260302T0200", schema_before=300)
OLDER = replace(NEW, version_before="8.2.5", version_after="8.2.5")  # 8.2.5 failed before, 8.2.0 is good
FIRST = Record("k", "a" * 40, "production", version_after="8.2.0")

DEPLOYED = Seen(5, "deployed", "Upgrade complete")
BACK = Seen(6, "deployed", "Rollback to 4")
FAILED = Seen(5, "failed", 'Upgrade "rocketchat" failed: timed out')
PENDING = Seen(5, "pending-upgrade", "Preparing upgrade")
MARKED = Seen(5, "failed", f"{INTERRUPTED}: it was left pending-upgrade")
BEFORE = Seen(4, "deployed", "Upgrade complete")


def at(record: Record, state: State, **changes) -> Record:
    return replace(record, state=state, **changes)


@pytest.mark.parametrize(
    ("record", "seen", "action", "state"),
    [
        pytest.param(SAME, BEFORE, "gate", State.GATING, id="queued"),
        pytest.param(at(SAME, State.GATING), BEFORE, "gate", State.GATING, id="killed at the gates"),
        pytest.param(
            at(NEW, State.BACKING_UP, backup=""),
            BEFORE,
            "back_up",
            State.BACKING_UP,
            id="killed at the backup",
        ),
        pytest.param(
            at(NEW, State.BACKING_UP), BEFORE, "apply", State.APPLYING, id="killed after the backup"
        ),
        pytest.param(
            at(SAME, State.APPLYING), BEFORE, "apply", State.APPLYING, id="killed before Helm began"
        ),
        pytest.param(at(FIRST, State.APPLYING), Seen(), "apply", State.APPLYING, id="a first install"),
        pytest.param(
            at(SAME, State.APPLYING, attempts=1),
            PENDING,
            "repair",
            State.APPLYING,
            id="killed while Helm ran",
        ),
        pytest.param(
            at(NEW, State.APPLYING, attempts=1), PENDING, "repair", State.APPLYING, id="killed, new version"
        ),
        pytest.param(
            at(NEW, State.APPLYING, attempts=1), MARKED, "apply", State.APPLYING, id="killed after the repair"
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=1),
            DEPLOYED,
            "watch",
            State.WATCHING,
            id="killed after Helm was done",
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=1),
            BACK,
            "nothing",
            State.ROLLED_BACK,
            id="Helm went back by itself",
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=1),
            FAILED,
            "roll_back",
            State.ROLLING_BACK,
            id="failed, same version",
        ),
        pytest.param(
            at(NEW, State.APPLYING, attempts=1),
            FAILED,
            "propose_restore",
            State.RESTORE_PROPOSED,
            id="failed, new version",
        ),
        pytest.param(
            at(FIRST, State.APPLYING, attempts=1),
            replace(FAILED, revision=1),
            "fail_first",
            State.FAILED,
            id="a first install failed",
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=MOST_ATTEMPTS),
            MARKED,
            "roll_back",
            State.ROLLING_BACK,
            id="interrupted too often",
        ),
        pytest.param(
            at(NEW, State.APPLYING, attempts=MOST_ATTEMPTS),
            MARKED,
            "propose_restore",
            State.RESTORE_PROPOSED,
            id="interrupted too often, new version",
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=MOST_ATTEMPTS), BEFORE, "fail", State.FAILED, id="never began"
        ),
        pytest.param(at(SAME, State.WATCHING), DEPLOYED, "watch", State.WATCHING, id="killed while watching"),
        pytest.param(at(SAME, State.SMOKE), DEPLOYED, "smoke", State.SMOKE, id="killed at the smoke test"),
        pytest.param(at(SAME, State.WATCHING), BACK, "nothing", State.ROLLED_BACK, id="somebody went back"),
        pytest.param(at(SAME, State.SMOKE), Seen(), "fail", State.FAILED, id="somebody took it away"),
        pytest.param(
            at(SAME, State.ROLLING_BACK, ways_back=1),
            Seen(6, "pending-rollback", "Preparing rollback"),
            "roll_back",
            State.ROLLING_BACK,
            id="killed while going back",
        ),
        pytest.param(
            at(SAME, State.ROLLING_BACK, ways_back=1),
            BACK,
            "nothing",
            State.ROLLED_BACK,
            id="killed after going back",
        ),
        pytest.param(
            at(SAME, State.ROLLING_BACK, ways_back=MOST_ATTEMPTS),
            FAILED,
            "fail_unclear",
            State.FAILED,
            id="going back fails too",
        ),
        pytest.param(
            at(NEW, State.ROLLING_BACK, attempts=1, ways_back=1),
            replace(FAILED, schema=301),
            "propose_restore",
            State.RESTORE_PROPOSED,
            id="a migration ran while going back",
        ),
        pytest.param(
            at(OLDER, State.APPLYING, attempts=1),
            FAILED,
            "propose_restore",
            State.RESTORE_PROPOSED,
            id="failed, and what is there to go back to is older than the data",
        ),
        pytest.param(
            at(SAME, State.APPLYING, attempts=1),
            replace(PENDING, foreign=True),
            "await",
            State.APPLYING,
            id="somebody else's Helm is at it",
        ),
        pytest.param(
            at(SAME, State.APPLYING), DEPLOYED, "fail", State.FAILED, id="somebody else deployed meanwhile"
        ),
        pytest.param(
            at(SAME, State.WATCHING, revision_after=5),
            replace(DEPLOYED, revision=6),
            "fail_unclear",
            State.FAILED,
            id="somebody else deployed while it was watched",
        ),
        pytest.param(
            at(NEW, State.ROLLING_BACK, attempts=1, ways_back=1, clean=True, schema_before=None),
            BACK,
            "nothing",
            State.ROLLED_BACK,
            id="it is back, and the pods that showed why are gone",
        ),
        pytest.param(
            at(NEW, State.ROLLING_BACK, attempts=1, ways_back=1, clean=True),
            replace(BACK, schema=301),
            "propose_restore",
            State.RESTORE_PROPOSED,
            id="it is back, and a migration began meanwhile",
        ),
        pytest.param(at(SAME, State.DONE), DEPLOYED, "nothing", State.DONE, id="done"),
        pytest.param(at(SAME, State.SUPERSEDED), BEFORE, "nothing", State.SUPERSEDED, id="superseded"),
    ],
)
def test_what_is_next_follows_from_what_is_recorded_and_what_is_there(record, seen, action, state):
    step = next_step(record, seen)
    assert (step.action, step.state) == (action, state)
    assert step.reason


@pytest.mark.parametrize(
    ("record", "seen", "maybe"),
    [
        pytest.param(at(SAME, State.APPLYING, attempts=1), FAILED, False, id="the version stays"),
        pytest.param(FIRST, Seen(), False, id="a first install has no old data"),
        pytest.param(
            replace(FIRST, had_data=True, attempts=1),
            FAILED,
            True,
            id="a first install on data that were there",
        ),
        pytest.param(
            replace(OLDER, attempts=1, schema_before=301),
            replace(FAILED, schema=301),
            True,
            id="the schema is as it was after an earlier failure",
        ),
        pytest.param(NEW, BEFORE, False, id="nothing was applied"),
        pytest.param(replace(NEW, attempts=1), FAILED, True, id="nobody can tell"),
        pytest.param(replace(NEW, attempts=1), replace(FAILED, schema=301), True, id="the schema moved"),
        pytest.param(
            replace(NEW, attempts=1), replace(FAILED, schema=300), False, id="the schema is the old one"
        ),
        pytest.param(
            replace(NEW, attempts=1),
            replace(FAILED, started=False),
            True,
            id="no pod is seen, the data are locked",
        ),
        pytest.param(
            replace(NEW, attempts=1, schema_before=None),
            replace(FAILED, started=False),
            False,
            id="no pod ever ran, and nobody ever knew the schema",
        ),
        pytest.param(replace(NEW, attempts=1), replace(FAILED, started=True), True, id="a pod ran"),
        pytest.param(
            replace(NEW, attempts=1),
            replace(FAILED, started=False, schema=301),
            True,
            id="the schema moved though no pod is seen",
        ),
        pytest.param(
            replace(NEW, attempts=1, schema_before=None),
            replace(FAILED, schema=301),
            True,
            id="the schema before is not known",
        ),
    ],
)
def test_a_migration_that_cannot_be_ruled_out_counts_as_run(record, seen, maybe):
    verdict = migrated(record, seen)
    assert verdict.maybe is maybe
    assert verdict.reason


def test_helm_may_go_back_by_itself_only_within_a_version():
    assert may_roll_back(SAME)
    assert may_roll_back(FIRST)
    assert not may_roll_back(NEW)


RECORDS = st.builds(
    Record,
    key=st.just("k"),
    sha=st.just("a" * 40),
    environment=st.just("production"),
    state=st.sampled_from(State),
    version_before=st.sampled_from(["", "8.2.0"]),
    version_after=st.sampled_from(["8.2.0", "8.3.0"]),
    revision_before=st.integers(0, 3),
    backup=st.sampled_from(["", "daily/x"]),
    schema_before=st.sampled_from([None, 300]),
    attempts=st.integers(0, MOST_ATTEMPTS),
    ways_back=st.integers(0, MOST_ATTEMPTS),
)
SEEN = st.builds(
    Seen,
    revision=st.integers(0, 5),
    status=st.sampled_from(["", "deployed", "failed", "pending-upgrade", "pending-rollback", "superseded"]),
    description=st.sampled_from(["", "Upgrade complete", "Rollback to 2", f"{INTERRUPTED}: x"]),
    schema=st.sampled_from([None, 300, 301]),
    started=st.sampled_from([None, True, False]),
)


@given(record=RECORDS, seen=SEEN)
def test_whatever_is_found_the_next_state_is_one_that_may_follow(record, seen):
    step = next_step(record, seen)
    assert record.move(step.state).state is step.state


@given(record=RECORDS, seen=SEEN)
def test_the_old_version_is_never_started_where_a_migration_may_have_run(record, seen):
    for step in (next_step(record, seen), after_failure(record, seen, "unhealthy")):
        if migrated(record, seen).maybe:
            assert step.action != "roll_back"


@given(record=RECORDS, data=st.data())
def test_a_deploy_comes_to_an_end_however_often_its_worker_is_killed(record, data):
    """A world in which every action may be cut off before or after its effect."""
    record = replace(record, state=State.QUEUED, attempts=0, ways_back=0)
    seen = Seen(record.revision_before, "deployed" if record.revision_before else "")
    for _ in range(200):
        step = next_step(record, seen)
        if step.action == "nothing":
            break
        effect = data.draw(st.sampled_from(["done", "killed before", "killed within", "fails"]))
        record, seen = _acted(record, seen, step, effect)
    assert record.state.final or step.state.final


def _acted(record: Record, seen: Seen, step, effect: str) -> tuple[Record, Seen]:
    if step.state.final:  # an end is recorded after its work
        return (record if effect == "killed before" else record.move(step.state)), seen
    changes = {
        "attempts": record.attempts + (step.action == "apply"),
        "ways_back": record.ways_back + (step.action == "roll_back"),
    }
    record = record.move(step.state, **changes)
    if effect == "killed before":
        return record, seen
    match step.action, effect:
        case "gate", _:
            return record.move(State.BACKING_UP if record.changes_version else State.APPLYING), seen
        case "back_up", "done":
            return replace(record, backup="daily/x"), seen
        case "apply" | "roll_back", _:
            status = {"done": "deployed", "killed within": "pending-upgrade"}.get(effect, "failed")
            told = "Rollback to 1" if step.action == "roll_back" else ""
            return record, replace(seen, revision=seen.revision + 1, status=status, description=told)
        case "repair", _:
            return record, replace(seen, status="failed", description=INTERRUPTED)
        case "watch" | "smoke", "done":
            return record.move({"watch": State.SMOKE, "smoke": State.DONE}[step.action]), seen
        case "watch" | "smoke", "fails":
            return record.move(after_failure(record, seen, "unhealthy").state), seen
    return record, seen


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (State.QUEUED, State.APPLYING),
        (State.DONE, State.APPLYING),
        (State.ROLLED_BACK, State.APPLYING),
        (State.APPLYING, State.GATING),
        (State.BACKING_UP, State.ROLLED_BACK),
    ],
)
def test_there_are_ways_a_deploy_does_not_go(old, new):
    with pytest.raises(ValueError, match="->"):
        at(SAME, old).move(new)


@given(record=RECORDS)
def test_a_record_survives_being_written_down(record):
    assert load(json.loads(json.dumps(record.plain()))) == record


def test_a_record_of_a_newer_version_can_still_be_read():
    assert load({**NEW.plain(), "colour": "red"}) == NEW


@pytest.mark.parametrize("plain", [{}, {"key": "k"}, {**SAME.plain(), "state": "dreaming"}])
def test_what_is_no_record_is_refused(plain):
    with pytest.raises((ValueError, TypeError)):
        load(plain)
