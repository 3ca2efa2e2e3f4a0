"""A drill in memory: a world with a sealed set, a scratch MongoDB, and what people are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from local.fakes.faults import FaultPlan, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from local.fakes.scratch_cluster import MemoryScratchCluster
from shared.backup import job as backup
from shared.backup.begin import begin_set
from shared.backup.proofs import DrillRecords, read_drill_records
from shared.formats.backupset import set_folder
from shared.formats.proofs import DrillProof
from shared.mongodb.model import Timestamp
from shared.mongodb.ports import ScratchServer
from shared.policy.drill import DrillClusterPolicy, DrillPolicy
from shared.restore.drill.cluster.owner import read_owner
from shared.restore.drill.cluster.scratch import ClusterScratch
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
    make_scratch: Callable[[], MemoryDatabase] = lambda: MemoryDatabase("127.0.0.1:40000")

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
            "state": with_faults(self.world.state, plan, "state"),
            "clock": self.world.clock,
            "signer": SIGNER,
            "identities": self.world.identities,
            "connect": lambda: with_faults(self.scratch, plan, "scratch"),
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

    def cluster_deps(
        self, cluster: MemoryScratchCluster, plan: FaultPlan | None = None, **changes: object
    ) -> DrillDeps:
        """As `deps`, with a MongoDB that is started in the cluster for each drill, and is empty each time."""
        plan = plan or FaultPlan()
        policy = DrillClusterPolicy(images=("docker.io/library/mongo:8.0.15", "mongo:7.0.25"))

        def connect(_uri: str) -> ScratchServer:
            self.scratch = self.make_scratch()
            return with_faults(self.scratch, plan, "scratch")

        home = ClusterScratch(
            cluster=with_faults(cluster, plan, "cluster"),
            policy=policy,
            owner=lambda: read_owner(self.world.state),
            connect=connect,
            clock=self.world.clock,
            pause=lambda seconds: self.world.clock.advance(timedelta(seconds=seconds)) and None,
        )
        return self.deps(plan, cluster=home, addresses=(), **changes)

    def begin_backup(self, reason: str) -> str:
        plan = begin_set(self.world.job(), "daily", reason=reason)
        self.begun.append(reason)
        return set_folder(plan.klass, plan.set)

    def drill(self, until: Timestamp | None = None, **changes: object) -> DrillProof:
        return run_drill(self.deps(**changes), self.reporter, "latest", until)

    @property
    def records(self) -> DrillRecords:
        return read_drill_records(self.world.state, (SIGNER.public_text(),), self.world.clock)
