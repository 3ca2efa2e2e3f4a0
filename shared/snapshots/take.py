"""Takes snapshots, machine by machine, with MongoDB locked where policy says so.

The disks of a machine are one set with one verdict on its consistency. Each snapshot is made as consistent
after a crash only; more is written on the set once it is proven: every call lay between lock and unlock, or
the machine was off before the first and after the last. So a run that dies has promised nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from itertools import groupby

from shared.cloud.disks import Disk, Snapshot
from shared.cloud.tags import set_tag
from shared.kernel.errors import AlreadyExists, GroundcrewError
from shared.kernel.timestamps import format_compact
from shared.records.holds import Holds
from shared.snapshots.decide import SnapshotRequest
from shared.snapshots.deps import SnapshotDeps
from shared.snapshots.freeze import FreezeLock
from shared.snapshots.machines import is_machine_off
from shared.snapshots.notices import send_notice, unlock_failed_notice

log = logging.getLogger(__name__)

CONSISTENCY_TAG = "groundcrew-consistency"
SET_TAG = "groundcrew-set"  # the same on all snapshots that were taken together
LOCKED, CRASH, OFF = "locked", "crash", "off"
# A dozen disks at the timeout below: the machine is not stopped between two of one set.
_HOLD = timedelta(minutes=15)
_CALL_TIMEOUT = timedelta(seconds=45)


class SnapshotTaker:
    """Takes what is due; `taken` are names, `problems` a sentence for each failure."""

    def __init__(self, job: SnapshotDeps, disks: Sequence[Disk]) -> None:
        self.job, self.disks = job, {disk.id: disk for disk in disks}
        self.taken: list[str] = []
        self.problems: list[str] = []

    def take_all(self, requests: Sequence[SnapshotRequest]) -> None:
        """A machine whose disks cannot be taken does not keep the others from theirs."""
        # `groupby` only joins neighbours.
        ordered = sorted(requests, key=self._machine_of)
        for machine, group in groupby(ordered, key=self._machine_of):
            try:
                self._take_set(machine, list(group))
            except GroundcrewError as error:
                self.problems.append(str(error))

    def _machine_of(self, request: SnapshotRequest) -> str:
        return self.disks[request.disk.id].attached_to

    def _is_off(self, machine: str) -> bool:
        return is_machine_off(self.job, machine, self.disks.values())

    def _take_set(self, machine: str, requests: list[SnapshotRequest]) -> None:
        goal = self._choose_consistency(machine, requests)
        # The same on all of them, so that whoever restores knows which belong together.
        set_id = format_compact(self.job.clock.now())
        holds = Holds(self.job.state, self.job.clock)
        # A stop between two disks would make the set of two moments.
        holds.add_hold("snapshots", "snapshots of disks", _HOLD)
        try:
            with self._locked(machine) if goal == LOCKED else nullcontext() as lock:
                snapshots = [self._take_snapshot(request, set_id) for request in requests]
            # After the unlock: whether the lock held to the end is only known now.
            created = [snapshot for snapshot in snapshots if snapshot is not None]
            reason = self._unproven_reason(goal, lock, machine, complete=len(created) == len(requests))
            self._label(created, CRASH if reason else goal, reason)
        finally:
            holds.release_hold("snapshots")

    def _locked(self, machine: str) -> AbstractContextManager[FreezeLock]:
        return self.job.freezer.freeze(
            machine,
            is_off=self._is_off,
            on_unlock_failed=lambda error: send_notice(self.job, unlock_failed_notice(str(error))),
        )

    def _choose_consistency(self, machine: str, requests: list[SnapshotRequest]) -> str:
        """What the set should be: locked if policy says so, or if several disks would be copied in turn."""
        if not machine:
            # No machine, no writer: a detached disk is at rest.
            return OFF
        lock = self.job.policy.lock
        if lock == "never" or (lock == "auto" and len(requests) == 1):
            return CRASH
        # What is off writes nothing, and its MongoDB cannot be asked either.
        return OFF if self._is_off(machine) else LOCKED

    def _take_snapshot(self, request: SnapshotRequest, set_id: str) -> Snapshot | None:
        # The least that is true: a worker that dies before the set is labelled has promised no more.
        tags = {**request.tags, CONSISTENCY_TAG: CRASH, SET_TAG: set_id}
        try:
            snapshot = self.job.disks.create_snapshot(
                request.disk.id, request.name, tags, timeout=_CALL_TIMEOUT
            )
        except AlreadyExists:
            return None  # another run of the same second, or an answer that got lost
        except GroundcrewError as error:
            self.problems.append(str(error))
            return None
        self.taken.append(snapshot.name)
        log.info("snapshots.taken", extra={"snapshot": snapshot.name, "reason": request.reason})
        return snapshot

    def _unproven_reason(self, goal: str, lock: FreezeLock | None, machine: str, *, complete: bool) -> str:
        """Why the set is not known to be what it should be; empty if it is."""
        if goal == CRASH:
            return ""
        if not complete:
            return "not every disk was seen to be taken"
        if lock is not None and lock.lost:
            return "the MongoDB lock was released before all were taken"
        if goal == OFF and machine and not self._is_off(machine):
            return "the machine was started meanwhile"
        return ""

    def _label(self, snapshots: Sequence[Snapshot], consistency: str, reason: str) -> None:
        if reason and snapshots:
            names = ", ".join(snapshot.name for snapshot in snapshots)
            self.problems.append(f"labelled as crash-consistent only, since {reason}: {names}")
        if consistency == CRASH:
            return
        for snapshot in snapshots:
            tags = set_tag(snapshot.tags, CONSISTENCY_TAG, consistency)
            self.job.disks.set_tags(snapshot.id, tags)
