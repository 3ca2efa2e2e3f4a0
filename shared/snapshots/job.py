"""Snapshots of disks: taken when due, tagged, pruned by the retention core, every decision with its reason.

Level-triggered: a disk gets one when its newest good one is too old, however many runs were missed. Each
snapshot is read again right before it is removed, so that a `keep-until` written meanwhile still counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.cloud.disks import Disk, Snapshot
from shared.cloud.tags import has_tag
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import GroundcrewError, Locked, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.records.audit import AuditTrail
from shared.retention.decide import Keep, Remove
from shared.snapshots.check.disks import OWNER, TestDiskReaper
from shared.snapshots.decide import DiskSnapshot, SnapshotPlan, SnapshotRequest, SourceDisk, plan_snapshots
from shared.snapshots.deps import SnapshotDeps
from shared.snapshots.last_cycle import (
    DiskSnapshots,
    SnapshotCycle,
    collect_good_snapshots,
    save_last_cycle,
)
from shared.snapshots.machines import are_all_machines_off, is_machine_off
from shared.snapshots.notices import (
    problems_notice,
    send_notice,
    unlock_failed_notice,
    unlocked_notice,
    unreadable_notice,
)
from shared.snapshots.schedule import next_due
from shared.snapshots.take import SnapshotTaker

log = logging.getLogger(__name__)

_NEXT_RUN = "snapshots/next.json"
# A run costs a page or more of Azure's listings, and nothing falls due by the minute.
_RUN_INTERVAL = timedelta(hours=1)
_RETRY_INTERVAL = timedelta(minutes=15)
_LEASE = timedelta(seconds=60)
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
    return _build_plan(job, job.disks.list(), job.disks.list_snapshots())


def _build_plan(job: SnapshotDeps, disks: Iterable[Disk], existing: Iterable[Snapshot]) -> SnapshotPlan:
    chosen = (SourceDisk(disk.id, disk.name, disk.tags) for disk in disks)
    return plan_snapshots(
        chosen, map(_to_disk_snapshot, existing), job.policy, job.clock.now(), zone=job.zone, owner=OWNER
    )


def run_tick(job: SnapshotDeps) -> str:
    """What the timer does every few minutes: see that MongoDB is not left locked, and look once an hour.

    Returns what was done, in a sentence. Raises what kept it from looking at all.
    """
    # First, and on every tick: as long as MongoDB is locked nobody can write a message.
    note = _release_stale_lock(job)
    if job.clock.now() < _next_run_time(job.state) and not _test_disk_reaper(job).is_due():
        return note or "nothing to do: last run less than an hour ago"
    try:
        outcome = run_cycle(job)
    # The next tick comes in minutes, and the run in progress does the same work.
    except Locked:
        return note or "skipped: another run is in progress"
    outcome.note = note
    return str(outcome)


def _release_stale_lock(job: SnapshotDeps) -> str:
    """What was done about a lock that a dead run may have left; a failure does not stop the cycle."""

    def is_off(machine: str) -> bool:
        disks = job.disks.list()
        if machine:
            return is_machine_off(job, machine, disks)
        selected = [disk for disk in disks if job.policy.disks and has_tag(disk.tags, job.policy.disks)]
        return are_all_machines_off(job, selected)

    def on_unlock_failed(error: GroundcrewError) -> None:
        send_notice(job, unlock_failed_notice(str(error)))

    try:
        note = job.freezer.unlock_stale(is_off, on_unlock_failed)
    except GroundcrewError as error:
        log.error("snapshots.stale_lock_failed", extra={"error": str(error)})  # noqa: TRY400
        send_notice(job, unlock_failed_notice(str(error)))
        return f"MongoDB may be locked: {error}"
    if note.startswith("unlocked"):
        send_notice(job, unlocked_notice(note))
    return note


def run_cycle(job: SnapshotDeps, *, take: bool = True, prune: bool = True) -> SnapshotResult:
    """Take what is due and remove what may go. Raises `Locked` if another run is at it."""
    with job.state.lease("locks/snapshots", duration=_LEASE) as lease:
        disks = job.disks.list()
        selected = [disk for disk in disks if job.policy.disks and has_tag(disk.tags, job.policy.disks)]
        existing = {snapshot.id: snapshot for snapshot in job.disks.list_snapshots()}
        plan = _build_plan(job, disks, existing.values())
        outcome = SnapshotResult(plan)
        if take:
            taker = SnapshotTaker(job, disks)
            taker.take_all([*plan.create, *_companion_disks(job, disks, existing.values(), plan)])
            outcome.taken, outcome.problems = taker.taken, taker.problems
            outcome.problems += [f"{s.disk.name}: {s.reason}" for s in plan.skipped if s.limit_reached]
        if prune:
            _prune_snapshots(job, plan, existing, outcome, lease.check)
            outcome.problems += _test_disk_reaper(job).remove_expired(disks, lease.check)[1]
    _record_result(job, outcome, collect_good_snapshots(selected, existing.values(), plan.decisions))
    # A run by hand that does half of it must not put the timer's whole run off.
    if take and prune:
        job.state.replace(_NEXT_RUN, encode_json({"at": _next_run(job, outcome).isoformat()}), etag=None)
    return outcome


def _next_run(job: SnapshotDeps, outcome: SnapshotResult) -> datetime:
    """When to look again: soon after a failure, within the hour, and when a snapshot is due."""
    now = job.clock.now()
    pause = _RETRY_INTERVAL if outcome.problems else _RUN_INTERVAL
    return min(now + pause, next_due(job.policy.every, job.policy.time_of_day, job.zone, now))


def _companion_disks(
    job: SnapshotDeps, disks: Iterable[Disk], existing: Iterable[Snapshot], plan: SnapshotPlan
) -> Sequence[SnapshotRequest]:
    """Disks that are not due but belong to the machine of one that is: a moment is of all or none."""
    if job.policy.lock == "never":
        return ()
    due = {create.disk.id for create in plan.create}
    machines = {disk.attached_to for disk in disks if disk.id in due and disk.attached_to}
    # Data and journal on two disks that were copied a day apart are no database.
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
        # Another run may have begun when the lease was lost: it decides from here on.
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
    fresh = job.disks.get_snapshot(listed.id)
    # The time of creation too: under the same name there may be another snapshot by now.
    return (fresh.created, fresh.tags) == (listed.created, listed.tags)


def _record_result(job: SnapshotDeps, outcome: SnapshotResult, disks: Mapping[str, DiskSnapshots]) -> None:
    """On record and, if something went wrong, told."""
    if outcome.removed:
        # What was removed cannot be asked for any more: who looks for it later finds it here.
        trail = AuditTrail(job.state, job.clock)
        names = ", ".join(outcome.removed)[:2000]
        trail.append(OWNER, "snapshots.remove", names, f"{len(outcome.removed)} removed")
    taken, problems = tuple(outcome.taken), tuple(outcome.problems)
    cycle = SnapshotCycle(job.clock.now(), taken, len(outcome.removed), problems, disks)
    save_last_cycle(job.state, cycle)
    # Without problems this tells that those people heard of are over.
    send_notice(job, problems_notice(outcome.problems))
    if outcome.plan.unreadable:
        send_notice(job, unreadable_notice(outcome.plan.unreadable))


def _to_disk_snapshot(snapshot: Snapshot) -> DiskSnapshot:
    return DiskSnapshot(
        snapshot.id,
        snapshot.name,
        snapshot.disk,
        snapshot.created,
        # One that is not provisioned yet can be neither restored from nor relied on.
        "Succeeded" if snapshot.provisioned else "Creating",
        snapshot.complete_percent >= 100,
        snapshot.tags,
    )
