"""A drill in memory: a world with a sealed set, a scratch MongoDB, and what people are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.fakes.faults import FaultPlan, faulty
from local.fakes.mongodb import MemoryDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup.begin import begin_set
from shared.backup.proofs import DrillRecords, read_drill_records
from shared.formats.backupset import set_folder
from shared.formats.proofs import DrillProof
from shared.mongodb.model import Timestamp
from shared.policy.drill import DrillPolicy
from shared.restore.drill.deps import DrillDeps
from shared.restore.drill.job import run_drill
from tests.support.backup_world import SIGNER, World


@dataclass
class DrillWorld:
    """`deps(plan)` is the drill with faults in all it touches."""

    world: World = field(default_factory=World)
    scratch: MemoryDatabase = field(default_factory=lambda: MemoryDatabase("scratch:27017"))
    policy: DrillPolicy = field(default_factory=DrillPolicy)
    offline: str = ""
    begun: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifications = MemoryNotifications(self.world.clock)
        self.reporter = ListReporter()

    def seal(self) -> None:
        """Tonight's set."""
        backup.run_nightly(self.world.job())
        self.world.work(self.world.job())

    def deps(self, plan: FaultPlan | None = None, **changes: object) -> DrillDeps:
        plan = plan or FaultPlan()
        settings: dict[str, object] = {
            "catalogue": self.world.catalogue,
            "state": faulty(self.world.state, plan, "state"),
            "clock": self.world.clock,
            "signer": SIGNER,
            "identities": self.world.identities,
            "connect": lambda: faulty(self.scratch, plan, "scratch"),
            "addresses": ("scratch:27017",),
            "production": lambda: ("memory:27017",),
            "notifications": self.notifications,
            "begin_backup": self.begin_backup,
            "policy": self.policy,
            "tool": "groundcrew test",
            "jobs": 1,
            "offline_reason": lambda: self.offline,
        }
        return DrillDeps(**{**settings, **changes})  # type: ignore[arg-type]

    def begin_backup(self, reason: str) -> str:
        plan = begin_set(self.world.job(), "daily", reason=reason)
        self.begun.append(reason)
        return set_folder(plan.klass, plan.set)

    def drill(self, until: Timestamp | None = None, **changes: object) -> DrillProof:
        return run_drill(self.deps(**changes), self.reporter, "latest", until)

    @property
    def records(self) -> DrillRecords:
        return read_drill_records(self.world.state, (SIGNER.public_text(),), self.world.clock)
