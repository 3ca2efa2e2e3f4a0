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
MOST_ATTEMPTS = 3  # how often a deploy is applied before it counts as failed
INTERRUPTED = "Interrupted"  # how a revision describes itself whose worker was killed, after the repair


class State(StrEnum):
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
        return not self.final and self not in (State.QUEUED, State.GATING)


_ENDS = frozenset({State.ROLLED_BACK, State.RESTORE_PROPOSED, State.FAILED})
_FAILING = _ENDS | {State.ROLLING_BACK}
_NEXT: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.GATING, State.SUPERSEDED, State.FAILED}),
    State.GATING: frozenset({State.BACKING_UP, State.APPLYING, State.SUPERSEDED, State.DONE, State.FAILED}),
    State.BACKING_UP: frozenset({State.APPLYING, State.SUPERSEDED, State.FAILED}),
    State.APPLYING: _FAILING | {State.WATCHING},
    State.WATCHING: _FAILING | {State.SMOKE},
    State.SMOKE: _FAILING | {State.DONE},
    State.ROLLING_BACK: _ENDS,
    **{end: frozenset() for end in (*_ENDS, State.DONE, State.SUPERSEDED)},
}


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a deploy between its steps. Revisions count from 1; 0 is none yet."""

    key: str
    sha: str
    environment: str
    state: State = State.QUEUED
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

    def move(self, state: State, **changes: Any) -> Record:
        """The record in another state. Raises ValueError for a way there is not."""
        if state is not self.state and state not in _NEXT[self.state]:
            raise ValueError(f"{self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {**asdict(self), "state": self.state.value}


def load(plain: dict[str, Any]) -> Record:
    """The record that `plain` was made from; unknown fields of a newer version are dropped.

    Raises ValueError or TypeError for anything else.
    """
    known = {field.name for field in fields(Record)}
    kept = {key: value for key, value in plain.items() if key in known}
    return Record(**{**kept, "state": State(kept.get("state", "queued"))})


@dataclass(frozen=True, slots=True)
class Seen:
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
class Step:
    """What to do next, and why."""

    action: Action
    state: State
    reason: str


def given_up(record: Record, reason: str) -> Step:
    """What is to be said when what is there could not be seen for too long."""
    if not record.attempts:
        return Step("fail", State.FAILED, f"{reason}; nothing was applied")
    if record.changes_version or record.way_back_is_older:
        told = f"{reason}; nobody can tell whether {record.version_after} migrated the data"
        return Step("propose_restore", State.RESTORE_PROPOSED, told)
    return Step("fail_unclear", State.FAILED, f"{reason}; nobody can tell what runs now")


@dataclass(frozen=True, slots=True)
class Migrated:
    """Whether a migration may have run on the data, and how one knows."""

    maybe: bool
    reason: str


def migrated(record: Record, seen: Seen) -> Migrated:
    """What cannot be ruled out counts as run: a wrong yes costs a restore, a wrong no costs the data."""
    if record.way_back_is_older:
        old, new = record.revision_version, record.version_before
        return Migrated(True, f"{new} may have migrated the data, and there is only {old} to go back to")
    if not record.changes_version:
        return Migrated(False, "the version stays the same")
    if seen.revision <= record.revision_before and record.attempts == 0:
        return Migrated(False, "nothing was applied")
    if record.schema_before is not None:
        if record.schema_before == seen.schema:
            return Migrated(False, f"the schema is {seen.schema} as before")
        there = "what cannot be read, or is locked" if seen.schema is None else seen.schema
        return Migrated(True, f"the schema went from {record.schema_before} to {there}")
    if seen.started is False:
        return Migrated(False, "no pod of the new version ever ran")
    return Migrated(True, f"{record.version_after} may have run, and nothing shows that it migrated nothing")


def _moved(record: Record, seen: Seen) -> bool:
    return None not in (record.schema_before, seen.schema) and record.schema_before != seen.schema


def may_roll_back(record: Record) -> bool:
    """Whether Helm may go back by itself: never between versions, since it would start the old one."""
    return not record.changes_version and not record.way_back_is_older


def next_step(record: Record, seen: Seen) -> Step:
    """What a worker does that picks the deploy up, be it the first one or the heir of a killed one."""
    if seen.foreign and not record.state.final:
        return Step("await", record.state, f"revision {seen.revision} is somebody else's, {seen.status}")
    match record.state:
        case State.QUEUED | State.GATING:
            return Step("gate", State.GATING, "the gates are asked anew each time")
        case State.BACKING_UP:
            if record.backup:
                return Step("apply", State.APPLYING, f"the backup {record.backup} is sealed")
            return Step("back_up", State.BACKING_UP, "no sealed backup is recorded")
        case State.APPLYING:
            return _resume_applying(record, seen)
        case State.WATCHING | State.SMOKE:
            return _resume_watching(record, seen)
        case State.ROLLING_BACK:
            return after_failure(record, seen, record.reason or "it did not get well")
    return Step("nothing", record.state, f"it ended as {record.state.value}")


def _resume_applying(record: Record, seen: Seen) -> Step:
    ours = seen.revision > record.revision_before
    if seen.pending:
        return Step("repair", State.APPLYING, f"revision {seen.revision} was left {seen.status}")
    if ours and not record.attempts:
        reason = f"somebody else made revision {seen.revision} meanwhile: nothing was applied"
        return Step("fail", State.FAILED, reason)
    if ours and seen.status == "deployed" and not _went_back(seen):
        return Step("watch", State.WATCHING, f"revision {seen.revision} is deployed")
    if ours and not seen.description.startswith(INTERRUPTED):
        return after_failure(record, seen, f"revision {seen.revision} is {seen.status}: {seen.description}")
    if record.attempts >= MOST_ATTEMPTS:
        return after_failure(record, seen, f"it was applied {record.attempts} times in vain")
    if record.attempts:
        return Step("apply", State.APPLYING, f"attempt {record.attempts + 1}: the last one was not finished")
    return Step("apply", State.APPLYING, "nothing was applied yet")


def _resume_watching(record: Record, seen: Seen) -> Step:
    if seen.pending or seen.revision <= record.revision_before:
        # Somebody else's hand: another operation runs, or the release was taken away.
        return after_failure(record, seen, f"the release is at {seen.revision} {seen.status or 'gone'}")
    if _went_back(seen) or seen.status != "deployed":
        return after_failure(record, seen, f"revision {seen.revision} is {seen.status}: {seen.description}")
    if record.revision_after and seen.revision > record.revision_after:
        reason = f"somebody else made revision {seen.revision} while {record.revision_after} was watched"
        return Step("fail_unclear", State.FAILED, reason)
    if record.state is State.SMOKE:
        return Step("smoke", State.SMOKE, "the release is healthy, the smoke test is to be done")
    return Step("watch", State.WATCHING, "the release is applied, its health is to be seen")


def _went_back(seen: Seen) -> bool:
    # Helm's own description: pkg/action/rollback.go, "Rollback to %d".
    return seen.description.startswith("Rollback to ")


def after_failure(record: Record, seen: Seen, reason: str) -> Step:
    """What follows when the new release does not get well."""
    verdict = migrated(record, seen)
    if record.clean and _went_back(seen) and seen.status == "deployed":
        # The pods that showed it are gone: only the data themselves can show something else now.
        verdict = Migrated(_moved(record, seen), verdict.reason)
    if verdict.maybe:
        return Step("propose_restore", State.RESTORE_PROPOSED, f"{reason}; {verdict.reason}")
    if _went_back(seen) and seen.status == "deployed":
        return Step("nothing", State.ROLLED_BACK, f"{reason}; revision {seen.revision} is {seen.description}")
    if not record.revision_before:
        return Step("fail_first", State.FAILED, f"{reason}; there is nothing to go back to")
    if seen.revision <= record.revision_before and not seen.pending:
        return Step("fail", State.FAILED, f"{reason}; nothing was changed")
    if record.ways_back >= MOST_ATTEMPTS:
        reason = f"{reason}; going back failed {record.ways_back} times"
        return Step("fail_unclear", State.FAILED, reason)
    return Step("roll_back", State.ROLLING_BACK, f"{reason}; {verdict.reason}")
