"""Disks, snapshots, a machine and a MongoDB in memory, under a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.compute import MemoryMachines
from local.fakes.disks import MemoryDisks
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.freeze import MemoryFreezable
from local.fakes.notifications import MemoryNotifications
from shared.policy import parse_policy
from shared.snapshots.deps import SnapshotDeps
from shared.snapshots.freeze import Freezer

TAG = {"groundcrew": "snapshot"}
POLICY = (
    "timezone: Europe/Berlin\nsnapshots: {disks: groundcrew=snapshot, keep: {daily: 14d, minimum: 2}, EXTRA}"
)


@dataclass
class World:
    """Everything outside of the job; `job(plan)` is the job with faults in all it touches."""

    extra: str = "lock: auto"
    limit: timedelta = timedelta(seconds=30)
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 3, 2, 3, tzinfo=UTC)))

    def __post_init__(self) -> None:
        self.policy = parse_policy(POLICY.replace("EXTRA", self.extra))
        self.machines, self.disks = MemoryMachines(self.clock), MemoryDisks(self.clock)
        self.state = MemoryBlobs(self.clock)
        self.mongodb = MemoryFreezable()
        self.notifications = MemoryNotifications(self.clock)
        self.vm = self.machines.add("rocketchat")

    def add_disk(self, name: str, *, tagged: bool = True) -> str:
        return self.disks.add_disk(name, tags=TAG if tagged else {}, attached_to=self.vm)

    def job(self, plan: FaultPlan | None = None) -> SnapshotDeps:
        plan = plan or FaultPlan()
        state = with_faults(self.state, plan, "state")
        server = with_faults(self.mongodb, plan, "mongodb")
        return SnapshotDeps(
            disks=with_faults(self.disks, plan, "disks"),
            machines=with_faults(self.machines, plan, "machines"),
            freezer=Freezer(lambda: server, state, self.clock, self.limit, sleep=self.sleep),
            state=state,
            clock=self.clock,
            notifications=self.notifications,
            policy=self.policy.snapshots,
            zone=ZoneInfo("Europe/Berlin"),
        )

    def sleep(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def die(self) -> None:
        """The process is gone: its leases end."""
        self.state.holders_died()
        self.clock.advance(timedelta(minutes=5))

    def names(self) -> list[str]:
        return sorted(snapshot.name for snapshot in self.disks.list_snapshots())
