"""The course of a deploy: what comes next, also after a kill, and when there is no way back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.deploy.progress import DeployProgress, DeployState, ObservedRelease, parse_progress
from shared.deploy.state_machine import (
    INTERRUPTED,
    MAX_ATTEMPTS,
    abort_step,
    assess_migration,
    may_roll_back,
    next_step,
    step_after_failure,
)

SAME = DeployProgress(
    "k", "a" * 40, "production",
    version_before="8.2.0", version_after="8.2.0", revision_before=4, rollback_version="8.2.0",
)  # fmt: skip
NEW = replace(SAME, version_after="8.3.0", backup="daily/20260302T0200", schema_before=300)
OLDER = replace(NEW, version_before="8.2.5", version_after="8.2.5")  # 8.2.5 failed before, 8.2.0 is good
FIRST = DeployProgress("k", "a" * 40, "production", version_after="8.2.0")

DEPLOYED = ObservedRelease(5, "deployed", "Upgrade complete")
BACK = ObservedRelease(6, "deployed", "Rollback to 4")
FAILED = ObservedRelease(5, "failed", 'Upgrade "rocketchat" failed: timed out')
PENDING = ObservedRelease(5, "pending-upgrade", "Preparing upgrade")
MARKED = ObservedRelease(5, "failed", f"{INTERRUPTED}: it was left pending-upgrade")
BEFORE = ObservedRelease(4, "deployed", "Upgrade complete")


def at(progress: DeployProgress, state: DeployState, **changes) -> DeployProgress:
    return replace(progress, state=state, **changes)


@pytest.mark.parametrize(
    ("progress", "observed", "action", "state"),
    [
        pytest.param(SAME, BEFORE, "gate", DeployState.GATING, id="queued"),
        pytest.param(
            at(SAME, DeployState.GATING), BEFORE, "gate", DeployState.GATING, id="killed at the gates"
        ),
        pytest.param(
            at(NEW, DeployState.BACKING_UP, backup=""),
            BEFORE,
            "back_up",
            DeployState.BACKING_UP,
            id="killed at the backup",
        ),
        pytest.param(
            at(NEW, DeployState.BACKING_UP),
            BEFORE,
            "apply",
            DeployState.APPLYING,
            id="killed after the backup",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING),
            BEFORE,
            "apply",
            DeployState.APPLYING,
            id="killed before Helm began",
        ),
        pytest.param(
            at(FIRST, DeployState.APPLYING),
            ObservedRelease(),
            "apply",
            DeployState.APPLYING,
            id="a first install",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            PENDING,
            "repair",
            DeployState.APPLYING,
            id="killed while Helm ran",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            PENDING,
            "repair",
            DeployState.APPLYING,
            id="killed, new version",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            MARKED,
            "apply",
            DeployState.APPLYING,
            id="killed after the repair",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            DEPLOYED,
            "watch",
            DeployState.WATCHING,
            id="killed after Helm was done",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            BACK,
            "nothing",
            DeployState.ROLLED_BACK,
            id="Helm went back by itself",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            FAILED,
            "roll_back",
            DeployState.ROLLING_BACK,
            id="failed, same version",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            FAILED,
            "propose_restore",
            DeployState.RESTORE_PROPOSED,
            id="failed, new version",
        ),
        pytest.param(
            at(FIRST, DeployState.APPLYING, attempts=1),
            replace(FAILED, revision=1),
            "fail_first_release",
            DeployState.FAILED,
            id="a first install failed",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=MAX_ATTEMPTS),
            MARKED,
            "roll_back",
            DeployState.ROLLING_BACK,
            id="interrupted too often",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=MAX_ATTEMPTS),
            MARKED,
            "propose_restore",
            DeployState.RESTORE_PROPOSED,
            id="interrupted too often, new version",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=MAX_ATTEMPTS),
            BEFORE,
            "fail",
            DeployState.FAILED,
            id="never began",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING),
            DEPLOYED,
            "watch",
            DeployState.WATCHING,
            id="killed while watching",
        ),
        pytest.param(
            at(SAME, DeployState.SMOKE),
            DEPLOYED,
            "smoke_test",
            DeployState.SMOKE,
            id="killed in the smoke test",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING), BACK, "nothing", DeployState.ROLLED_BACK, id="somebody went back"
        ),
        pytest.param(
            at(SAME, DeployState.SMOKE),
            ObservedRelease(),
            "fail",
            DeployState.FAILED,
            id="somebody took it away",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, rollback_attempts=1),
            ObservedRelease(6, "pending-rollback", "Preparing rollback"),
            "roll_back",
            DeployState.ROLLING_BACK,
            id="killed while going back",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, rollback_attempts=1),
            BACK,
            "nothing",
            DeployState.ROLLED_BACK,
            id="killed after going back",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, rollback_attempts=MAX_ATTEMPTS),
            FAILED,
            "fail_unknown",
            DeployState.FAILED,
            id="going back fails too",
        ),
        pytest.param(
            at(NEW, DeployState.ROLLING_BACK, attempts=1, rollback_attempts=1),
            replace(FAILED, schema=301),
            "propose_restore",
            DeployState.RESTORE_PROPOSED,
            id="a migration ran while going back",
        ),
        pytest.param(
            at(OLDER, DeployState.APPLYING, attempts=1),
            FAILED,
            "propose_restore",
            DeployState.RESTORE_PROPOSED,
            id="failed, and what is there to go back to is older than the data",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            replace(PENDING, external=True),
            "wait",
            DeployState.APPLYING,
            id="somebody else's Helm is at it",
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING),
            DEPLOYED,
            "fail",
            DeployState.FAILED,
            id="somebody else deployed meanwhile",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING, revision_after=5),
            replace(DEPLOYED, revision=6),
            "fail_unknown",
            DeployState.FAILED,
            id="somebody else deployed while it was watched",
        ),
        pytest.param(
            at(
                NEW,
                DeployState.ROLLING_BACK,
                attempts=1,
                rollback_attempts=1,
                data_unchanged=True,
                schema_before=None,
            ),
            BACK,
            "nothing",
            DeployState.ROLLED_BACK,
            id="it is back, and the pods that showed why are gone",
        ),
        pytest.param(
            at(NEW, DeployState.ROLLING_BACK, attempts=1, rollback_attempts=1, data_unchanged=True),
            replace(BACK, schema=301),
            "propose_restore",
            DeployState.RESTORE_PROPOSED,
            id="it is back, and a migration began meanwhile",
        ),
        pytest.param(at(SAME, DeployState.DONE), DEPLOYED, "nothing", DeployState.DONE, id="done"),
        pytest.param(
            at(SAME, DeployState.SUPERSEDED), BEFORE, "nothing", DeployState.SUPERSEDED, id="superseded"
        ),
    ],
)
def test_what_is_next_follows_from_what_is_recorded_and_what_is_there(progress, observed, action, state):
    step = next_step(progress, observed)
    assert (step.action, step.state) == (action, state)
    assert step.reason


@pytest.mark.parametrize(
    ("progress", "observed", "maybe"),
    [
        pytest.param(at(SAME, DeployState.APPLYING, attempts=1), FAILED, False, id="the version stays"),
        pytest.param(FIRST, ObservedRelease(), False, id="a first install has no old data"),
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
            replace(FAILED, new_version_started=False),
            True,
            id="no pod is seen, the data are locked",
        ),
        pytest.param(
            replace(NEW, attempts=1, schema_before=None),
            replace(FAILED, new_version_started=False),
            False,
            id="no pod ever ran, and nobody ever knew the schema",
        ),
        pytest.param(
            replace(NEW, attempts=1), replace(FAILED, new_version_started=True), True, id="a pod ran"
        ),
        pytest.param(
            replace(NEW, attempts=1),
            replace(FAILED, new_version_started=False, schema=301),
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
def test_a_migration_that_cannot_be_ruled_out_counts_as_run(progress, observed, maybe):
    verdict = assess_migration(progress, observed)
    assert verdict.possible is maybe
    assert verdict.reason


@pytest.mark.parametrize(
    ("progress", "observed", "reason"),
    [
        pytest.param(at(SAME, DeployState.APPLYING, attempts=2), MARKED, "attempt 3", id="the next attempt"),
        pytest.param(
            at(SAME, DeployState.APPLYING), BEFORE, "nothing was applied yet", id="the first attempt"
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=MAX_ATTEMPTS),
            MARKED,
            f"{MAX_ATTEMPTS} attempts to apply it failed; the version stays the same",
            id="no attempt is left",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, reason="no pod is ready"),
            FAILED,
            "no pod is ready; the version",
            id="why it is rolled back",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK),
            FAILED,
            "it did not become healthy; the version",
            id="nobody wrote down why",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, rollback_attempts=MAX_ATTEMPTS, reason="no pod"),
            FAILED,
            f"no pod; {MAX_ATTEMPTS} rollbacks failed",
            id="no rollback is left",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING),
            PENDING,
            "the release is at revision 5 pending-upgrade",
            id="pending",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING),
            ObservedRelease(),
            "the release is at revision 0 uninstalled",
            id="uninstalled",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING), FAILED, 'revision 5 is failed: Upgrade "rocketchat"', id="failed"
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            FAILED,
            "the schema changed from 300 to unknown or locked",
            id="a schema that cannot be read",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            replace(FAILED, schema=301),
            "the schema changed from 300 to 301",
            id="a schema that changed",
        ),
        pytest.param(
            at(NEW, DeployState.BACKING_UP), BEFORE, "backup daily/20260302T0200 is sealed", id="a backup"
        ),
        pytest.param(at(SAME, DeployState.DONE), FAILED, "it ended as done", id="the end"),
    ],
)
def test_the_reason_says_what_was_seen(progress, observed, reason):
    assert reason in next_step(progress, observed).reason


@pytest.mark.parametrize(
    ("progress", "observed", "action"),
    [
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=MAX_ATTEMPTS - 1),
            MARKED,
            "apply",
            id="one attempt is left",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK, rollback_attempts=MAX_ATTEMPTS - 1),
            FAILED,
            "roll_back",
            id="one rollback is left",
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING, revision_after=5), DEPLOYED, "watch", id="the revision Helm made"
        ),
        pytest.param(
            at(SAME, DeployState.WATCHING), replace(DEPLOYED, revision=9), "watch", id="no revision is known"
        ),
        pytest.param(
            at(SAME, DeployState.APPLYING, attempts=1),
            replace(BACK, status="failed"),
            "roll_back",
            id="a rollback that failed itself",
        ),
        pytest.param(
            at(SAME, DeployState.DONE), replace(DEPLOYED, external=True), "nothing", id="Helm after the end"
        ),
        pytest.param(
            at(NEW, DeployState.ROLLING_BACK, data_unchanged=True, attempts=1),
            FAILED,
            "propose_restore",
            id="it was proven, but it is not back, and now nobody can tell",
        ),
        pytest.param(
            at(NEW, DeployState.APPLYING, attempts=1),
            BACK,
            "propose_restore",
            id="it is back, but nothing was proven before",
        ),
        pytest.param(
            at(SAME, DeployState.ROLLING_BACK),
            replace(PENDING, revision=4),
            "roll_back",
            id="pending is changed",
        ),
    ],
)
def test_each_limit_and_each_half_of_a_condition_decides(progress, observed, action):
    assert next_step(progress, observed).action == action


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        pytest.param(300, 300, "fail", id="the same schema"),
        pytest.param(None, 301, "fail", id="nobody knew it before"),
        pytest.param(300, None, "fail", id="nobody knows it now"),
        pytest.param(300, 301, "propose_restore", id="another hand changed it"),
    ],
)
def test_where_nothing_was_started_only_a_schema_that_is_known_to_have_changed_proposes_a_restore(
    before, now, action
):
    progress = at(NEW, DeployState.APPLYING, attempts=1, schema_before=before)
    step = step_after_failure(progress, replace(FAILED, untouched=True, schema=now), "refused by Helm")
    assert step.action == action
    assert step.reason.startswith("refused by Helm; ")


@pytest.mark.parametrize(
    ("progress", "action", "reason"),
    [
        pytest.param(NEW, "fail", "no API; nothing was applied", id="before anything was applied"),
        pytest.param(
            replace(NEW, attempts=1),
            "propose_restore",
            "no API; whether 8.3.0 migrated the data is unknown",
            id="another version",
        ),
        pytest.param(
            replace(OLDER, attempts=1),
            "propose_restore",
            "no API; whether 8.2.5 migrated the data is unknown",
            id="the same version, but what is deployed is older than the data",
        ),
        pytest.param(
            replace(SAME, attempts=1),
            "fail_unknown",
            "no API; what runs now is unknown",
            id="the same version",
        ),
    ],
)
def test_a_release_that_cannot_be_looked_at_ends_by_what_may_have_happened(progress, action, reason):
    step = abort_step(progress, "no API")
    assert (step.action, step.reason) == (action, reason)
    assert step.state is (DeployState.RESTORE_PROPOSED if action == "propose_restore" else DeployState.FAILED)


def test_helm_may_go_back_by_itself_only_within_a_version():
    assert may_roll_back(SAME)
    assert may_roll_back(FIRST)
    assert not may_roll_back(NEW)
    assert not may_roll_back(OLDER), "what it would return to is older than the data"


RECORDS = st.builds(
    DeployProgress,
    key=st.just("k"),
    sha=st.just("a" * 40),
    environment=st.just("production"),
    state=st.sampled_from(DeployState),
    version_before=st.sampled_from(["", "8.2.0"]),
    version_after=st.sampled_from(["8.2.0", "8.3.0"]),
    revision_before=st.integers(0, 3),
    backup=st.sampled_from(["", "daily/x"]),
    schema_before=st.sampled_from([None, 300]),
    attempts=st.integers(0, MAX_ATTEMPTS),
    rollback_attempts=st.integers(0, MAX_ATTEMPTS),
)
SEEN = st.builds(
    ObservedRelease,
    revision=st.integers(0, 5),
    status=st.sampled_from(["", "deployed", "failed", "pending-upgrade", "pending-rollback", "superseded"]),
    description=st.sampled_from(["", "Upgrade complete", "Rollback to 2", f"{INTERRUPTED}: x"]),
    schema=st.sampled_from([None, 300, 301]),
    new_version_started=st.sampled_from([None, True, False]),
)


@given(progress=RECORDS, observed=SEEN)
def test_whatever_is_found_the_next_state_is_one_that_may_follow(progress, observed):
    step = next_step(progress, observed)
    assert progress.transition(step.state).state is step.state


@given(progress=RECORDS, observed=SEEN)
def test_the_old_version_is_never_started_where_a_migration_may_have_run(progress, observed):
    for step in (next_step(progress, observed), step_after_failure(progress, observed, "unhealthy")):
        if assess_migration(progress, observed).possible:
            assert step.action != "roll_back"


@given(progress=RECORDS, data=st.data())
def test_a_deploy_comes_to_an_end_however_often_its_worker_is_killed(progress, data):
    """A world in which every action may be cut off before or after its effect."""
    progress = replace(progress, state=DeployState.QUEUED, attempts=0, rollback_attempts=0)
    observed = ObservedRelease(progress.revision_before, "deployed" if progress.revision_before else "")
    for _ in range(200):
        step = next_step(progress, observed)
        if step.action == "nothing":
            break
        effect = data.draw(st.sampled_from(["done", "killed before", "killed within", "fails"]))
        progress, observed = _acted(progress, observed, step, effect)
    assert progress.state.final or step.state.final


def _acted(
    progress: DeployProgress, observed: ObservedRelease, step, effect: str
) -> tuple[DeployProgress, ObservedRelease]:
    if step.state.final:  # an end is recorded after its work
        return (progress if effect == "killed before" else progress.transition(step.state)), observed
    changes = {
        "attempts": progress.attempts + (step.action == "apply"),
        "rollback_attempts": progress.rollback_attempts + (step.action == "roll_back"),
    }
    progress = progress.transition(step.state, **changes)
    if effect == "killed before":
        return progress, observed
    match step.action, effect:
        case "gate", _:
            return progress.transition(
                DeployState.BACKING_UP if progress.changes_version else DeployState.APPLYING
            ), observed
        case "back_up", "done":
            return replace(progress, backup="daily/x"), observed
        case "apply" | "roll_back", _:
            status = {"done": "deployed", "killed within": "pending-upgrade"}.get(effect, "failed")
            told = "Rollback to 1" if step.action == "roll_back" else ""
            return progress, replace(
                observed, revision=observed.revision + 1, status=status, description=told
            )
        case "repair", _:
            return progress, replace(observed, status="failed", description=INTERRUPTED)
        case "watch" | "smoke_test", "done":
            return progress.transition(
                {"watch": DeployState.SMOKE, "smoke_test": DeployState.DONE}[step.action]
            ), observed
        case "watch" | "smoke_test", "fails":
            return progress.transition(step_after_failure(progress, observed, "unhealthy").state), observed
    return progress, observed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DeployState.QUEUED, DeployState.APPLYING),
        (DeployState.DONE, DeployState.APPLYING),
        (DeployState.ROLLED_BACK, DeployState.APPLYING),
        (DeployState.APPLYING, DeployState.GATING),
        (DeployState.BACKING_UP, DeployState.ROLLED_BACK),
    ],
)
def test_there_are_ways_a_deploy_does_not_go(old, new):
    with pytest.raises(ValueError, match="->"):
        at(SAME, old).transition(new)


@given(progress=RECORDS)
def test_a_record_survives_being_written_down(progress):
    assert parse_progress(json.loads(json.dumps(progress.to_json()))) == progress


def test_a_record_of_a_newer_version_can_still_be_read():
    assert parse_progress({**NEW.to_json(), "colour": "red"}) == NEW


@pytest.mark.parametrize("document", [{}, {"key": "k"}, {**SAME.to_json(), "state": "dreaming"}])
def test_what_is_no_record_is_refused(document):
    with pytest.raises((ValueError, TypeError)):
        parse_progress(document)
