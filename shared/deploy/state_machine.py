"""The course of one deploy, and what comes next, from what is recorded and what is there.

    queued -> gating -> backing_up -> applying -> watching -> smoke -> done
                        applying, watching, smoke -> rolling_back -> rolled_back
                                     any of these -> restore_proposed | failed

A state of work is recorded before the work begins, an end after it, so that a worker that finds a record
knows what another may have done. Rocket.Chat's migrations are one-way: once one may have run, the old
version is never started on the data again; the way back is a restore of the backup taken before, together
with the old version.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Literal

Action = Literal[
    "gate",
    "back_up",
    "await",
    "repair",
    "apply",
    "watch",
    "smoke",
    "roll_back",
    "propose_restore",
    "fail",
    "fail_first",
    "fail_unclear",
    "nothing",
]
MAX_ATTEMPTS = 3  # how often a deploy is applied before it counts as failed
INTERRUPTED = "Interrupted"  # how a revision describes itself whose worker was killed, after the repair


class DeployState(StrEnum):
    """Where a deploy stands."""

    QUEUED = "queued"
    GATING = "gating"
    BACKING_UP = "backing_up"
    APPLYING = "applying"
    WATCHING = "watching"
    SMOKE = "smoke"
    ROLLING_BACK = "rolling_back"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    RESTORE_PROPOSED = "restore_proposed"
    FAILED = "failed"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return not _NEXT[self]

    @property
    def busy(self) -> bool:
        """Whether it is past its gates and not at its end: nothing else may happen to the release."""
        return not self.final and self not in (DeployState.QUEUED, DeployState.GATING)


_ENDS = frozenset({DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED, DeployState.FAILED})
_FAILING = _ENDS | {DeployState.ROLLING_BACK}
_NEXT: dict[DeployState, frozenset[DeployState]] = {
    DeployState.QUEUED: frozenset({DeployState.GATING, DeployState.SUPERSEDED, DeployState.FAILED}),
    DeployState.GATING: frozenset(
        {
            DeployState.BACKING_UP,
            DeployState.APPLYING,
            DeployState.SUPERSEDED,
            DeployState.DONE,
            DeployState.FAILED,
        }
    ),
    DeployState.BACKING_UP: frozenset({DeployState.APPLYING, DeployState.SUPERSEDED, DeployState.FAILED}),
    DeployState.APPLYING: _FAILING | {DeployState.WATCHING},
    DeployState.WATCHING: _FAILING | {DeployState.SMOKE},
    DeployState.SMOKE: _FAILING | {DeployState.DONE},
    DeployState.ROLLING_BACK: _ENDS,
    **{end: frozenset() for end in (*_ENDS, DeployState.DONE, DeployState.SUPERSEDED)},
}


@dataclass(frozen=True, slots=True)
class DeployProgress:
    """What is kept of a deploy between its steps. Revisions count from 1; 0 is none yet."""

    key: str
    sha: str
    environment: str
    state: DeployState = DeployState.QUEUED
    pull: int = 0
    version_before: str = ""  # Rocket.Chat's that the data belong to, empty on the first install
    version_after: str = ""
    revision_before: int = 0  # the release's newest good one before this deploy
    revision_version: str = ""  # what that one runs; older than version_before where a newer one failed
    had_data: bool = False  # no release was there, but data of some version
    backup: str = ""  # class/id of the set that was taken for it
    schema_before: int | None = None  # Rocket.Chat's migration counter, None if it could not be read
    attempts: int = 0  # how often it was applied
    ways_back: int = 0  # how often a rollback was begun
    deployment: int = 0  # the forge's id
    revision_after: int = 0  # the revision that Helm made of it, once it succeeded
    clean: bool = False  # the way back was begun since the data are proven to be as before
    unclear: bool = False  # it ended without anybody knowing what is in the cluster now
    reason: str = ""

    @property
    def changes_version(self) -> bool:
        """Whether another version of Rocket.Chat starts on data that is there."""
        return (bool(self.version_before) or self.had_data) and self.version_before != self.version_after

    @property
    def way_back_is_older(self) -> bool:
        """Whether the revision to go back to is of another version than the data may be."""
        return bool(self.revision_version) and self.revision_version != self.version_before

    def move(self, state: DeployState, **changes: Any) -> DeployProgress:
        """The record in another state. Raises ValueError for a way there is not."""
        if state is not self.state and state not in _NEXT[self.state]:
            raise ValueError(f"{self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {**asdict(self), "state": self.state.value}


def parse_progress(plain: dict[str, Any]) -> DeployProgress:
    """The record that `plain` was made from; unknown fields of a newer version are dropped.

    Raises ValueError or TypeError for anything else.
    """
    known = {field.name for field in fields(DeployProgress)}
    record = {key: value for key, value in plain.items() if key in known}
    return DeployProgress(**{**record, "state": DeployState(record.get("state", "queued"))})


@dataclass(frozen=True, slots=True)
class ObservedRelease:
    """What is there now: the release's newest revision, how it describes itself, and the data's schema.

    `foreign` says that it is somebody else's operation, which this deploy must not touch.

    `schema` is the version in Rocket.Chat's `migrations` control document; None if it cannot be read or is
    locked, which it is while a migration runs. `started` says whether a container of the new version ever
    ran; None if nobody could tell.
    """

    revision: int = 0
    status: str = ""
    description: str = ""
    schema: int | None = None
    started: bool | None = None
    foreign: bool = False

    @property
    def pending(self) -> bool:
        """Whether Helm was left in the middle of something."""
        return self.status.startswith("pending-") or self.status == "uninstalling"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next, and why."""

    action: Action
    state: DeployState
    reason: str


def abort_step(progress: DeployProgress, reason: str) -> NextStep:
    """What is to be said when what is there could not be seen for too long."""
    if not progress.attempts:
        return NextStep("fail", DeployState.FAILED, f"{reason}; nothing was applied")
    if progress.changes_version or progress.way_back_is_older:
        told = f"{reason}; nobody can tell whether {progress.version_after} migrated the data"
        return NextStep("propose_restore", DeployState.RESTORE_PROPOSED, told)
    return NextStep("fail_unclear", DeployState.FAILED, f"{reason}; nobody can tell what runs now")


@dataclass(frozen=True, slots=True)
class MigrationRisk:
    """Whether a migration may have run on the data, and how one knows."""

    maybe: bool
    reason: str


def assess_migration(progress: DeployProgress, observed: ObservedRelease) -> MigrationRisk:
    """What cannot be ruled out counts as run: a wrong yes costs a restore, a wrong no costs the data."""
    if progress.way_back_is_older:
        old, new = progress.revision_version, progress.version_before
        return MigrationRisk(True, f"{new} may have migrated the data, and there is only {old} to go back to")
    if not progress.changes_version:
        return MigrationRisk(False, "the version stays the same")
    if observed.revision <= progress.revision_before and progress.attempts == 0:
        return MigrationRisk(False, "nothing was applied")
    if progress.schema_before is not None:
        if progress.schema_before == observed.schema:
            return MigrationRisk(False, f"the schema is {observed.schema} as before")
        there = "what cannot be read, or is locked" if observed.schema is None else observed.schema
        return MigrationRisk(True, f"the schema went from {progress.schema_before} to {there}")
    if observed.started is False:
        return MigrationRisk(False, "no pod of the new version ever ran")
    return MigrationRisk(
        True, f"{progress.version_after} may have run, and nothing shows that it migrated nothing"
    )


def _moved(progress: DeployProgress, observed: ObservedRelease) -> bool:
    return None not in (progress.schema_before, observed.schema) and progress.schema_before != observed.schema


def may_roll_back(progress: DeployProgress) -> bool:
    """Whether Helm may go back by itself: never between versions, since it would start the old one."""
    return not progress.changes_version and not progress.way_back_is_older


def next_step(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    """What a worker does that picks the deploy up, be it the first one or the heir of a killed one."""
    if observed.foreign and not progress.state.final:
        return NextStep(
            "await", progress.state, f"revision {observed.revision} is somebody else's, {observed.status}"
        )
    match progress.state:
        case DeployState.QUEUED | DeployState.GATING:
            return NextStep("gate", DeployState.GATING, "the gates are asked anew each time")
        case DeployState.BACKING_UP:
            if progress.backup:
                return NextStep("apply", DeployState.APPLYING, f"the backup {progress.backup} is sealed")
            return NextStep("back_up", DeployState.BACKING_UP, "no sealed backup is recorded")
        case DeployState.APPLYING:
            return _resume_applying(progress, observed)
        case DeployState.WATCHING | DeployState.SMOKE:
            return _resume_watching(progress, observed)
        case DeployState.ROLLING_BACK:
            return step_after_failure(progress, observed, progress.reason or "it did not get well")
    return NextStep("nothing", progress.state, f"it ended as {progress.state.value}")


def _resume_applying(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    ours = observed.revision > progress.revision_before
    if observed.pending:
        return NextStep(
            "repair", DeployState.APPLYING, f"revision {observed.revision} was left {observed.status}"
        )
    if ours and not progress.attempts:
        reason = f"somebody else made revision {observed.revision} meanwhile: nothing was applied"
        return NextStep("fail", DeployState.FAILED, reason)
    if ours and observed.status == "deployed" and not _went_back(observed):
        return NextStep("watch", DeployState.WATCHING, f"revision {observed.revision} is deployed")
    if ours and not observed.description.startswith(INTERRUPTED):
        return step_after_failure(
            progress, observed, f"revision {observed.revision} is {observed.status}: {observed.description}"
        )
    if progress.attempts >= MAX_ATTEMPTS:
        return step_after_failure(progress, observed, f"it was applied {progress.attempts} times in vain")
    if progress.attempts:
        return NextStep(
            "apply", DeployState.APPLYING, f"attempt {progress.attempts + 1}: the last one was not finished"
        )
    return NextStep("apply", DeployState.APPLYING, "nothing was applied yet")


def _resume_watching(progress: DeployProgress, observed: ObservedRelease) -> NextStep:
    if observed.pending or observed.revision <= progress.revision_before:
        # Somebody else's hand: another operation runs, or the release was taken away.
        return step_after_failure(
            progress, observed, f"the release is at {observed.revision} {observed.status or 'gone'}"
        )
    if _went_back(observed) or observed.status != "deployed":
        return step_after_failure(
            progress, observed, f"revision {observed.revision} is {observed.status}: {observed.description}"
        )
    if progress.revision_after and observed.revision > progress.revision_after:
        reason = (
            f"somebody else made revision {observed.revision} while {progress.revision_after} was watched"
        )
        return NextStep("fail_unclear", DeployState.FAILED, reason)
    if progress.state is DeployState.SMOKE:
        return NextStep("smoke", DeployState.SMOKE, "the release is healthy, the smoke test is to be done")
    return NextStep("watch", DeployState.WATCHING, "the release is applied, its health is to be seen")


def _went_back(observed: ObservedRelease) -> bool:
    # Helm's own description: pkg/action/rollback.go, "Rollback to %d".
    return observed.description.startswith("Rollback to ")


def step_after_failure(progress: DeployProgress, observed: ObservedRelease, reason: str) -> NextStep:
    """What follows when the new release does not get well."""
    verdict = assess_migration(progress, observed)
    if progress.clean and _went_back(observed) and observed.status == "deployed":
        # The pods that showed it are gone: only the data themselves can show something else now.
        verdict = MigrationRisk(_moved(progress, observed), verdict.reason)
    if verdict.maybe:
        return NextStep("propose_restore", DeployState.RESTORE_PROPOSED, f"{reason}; {verdict.reason}")
    if _went_back(observed) and observed.status == "deployed":
        return NextStep(
            "nothing",
            DeployState.ROLLED_BACK,
            f"{reason}; revision {observed.revision} is {observed.description}",
        )
    if not progress.revision_before:
        return NextStep("fail_first", DeployState.FAILED, f"{reason}; there is nothing to go back to")
    if observed.revision <= progress.revision_before and not observed.pending:
        return NextStep("fail", DeployState.FAILED, f"{reason}; nothing was changed")
    if progress.ways_back >= MAX_ATTEMPTS:
        reason = f"{reason}; going back failed {progress.ways_back} times"
        return NextStep("fail_unclear", DeployState.FAILED, reason)
    return NextStep("roll_back", DeployState.ROLLING_BACK, f"{reason}; {verdict.reason}")
