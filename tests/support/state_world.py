"""A backup in memory whose sets hold the state of a cluster, too."""

from __future__ import annotations

from dataclasses import replace

from local.fakes.cluster_state import MemoryState
from local.fakes.faults import FaultPlan
from shared.backup import job as backup
from shared.backup.deps import BackupDeps
from shared.backup.sets import SetInfo
from shared.cluster_state.collect import collect_state
from shared.cluster_state.model import StateScope
from shared.formats.cluster_state import ClusterState
from tests.support.backup_world import World
from tests.support.cluster_objects import NAMESPACE, living_cluster

SCOPE = StateScope((NAMESPACE,), "cert-manager", (f"{NAMESPACE}/*",))


class StateWorld(World):
    """A world with a cluster whose state is taken along."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cluster = MemoryState()
        self.cluster.add(*living_cluster())

    def job(self, plan: FaultPlan | None = None) -> BackupDeps:
        return replace(super().job(plan), read_state=self.read_state)

    def read_state(self, set_: str) -> ClusterState:
        return collect_state(lambda: self.cluster, SCOPE, list, set_=set_, now=self.clock.now())

    def seal(self) -> SetInfo:
        """Tonight's set."""
        backup.run_nightly(self.job())
        self.work(self.job())
        return self.sealed()[-1]
