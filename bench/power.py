"""Power and snapshots: a year of ticks for one machine, and the plan for a hundred thousand snapshots."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.compute import MemoryMachines
from local.fakes.disks import MemoryDisks, resource_id
from local.fakes.freeze import MemoryFreezable
from local.fakes.notifications import MemoryNotifications
from shared.cloud.disks import Snapshot
from shared.policy import days_off, parse_policy
from shared.power.attempts import Act, Attempt, append_attempt, reconcile_history
from shared.power.decide import decide_power
from shared.power.model import PowerStatus, Situation, schedule_for
from shared.snapshots.deps import SnapshotDeps
from shared.snapshots.freeze import Freezer
from shared.snapshots.job import preview_cycle

TICKS, TICK = 105_120, timedelta(minutes=5)
SNAPSHOTS, DISKS = 100_000, 250
_POLICY = """
timezone: Europe/Berlin
power:
  machines: [{name: rocketchat, windows: ["Mon-Fri 07:00-19:00"]}]
  holidays: {country: DE}
snapshots: {disks: groundcrew=snapshot, keep: {daily: 14d, weekly: 8w, monthly: 400d}}
"""


def run() -> dict[str, Any]:
    """`year_seconds` and `plan_100k_seconds`, with what was done in them."""
    year, starts = _year()
    plan, calls, removed = _plan()
    return {
        "power": {"year_seconds": year, "year_ticks": TICKS, "year_starts": starts},
        "snapshots": {"plan_100k_seconds": plan, "plan_100k_calls": calls, "plan_100k_removed": removed},
    }


def _year() -> tuple[float, int]:
    """Processor seconds, not the clock's: others share the machine."""
    policy = parse_policy(_POLICY)
    schedule = schedule_for(policy.power.machines[0], policy.timezone, days_off(policy.power))
    now, state, history, starts = datetime(2026, 1, 1, tzinfo=UTC), PowerStatus.DEALLOCATED, (), 0
    seen: tuple[Attempt, ...] = history
    began = time.process_time()
    for _ in range(TICKS):
        seen = reconcile_history(
            seen, running=state is PowerStatus.RUNNING, deallocated=state is PowerStatus.DEALLOCATED
        )
        decision = decide_power(Situation(state, schedule, history=seen), policy.power, now)
        if decision.act in (Act.WARN, Act.START, Act.STOP):
            seen = append_attempt(seen, Attempt(decision.act, decision.id, now, stop_at=decision.stop_at))
            starts += decision.act is Act.START
            state = {Act.START: PowerStatus.RUNNING, Act.STOP: PowerStatus.DEALLOCATED}.get(
                decision.act, state
            )
        now += TICK
    return time.process_time() - began, starts


class _Many(MemoryDisks):
    """Disks with very many snapshots, listed a thousand a page."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        disks = [self.add_disk(f"d{n}", tags={"groundcrew": "snapshot"}) for n in range(DISKS)]
        tags: Mapping[str, str] = {"groundcrew-owner": "groundcrew", "groundcrew-class": "daily"}
        first = Snapshot("", "", "rocketchat", "westeurope", "", clock.now(), 128, tags)
        self.many = [
            replace(
                first,
                id=resource_id("snapshots", f"s{n}"),
                name=f"s{n}",
                disk=disks[n % DISKS],
                created=clock.now() - timedelta(hours=2 * (n // DISKS)),
            )
            for n in range(SNAPSHOTS)
        ]

    def list_snapshots(self) -> Iterator[Snapshot]:
        """All of them."""
        for begin in range(0, SNAPSHOTS, 1000):
            self.calls["page"] += 1
            yield from self.many[begin : begin + 1000]


def _plan() -> tuple[float, int, int]:
    clock = ManualClock()
    disks, state = _Many(clock), MemoryBlobs(clock)
    job = SnapshotDeps(
        disks=disks,
        machines=MemoryMachines(clock),
        freezer=Freezer(lambda: MemoryFreezable(), state, clock),
        state=state,
        clock=clock,
        notifications=MemoryNotifications(clock),
        policy=parse_policy(_POLICY).snapshots,
        zone=ZoneInfo("Europe/Berlin"),
    )
    gc.collect()
    gc.freeze()  # the collector is not to walk what only the measurement made
    began = time.process_time()
    plan = preview_cycle(job)
    took = time.process_time() - began
    gc.unfreeze()
    removed = sum("Removed" in type(decision).__name__ for decision in plan.decisions)
    return took, disks.calls.total(), removed
