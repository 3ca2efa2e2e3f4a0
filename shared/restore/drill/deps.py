"""What a restore drill needs of the outside."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.backup.catalogue import SetCatalogue
from shared.cluster_state.check import StateChecks
from shared.formats.agekeys import Identity
from shared.formats.manifest import Signer
from shared.kernel.ports import Blobs, Clock
from shared.mongodb.ports import ScratchServer
from shared.notifications.ports import Notifier
from shared.records.holds import Holds
from shared.records.runs import Runs
from shared.restore.drill.cluster.scratch import ClusterScratch, check_namespace

if TYPE_CHECKING:
    from shared.policy.drill import DrillPolicy

JOB = "drill"


def random_between(first: int, last: int) -> int:
    """Any of them, so that over the weeks the drills see all hours of the day."""
    return first + secrets.randbelow(max(last - first, 0) + 1)


@dataclass(frozen=True)
class DrillDeps:
    """The ports and settings of the drill."""

    catalogue: SetCatalogue
    state: Blobs  # proofs, run records, holds, the lease
    clock: Clock
    signer: Signer
    identities: Sequence[Identity]
    connect: Callable[[], ScratchServer]  # connects when called, so that a refusal can be recorded
    addresses: Sequence[str]  # `host:port` that DRILL_MONGODB_URI names
    # `host:port` of production, as its URI and, if it answers, its members name it.
    production: Callable[[], Sequence[str]]
    notifications: Notifier
    begin_backup: Callable[[str], str]  # begins a set for this reason; returns its folder
    policy: DrillPolicy
    tool: str
    jobs: int = 2
    pick: Callable[[int, int], int] = random_between  # the second of a moment to restore
    state_checks: StateChecks | None = (
        None  # what the cluster's state is held against; None: it is not opened
    )
    # Why the machine is off on purpose; empty if it is not.
    offline_reason: Callable[[], str] = lambda: ""
    # Starts a MongoDB for each drill; None: `connect` leads to one that is there always.
    cluster: ClusterScratch | None = None

    @property
    def target(self) -> str:
        """Into what is restored, for people."""
        return self.cluster.place if self.cluster else ", ".join(self.addresses)

    def probe_target(self) -> None:
        """Raises Unavailable while what is restored into cannot be reached."""
        if self.cluster is None:
            self.connect().close()
        else:
            check_namespace(self.cluster)

    @property
    def runs(self) -> Runs:
        """The run records."""
        return Runs(self.state, self.clock)

    @property
    def holds(self) -> Holds:
        """The holds."""
        return Holds(self.state, self.clock)
