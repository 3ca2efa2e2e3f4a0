"""What a deploy does next, decided from its progress and from what is observed.

    queued -> gating -> backing_up -> applying -> watching -> smoke -> done
                        applying, watching, smoke -> rolling_back -> rolled_back
                                     any of these -> restore_proposed | failed

A state of work is recorded before the work begins, an end after it, so that a worker that finds a record
knows what another may have done. Rocket.Chat's migrations are one-way: once one may have run, the old
version is never started on the data again; the way back is a restore of the backup taken before, together
with the old version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.deploy.progress import DeployProgress, DeployState, ObservedRelease

Action = Literal[
    "gate",
    "back_up",
    "wait",
    "repair",
    "apply",
    "watch",
    "smoke_test",
    "roll_back",
    "propose_restore",
    "fail",
    "fail_first_release",
    "fail_unknown",
    "nothing",
]
MAX_ATTEMPTS = 3  # how often a deploy is applied, or rolled back, before it counts as failed
INTERRUPTED = "Interrupted"  # how a revision describes itself whose worker was killed, after the repair


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next, the state that it belongs to, and why."""

    action: Action
    state: DeployState
    reason: str


def abort_step(progress: DeployProgress, reason: str) -> NextStep:
    """How a deploy ends whose release could not be observed for too long."""
    if not progress.attempts:
        return NextStep("fail", DeployState.FAILED, f"{reason}; nothing was applied")
    if progress.changes_version or progress.rollback_is_downgrade:
        unknown = f"{reason}; whether {progress.version_after} migrated the data is unknown"
        return NextStep("propose_restore", DeployState.RESTORE_PROPOSED, unknown)
    return NextStep("fail_unknown", DeployState.FAILED, f"{reason}; what runs now is unknown")


@dataclass(frozen=True, slots=True)
class MigrationRisk:
    """Whether a migration may have run on the data, and how one knows."""

    possible: bool
    reason: str


def assess_migration(progress: DeployProgress, observed: ObservedRelease) -> MigrationRisk:
    """What cannot be ruled out counts as run: a wrong yes costs a restore, a wrong no costs the data."""
    if progress.rollback_is_downgrade:
        old, new = progress.rollback_version, progress.version_before
        return MigrationRisk(
            True, f"{new} may have migrated the data, and the last deployed revision is {old}"
        )
    if not progress.changes_version:
        return MigrationRisk(False, "the version stays the same")
    if observed.revision <= progress.revision_before and progress.attempts == 0:
        return MigrationRisk(False, "nothing was applied")
    if progress.schema_before is not None:
        if progress.schema_before == observed.schema:
            return MigrationRisk(False, f"the schema is {observed.schema} as before")
        schema = "unknown or locked" if observed.schema is None else observed.schema
        return MigrationRisk(True, f"the schema changed from {progress.schema_before} to {schema}")
    # Not None: that no pod is there now does not show that none was.
    if observed.new_version_started is False:
        return MigrationRisk(False, "no pod of the new version ever started")
    return MigrationRisk(True, f"{progress.version_after} may have started and migrated the data")


def _schema_changed(progress: DeployProgress, observed: ObservedRelease) -> bool:
    known = None not in (progress.schema_before, observed.schema)
    return known and progress.schema_before != observed.schema


def may_roll_back(progress: DeployProgress) -> bool:
    """Whether Helm may roll back by itself: never between versions, since it would start the old one."""
    return not progress.changes_version and not progress.rollback_is_downgrade


def next_step(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    """The next step of a deploy, for the first worker and for one that continues after a killed one."""
    if observed.external and not progress.state.final:
        reason = f"another Helm operation is in progress: revision {observed.revision} is {observed.status}"
        return NextStep("wait", progress.state, reason)
    match progress.state:
        case DeployState.QUEUED | DeployState.GATING:
            return NextStep("gate", DeployState.GATING, "evaluating gates")
        case DeployState.BACKING_UP:
            if progress.backup:
                return NextStep("apply", DeployState.APPLYING, f"backup {progress.backup} is sealed")
            return NextStep("back_up", DeployState.BACKING_UP, "no sealed backup is recorded")
        case DeployState.APPLYING:
            return _resume_applying(progress, observed)
        case DeployState.WATCHING | DeployState.SMOKE:
            return _resume_watching(progress, observed)
        case DeployState.ROLLING_BACK:
            return step_after_failure(progress, observed, progress.reason or "it did not become healthy")
    return NextStep("nothing", progress.state, f"it ended as {progress.state.value}")


def _resume_applying(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    is_newer = observed.revision > progress.revision_before
    if observed.pending:
        reason = f"revision {observed.revision} was left {observed.status}"
        return NextStep("repair", DeployState.APPLYING, reason)
    if is_newer and not progress.attempts:
        reason = f"another client made revision {observed.revision}: nothing was applied"
        return NextStep("fail", DeployState.FAILED, reason)
    if is_newer and observed.status == "deployed" and not _is_rolled_back(observed):
        return NextStep("watch", DeployState.WATCHING, f"revision {observed.revision} is deployed")
    if is_newer and not observed.description.startswith(INTERRUPTED):
        return step_after_failure(progress, observed, _describe_revision(observed))
    if progress.attempts >= MAX_ATTEMPTS:
        return step_after_failure(progress, observed, f"{progress.attempts} attempts to apply it failed")
    if progress.attempts:
        reason = f"attempt {progress.attempts + 1}: the last one was interrupted"
        return NextStep("apply", DeployState.APPLYING, reason)
    return NextStep("apply", DeployState.APPLYING, "nothing was applied yet")


def _resume_watching(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    if observed.pending or observed.revision <= progress.revision_before:
        # Another client's work: an operation is in progress, or the release was uninstalled.
        reason = f"the release is at revision {observed.revision} {observed.status or 'uninstalled'}"
        return step_after_failure(progress, observed, reason)
    if _is_rolled_back(observed) or observed.status != "deployed":
        return step_after_failure(progress, observed, _describe_revision(observed))
    if progress.revision_after and observed.revision > progress.revision_after:
        reason = (
            f"another client made revision {observed.revision} while {progress.revision_after} was watched"
        )
        return NextStep("fail_unknown", DeployState.FAILED, reason)
    if progress.state is DeployState.SMOKE:
        return NextStep("smoke_test", DeployState.SMOKE, "the workloads are ready; running the smoke test")
    return NextStep("watch", DeployState.WATCHING, "the release is applied; watching its workloads")


def _describe_revision(observed: ObservedRelease) -> str:
    return f"revision {observed.revision} is {observed.status}: {observed.description}"


def _is_rolled_back(observed: ObservedRelease) -> bool:
    # Helm's own description: pkg/action/rollback.go, "Rollback to %d".
    return observed.description.startswith("Rollback to ")


def step_after_failure(progress: DeployProgress, observed: ObservedRelease, reason: str) -> NextStep:
    """What follows when the new release does not become healthy."""
    # First of all: where nothing was started, no proposal may send people into a restore.
    if observed.untouched and not _schema_changed(progress, observed):
        return NextStep("fail", DeployState.FAILED, f"{reason}; nothing was changed")
    migration = assess_migration(progress, observed)
    restored = _is_rolled_back(observed) and observed.status == "deployed"
    if progress.data_unchanged and restored:
        # The pods that showed it are gone: only the data themselves can show something else now.
        migration = MigrationRisk(_schema_changed(progress, observed), migration.reason)
    if migration.possible:
        return NextStep("propose_restore", DeployState.RESTORE_PROPOSED, f"{reason}; {migration.reason}")
    if restored:
        text = f"{reason}; revision {observed.revision} is deployed: {observed.description}"
        return NextStep("nothing", DeployState.ROLLED_BACK, text)
    if not progress.revision_before:
        text = f"{reason}; there is no earlier revision to roll back to"
        return NextStep("fail_first_release", DeployState.FAILED, text)
    if observed.revision <= progress.revision_before and not observed.pending:
        return NextStep("fail", DeployState.FAILED, f"{reason}; nothing was changed")
    if progress.rollback_attempts >= MAX_ATTEMPTS:
        text = f"{reason}; {progress.rollback_attempts} rollbacks failed"
        return NextStep("fail_unknown", DeployState.FAILED, text)
    return NextStep("roll_back", DeployState.ROLLING_BACK, f"{reason}; {migration.reason}")
