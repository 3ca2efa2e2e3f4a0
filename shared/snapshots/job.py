"""Snapshots of disks: taken when due, tagged, pruned by the retention core, every decision with its reason.

Level-triggered: a disk gets one when its newest good one is too old, however many runs were missed. What is
removed is looked at once more right before, so that a `keep-until` that somebody just wrote still counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from typing import TYPE_CHECKING

from shared.cloud.disks import Disk, Disks, Snapshot
from shared.cloud.machines import PowerSwitch
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, GroundcrewError, Locked, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.notifications.ports import Notice, Notifier, Severity
from shared.records.audit import AuditTrail
from shared.records.holds import Holds
from shared.retention.decide import Keep, Remove
from shared.snapshots import decide as core
from shared.snapshots.check.disks import OWNER, CheckDisks
from shared.snapshots.decide import Create, SnapshotPlan
from shared.snapshots.freeze import Freezer, Frozen

if TYPE_CHECKING:
    from shared.policy import SnapshotPolicy

log = logging.getLogger(__name__)

CONSISTENCY_TAG = "groundcrew-consistency"
LOCKED, CRASH, OFF = "locked", "crash", "off"
_NEXT = "snapshots/next.json"
_LOOK_EVERY = timedelta(hours=1)
_LEASE = timedelta(seconds=60)
_HOLD = timedelta(minutes=15)
_CALL = timedelta(seconds=45)
# So young a snapshot counts as taken with the others.
_TOGETHER = timedelta(minutes=30)


@dataclass(frozen=True)
class Snapshots:
    """What the job needs. `machines` says whether the machine a disk belongs to is off."""

    disks: Disks
    machines: PowerSwitch
    freezer: Freezer
    state: Blobs
    clock: Clock
    notifications: Notifier
    policy: SnapshotPolicy
    zone: tzinfo


@dataclass
class Outcome:
    """What was done: names of snapshots taken and removed, and a sentence for each failure."""

    plan: SnapshotPlan
    taken: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        kept = sum(isinstance(decision, Keep) for decision in self.plan.decisions)
        text = f"{len(self.taken)} taken, {len(self.removed)} removed, {kept} kept"
        return "; ".join(filter(None, (self.note, text, *self.problems)))


def survey(job: Snapshots) -> SnapshotPlan:
    """What would be taken, kept and removed now, with reasons. Changes nothing; one call per page."""
    return _plan(job, job.disks.list(), job.disks.snapshots())


def _plan(job: Snapshots, disks: Iterable[Disk], found: Iterable[Snapshot]) -> SnapshotPlan:
    chosen = (core.Disk(disk.id, disk.name, disk.tags) for disk in disks)
    return core.plan_snapshots(
        chosen, map(_as_core, found), job.policy, job.clock.now(), zone=job.zone, owner=OWNER
    )


def tick(job: Snapshots) -> str:
    """What the timer does every few minutes: see that MongoDB is not left locked, and look once an hour.

    Returns what was done, in a sentence. Raises what kept it from looking at all.
    """
    try:
        note = job.freezer.thaw_forgotten()
    except GroundcrewError as error:
        _tell(job, Severity.CRITICAL, "MongoDB may be locked", f"{error}.", key="snapshots/locked")
        raise
    if note:
        _tell(job, Severity.CRITICAL, "MongoDB was left locked", f"{note}.")
    now = job.clock.now()
    if now < _next_look(job.state) and not _checks(job).is_due():
        return note or "nothing to do: looked less than an hour ago"
    try:
        outcome = cycle(job)
    except Locked:
        return note or "nothing to do: another run is at it"
    outcome.note = note
    return str(outcome)


def cycle(job: Snapshots, *, take: bool = True, prune: bool = True) -> Outcome:
    """Take what is due and remove what may go. Raises `Locked` if another run is at it."""
    with job.state.lease("locks/snapshots", duration=_LEASE) as lease:
        disks = job.disks.list()
        found = {snapshot.id: snapshot for snapshot in job.disks.snapshots()}
        plan = _plan(job, disks, found.values())
        outcome = Outcome(plan)
        if take:
            due = [*plan.create, *_along(job, disks, found.values(), plan)]
            _Taking(job, {disk.id: disk for disk in disks}, outcome).all(due)
            full = (passed for passed in plan.passed if "must stay" in passed.because)
            outcome.problems += [f"{passed.disk.name}: {passed.because}" for passed in full]
        if prune:
            _prune(job, plan, found, outcome, lease.check)
            outcome.problems += _checks(job).remove_forgotten(disks, lease.check)[1]
    _report(job, outcome)
    if take and prune and not outcome.problems:
        job.state.replace(_NEXT, encode_json({"at": (job.clock.now() + _LOOK_EVERY).isoformat()}), etag=None)
    return outcome


def _along(
    job: Snapshots, disks: Iterable[Disk], found: Iterable[Snapshot], plan: SnapshotPlan
) -> Sequence[Create]:
    """Disks that are not due but belong to the machine of one that is: a moment is of all or none."""
    if job.policy.lock == "never":
        return ()
    due = {create.disk.id for create in plan.create}
    machines = {disk.attached_to for disk in disks if disk.id in due and disk.attached_to}
    beside = [disk for disk in disks if disk.attached_to in machines and disk.id not in due]
    soon = job.policy.model_copy(update={"every": _TOGETHER})
    return _plan(replace(job, policy=soon), beside, found).create if beside else ()


def _checks(job: Snapshots) -> CheckDisks:
    return CheckDisks(job.disks, job.state, job.clock)


def _next_look(state: Blobs) -> datetime:
    """When to look again; at once if that cannot be read."""
    try:
        return parse_timestamp(decode_json(state.read(_NEXT)[0], _NEXT)["at"])
    except (NotFound, GroundcrewError, ValueError, KeyError):
        return datetime.min.replace(tzinfo=UTC)


class _Taking:
    """Takes snapshots, machine by machine, with MongoDB locked where policy says so."""

    def __init__(self, job: Snapshots, disks: dict[str, Disk], outcome: Outcome) -> None:
        self.job, self.disks, self.outcome = job, disks, outcome

    def all(self, creates: Sequence[Create]) -> None:
        """A machine whose disks cannot be taken does not keep the others from theirs."""
        ordered = sorted(creates, key=self._machine)
        for machine, group in groupby(ordered, key=self._machine):
            try:
                self._of_one_machine(machine, list(group))
            except GroundcrewError as error:
                self.outcome.problems.append(str(error))

    def _machine(self, create: Create) -> str:
        return self.disks[create.disk.id].attached_to

    def _of_one_machine(self, machine: str, creates: list[Create]) -> None:
        how = self._how(machine, creates)
        holds = Holds(self.job.state, self.job.clock)
        holds.put("snapshots", "snapshots of disks", _HOLD)
        try:
            with self.job.freezer.frozen() if how == LOCKED else nullcontext() as frozen:
                made = [self._take(create, how) for create in creates]
            if isinstance(frozen, Frozen) and frozen.lost:
                self._mark_inconsistent([snapshot for snapshot in made if snapshot])
        finally:
            holds.release("snapshots")

    def _how(self, machine: str, creates: list[Create]) -> str:
        """Whether to lock: policy says so, or several disks would be copied at several moments."""
        wanted = self.job.policy.lock == "always" or (self.job.policy.lock == "auto" and len(creates) > 1)
        if not machine:
            return OFF
        if not wanted:
            return CRASH
        try:
            state = self.job.machines.state(machine)
        except NotFound:
            return OFF
        # What is off writes nothing, and cannot be asked either.
        return LOCKED if state.power.billed or state.power.moving else OFF

    def _take(self, create: Create, how: str) -> Snapshot | None:
        tags = {**create.tags, CONSISTENCY_TAG: how}
        try:
            made = self.job.disks.create_snapshot(create.disk.id, create.name, tags, timeout=_CALL)
        except AlreadyExists:
            return None  # another run of the same second, or an answer that got lost
        except GroundcrewError as error:
            self.outcome.problems.append(str(error))
            return None
        self.outcome.taken.append(made.name)
        log.info("snapshots.taken", extra={"snapshot": made.name, "how": how, "because": create.because})
        return made

    def _mark_inconsistent(self, made: Sequence[Snapshot]) -> None:
        for snapshot in made:
            self.job.disks.set_tags(snapshot.id, {**snapshot.tags, CONSISTENCY_TAG: CRASH})
        names = ", ".join(snapshot.name for snapshot in made)
        self.outcome.problems.append(f"the lock of MongoDB was lost while these were taken: {names}")


def _prune(
    job: Snapshots,
    plan: SnapshotPlan,
    found: dict[str, Snapshot],
    outcome: Outcome,
    check: Callable[[], None],
) -> None:
    """Remove what the plan lets go, one by one, each looked at once more."""
    for decision in plan.decisions:
        if not isinstance(decision, Remove):
            continue
        check()
        listed = found[decision.item.name]
        try:
            if not _may_still_go(job, listed):
                outcome.problems.append(f"{listed.name} was changed meanwhile and stays")
                continue
            job.disks.delete_snapshot(listed.id)
        except NotFound:
            continue  # somebody else removed it
        except GroundcrewError as error:
            outcome.problems.append(str(error))
            continue
        outcome.removed.append(listed.name)
        log.info("snapshots.removed", extra={"snapshot": listed.name, "because": decision.reasons})


def _may_still_go(job: Snapshots, listed: Snapshot) -> bool:
    """Whether nothing was written on it since the listing, as a date until which to keep it."""
    fresh = job.disks.snapshot(listed.id)
    return (fresh.created, fresh.tags) == (listed.created, listed.tags)


def _report(job: Snapshots, outcome: Outcome) -> None:
    """On record and, if something went wrong, told."""
    if outcome.removed:
        trail = AuditTrail(job.state, job.clock)
        names = ", ".join(outcome.removed)[:2000]
        trail.append(OWNER, "snapshots.remove", names, f"{len(outcome.removed)} removed")
    run = {"at": job.clock.now(), "taken": outcome.taken, "removed": len(outcome.removed)}
    job.state.replace("snapshots/last.json", encode_json({**run, "problems": outcome.problems}), etag=None)
    if outcome.problems:
        text = "; ".join(outcome.problems)[:1500]
        _tell(job, Severity.WARNING, "Snapshots are not as they should be", text, key="snapshots/problems")


def _tell(job: Snapshots, severity: Severity, title: str, text: str, *, key: str = "") -> None:
    try:
        hint = "See `groundcrew snapshots list`."
        job.notifications.notify(Notice(severity, title, text, hint, key=key, again=True))
    except GroundcrewError as error:
        log.warning("snapshots.not_told", extra={"title": title, "error": str(error)})


def _as_core(snapshot: Snapshot) -> core.Snapshot:
    return core.Snapshot(
        snapshot.id,
        snapshot.name,
        snapshot.disk,
        snapshot.created,
        "Succeeded" if snapshot.provisioned else "Creating",
        snapshot.complete_percent >= 100,
        snapshot.tags,
    )
