"""Snapshots of disks: taken when due, tagged, pruned by the retention core, every decision with its reason.

Level-triggered: a disk gets one when its newest good one is too old, however many runs were missed. Each
snapshot is read again right before it is removed, so that a `keep-until` written meanwhile still counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from shared.cloud.disks import Disk, Snapshot
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, GroundcrewError, Locked, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail
from shared.records.holds import Holds
from shared.retention.decide import Keep, Remove
from shared.snapshots.check.disks import OWNER, TestDiskReaper
from shared.snapshots.decide import DiskSnapshot, SnapshotPlan, SnapshotRequest, SourceDisk, plan_snapshots
from shared.snapshots.deps import SnapshotDeps
from shared.snapshots.freeze import FreezeLock

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

CONSISTENCY_TAG = "groundcrew-consistency"
LOCKED, CRASH, OFF = "locked", "crash", "off"
_NEXT_RUN = "snapshots/next.json"
_RUN_INTERVAL = timedelta(hours=1)
_LEASE = timedelta(seconds=60)
_HOLD = timedelta(minutes=15)
_CALL_TIMEOUT = timedelta(seconds=45)
# So young a snapshot counts as taken with the others.
_SAME_SET_WITHIN = timedelta(minutes=30)


@dataclass
class SnapshotResult:
    """What was done: names of snapshots taken and removed, and a sentence for each failure."""

    plan: SnapshotPlan
    taken: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        keep_count = sum(isinstance(decision, Keep) for decision in self.plan.decisions)
        text = f"{len(self.taken)} taken, {len(self.removed)} removed, {keep_count} kept"
        return "; ".join(filter(None, (self.note, text, *self.problems)))


def preview_cycle(job: SnapshotDeps) -> SnapshotPlan:
    """What would be taken, kept and removed now, with reasons. Changes nothing; one call per page."""
    return _build_plan(job, job.disks.list(), job.disks.snapshots())


def _build_plan(job: SnapshotDeps, disks: Iterable[Disk], existing: Iterable[Snapshot]) -> SnapshotPlan:
    chosen = (SourceDisk(disk.id, disk.name, disk.tags) for disk in disks)
    return plan_snapshots(
        chosen, map(_to_disk_snapshot, existing), job.policy, job.clock.now(), zone=job.zone, owner=OWNER
    )


def run_tick(job: SnapshotDeps) -> str:
    """What the timer does every few minutes: see that MongoDB is not left locked, and look once an hour.

    Returns what was done, in a sentence. Raises what kept it from looking at all.
    """
    try:
        note = job.freezer.unlock_stale()
    except GroundcrewError as error:
        _send_notice(job, Severity.CRITICAL, "MongoDB may be locked", f"{error}.", key="snapshots/locked")
        raise
    if note:
        _send_notice(job, Severity.CRITICAL, "MongoDB was left locked", f"{note}.")
    now = job.clock.now()
    if now < _next_run_time(job.state) and not _test_disk_reaper(job).is_due():
        return note or "nothing to do: last run less than an hour ago"
    try:
        outcome = run_cycle(job)
    except Locked:
        return note or "skipped: another run is in progress"
    outcome.note = note
    return str(outcome)


def run_cycle(job: SnapshotDeps, *, take: bool = True, prune: bool = True) -> SnapshotResult:
    """Take what is due and remove what may go. Raises `Locked` if another run is at it."""
    with job.state.lease("locks/snapshots", duration=_LEASE) as lease:
        disks = job.disks.list()
        existing = {snapshot.id: snapshot for snapshot in job.disks.snapshots()}
        plan = _build_plan(job, disks, existing.values())
        outcome = SnapshotResult(plan)
        if take:
            due = [*plan.create, *_companion_disks(job, disks, existing.values(), plan)]
            _SnapshotTaker(job, {disk.id: disk for disk in disks}, outcome).take_all(due)
            outcome.problems += [f"{s.disk.name}: {s.reason}" for s in plan.skipped if s.limit_reached]
        if prune:
            _prune_snapshots(job, plan, existing, outcome, lease.check)
            outcome.problems += _test_disk_reaper(job).remove_expired(disks, lease.check)[1]
    _record_result(job, outcome)
    if take and prune and not outcome.problems:
        job.state.replace(
            _NEXT_RUN, encode_json({"at": (job.clock.now() + _RUN_INTERVAL).isoformat()}), etag=None
        )
    return outcome


def _companion_disks(
    job: SnapshotDeps, disks: Iterable[Disk], existing: Iterable[Snapshot], plan: SnapshotPlan
) -> Sequence[SnapshotRequest]:
    """Disks that are not due but belong to the machine of one that is: a moment is of all or none."""
    if job.policy.lock == "never":
        return ()
    due = {create.disk.id for create in plan.create}
    machines = {disk.attached_to for disk in disks if disk.id in due and disk.attached_to}
    companions = [disk for disk in disks if disk.attached_to in machines and disk.id not in due]
    soon = job.policy.model_copy(update={"every": _SAME_SET_WITHIN})
    return _build_plan(replace(job, policy=soon), companions, existing).create if companions else ()


def _test_disk_reaper(job: SnapshotDeps) -> TestDiskReaper:
    return TestDiskReaper(job.disks, job.state, job.clock)


def _next_run_time(state: Blobs) -> datetime:
    """When to look again; at once if that cannot be read."""
    try:
        return parse_timestamp(decode_json(state.read(_NEXT_RUN)[0], _NEXT_RUN)["at"])
    except (NotFound, GroundcrewError, ValueError, KeyError):
        return datetime.min.replace(tzinfo=UTC)


class _SnapshotTaker:
    """Takes snapshots, machine by machine, with MongoDB locked where policy says so."""

    def __init__(self, job: SnapshotDeps, disks: dict[str, Disk], outcome: SnapshotResult) -> None:
        self.job, self.disks, self.outcome = job, disks, outcome

    def take_all(self, creates: Sequence[SnapshotRequest]) -> None:
        """A machine whose disks cannot be taken does not keep the others from theirs."""
        ordered = sorted(creates, key=self._machine_of)
        for machine, group in groupby(ordered, key=self._machine_of):
            try:
                self._take_machine(machine, list(group))
            except GroundcrewError as error:
                self.outcome.problems.append(str(error))

    def _machine_of(self, create: SnapshotRequest) -> str:
        return self.disks[create.disk.id].attached_to

    def _take_machine(self, machine: str, creates: list[SnapshotRequest]) -> None:
        consistency = self._choose_consistency(machine, creates)
        holds = Holds(self.job.state, self.job.clock)
        holds.put("snapshots", "snapshots of disks", _HOLD)
        try:
            with self.job.freezer.freeze() if consistency == LOCKED else nullcontext() as lock:
                created = [self._take_snapshot(create, consistency) for create in creates]
            if isinstance(lock, FreezeLock) and lock.lost:
                self._mark_crash_consistent([snapshot for snapshot in created if snapshot])
        finally:
            holds.release("snapshots")

    def _choose_consistency(self, machine: str, creates: list[SnapshotRequest]) -> str:
        """Whether to lock: policy says so, or several disks would be copied at several moments."""
        lock_required = self.job.policy.lock == "always" or (
            self.job.policy.lock == "auto" and len(creates) > 1
        )
        if not machine:
            return OFF
        if not lock_required:
            return CRASH
        try:
            state = self.job.machines.state(machine)
        except NotFound:
            return OFF
        # What is off writes nothing, and cannot be asked either.
        return LOCKED if state.power.billed or state.power.moving else OFF

    def _take_snapshot(self, create: SnapshotRequest, consistency: str) -> Snapshot | None:
        tags = {**create.tags, CONSISTENCY_TAG: consistency}
        try:
            created = self.job.disks.create_snapshot(create.disk.id, create.name, tags, timeout=_CALL_TIMEOUT)
        except AlreadyExists:
            return None  # another run of the same second, or an answer that got lost
        except GroundcrewError as error:
            self.outcome.problems.append(str(error))
            return None
        self.outcome.taken.append(created.name)
        log.info(
            "snapshots.taken", extra={"snapshot": created.name, "how": consistency, "reason": create.reason}
        )
        return created

    def _mark_crash_consistent(self, created: Sequence[Snapshot]) -> None:
        for snapshot in created:
            self.job.disks.set_tags(snapshot.id, {**snapshot.tags, CONSISTENCY_TAG: CRASH})
        names = ", ".join(snapshot.name for snapshot in created)
        self.outcome.problems.append(
            f"the MongoDB lock was released by the watchdog while these were taken: {names}"
        )


def _prune_snapshots(
    job: SnapshotDeps,
    plan: SnapshotPlan,
    existing: dict[str, Snapshot],
    outcome: SnapshotResult,
    check: Callable[[], None],
) -> None:
    """Remove what the plan lets go, one by one, each looked at once more."""
    for decision in plan.decisions:
        if not isinstance(decision, Remove):
            continue
        check()
        listed = existing[decision.item.name]
        try:
            if not _is_unchanged(job, listed):
                outcome.problems.append(f"{listed.name} was changed meanwhile and stays")
                continue
            job.disks.delete_snapshot(listed.id)
        except NotFound:
            continue  # somebody else removed it
        except GroundcrewError as error:
            outcome.problems.append(str(error))
            continue
        outcome.removed.append(listed.name)
        log.info("snapshots.removed", extra={"snapshot": listed.name, "reasons": decision.reasons})


def _is_unchanged(job: SnapshotDeps, listed: Snapshot) -> bool:
    """Whether nothing was written on it since the listing, as a date until which to keep it."""
    fresh = job.disks.snapshot(listed.id)
    return (fresh.created, fresh.tags) == (listed.created, listed.tags)


def _record_result(job: SnapshotDeps, outcome: SnapshotResult) -> None:
    """On record and, if something went wrong, told."""
    if outcome.removed:
        trail = AuditTrail(job.state, job.clock)
        names = ", ".join(outcome.removed)[:2000]
        trail.append(OWNER, "snapshots.remove", names, f"{len(outcome.removed)} removed")
    run = {"at": job.clock.now(), "taken": outcome.taken, "removed": len(outcome.removed)}
    job.state.replace("snapshots/last.json", encode_json({**run, "problems": outcome.problems}), etag=None)
    if outcome.problems:
        text = "; ".join(outcome.problems)[:1500]
        _send_notice(job, Severity.WARNING, "Snapshots need attention", text, key="snapshots/problems")


def _send_notice(job: SnapshotDeps, severity: Severity, title: str, text: str, *, key: str = "") -> None:
    try:
        hint = "See `groundcrew snapshots list`."
        job.notifications.notify(Notice(severity, title, text, hint, key=key, again=True))
    except GroundcrewError as error:
        log.warning("snapshots.notification_failed", extra={"title": title, "error": str(error)})


def _to_disk_snapshot(snapshot: Snapshot) -> DiskSnapshot:
    return DiskSnapshot(
        snapshot.id,
        snapshot.name,
        snapshot.disk,
        snapshot.created,
        "Succeeded" if snapshot.provisioned else "Creating",
        snapshot.complete_percent >= 100,
        snapshot.tags,
    )
