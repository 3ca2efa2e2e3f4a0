"""The ports and settings that deploys depend on, and the values that these give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.deploy.model import Finding
from shared.deploy.ports.forge import Forge
from shared.deploy.ports.rehearsals import Rehearsals
from shared.deploy.ports.releases import ChartRenderer, Releases
from shared.deploy.records.deployed import DeployedLedger
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.watermarks import WatermarkStore
from shared.health.ports import Health
from shared.kernel.ports import Blobs, Clock, Queues
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.ports import Cluster
from shared.notifications.ports import Notifier
from shared.probes.model import ProbeReport
from shared.records.approvals import Approvals
from shared.records.holds import Holds
from shared.upgrades.model import ProbeKey, UpgradeObservation

if TYPE_CHECKING:
    from shared.policy.deploy import DeployPolicy

QUEUE = "deploys"
DEPLOYMENT_PREFIX = "Groundcrew deploys"  # how the descriptions of our deployments on GitHub begin
# Renewed while Helm runs: after a crash another worker goes on in half a minute.
LEASE_DURATION = timedelta(seconds=30)


def lease_name(namespace: str, release: str) -> str:
    """The lease whose holder alone changes the release and what it runs on."""
    return f"locks/deploys/{namespace}-{release}"


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """The MongoDB behind Rocket.Chat.

    - `version`: the server's.
    - `schema`: Rocket.Chat's migration counter; None if it could not be read or a migration holds the lock.
    - `features`: MongoDB's feature compatibility version, `8.0`; empty if unknown.
    """

    version: str
    schema: int | None
    features: str = ""


@dataclass(frozen=True, slots=True)
class DecryptedValues:
    """A values file as Helm gets it, and the secrets in it, which must not be shown."""

    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DeployBackups:
    """How a deploy takes its backup: `start(reason)` returns the set's class/id, `state` of it is `open`,
    `sealed` or `failed`."""

    start: Callable[[str], str]
    state: Callable[[str], str]


@dataclass(frozen=True)
class DeployDeps:
    """What a deploy depends on.

    - `state`: the blobs of the container `groundcrew`.
    - `database`: asks the MongoDB behind Rocket.Chat.
    - `compatible_mongodb`: the MongoDB versions that a Rocket.Chat supports; None if that is not known.
    - `count_upgrade`: counts in the database what an upgrade touches.
    - `smoke_test`: whether the server runs a version and serves its login page.
    - `run_probes`: tries what people do after a deploy of a commit, by its SHA; whether it is the last try,
      before which nothing is told. Its report is empty where policy wants none.
    - `decrypt`: takes a values file's text and name.
    - `validate`: checks manifests against the schemas of a version of Kubernetes.
    - `rehearsals`: upgrades that were tried on a backup; None where policy has none.
    - `page_url`: where people follow deploys; empty if the app's address is not known.
    - `secrets`: the secrets in a commit's values, by its SHA, so that a worker that continues a deploy
      redacts them without decrypting again; `decrypted_commits` are those where they are complete.
    """

    repository: str
    forge: Forge
    releases: Releases
    renderer: ChartRenderer
    cluster: Cluster
    state: Blobs
    queues: Queues
    clock: Clock
    policy: DeployPolicy
    notifications: Notifier
    backups: DeployBackups
    approvals: Callable[[], Approvals]  # when called, since few of the jobs need one
    database: Callable[[], DatabaseInfo]
    compatible_mongodb: Callable[[str], Sequence[str] | None]
    count_upgrade: Callable[[Collection[ProbeKey]], UpgradeObservation]
    smoke_test: Callable[[str], Health]
    decrypt: Callable[[str, str], DecryptedValues]
    validate: Callable[[Sequence[Manifest], str], Sequence[Finding]]
    run_probes: Callable[[str, bool], ProbeReport] = lambda _sha, _last_try: ProbeReport()
    rehearsals: Rehearsals | None = None
    page_url: str = ""
    secrets: dict[str, set[str]] = field(default_factory=dict, repr=False, compare=False)
    decrypted_commits: set[str] = field(default_factory=set, compare=False)

    @property
    def deploys(self) -> DeployStore:
        """The deploys on record."""
        return DeployStore(self.state, self.clock)

    @property
    def watermarks(self) -> WatermarkStore:
        """The newest version that may have touched the data."""
        return WatermarkStore(self.state, self.policy.namespace, self.policy.release)

    @property
    def ledger(self) -> DeployedLedger:
        """Which commit is deployed where."""
        return DeployedLedger(self.state)

    @property
    def holds(self) -> Holds:
        """What keeps the machine up."""
        return Holds(self.state, self.clock)

    @property
    def lease_name(self) -> str:
        """The lease of the release: one deploy at a time."""
        return lease_name(self.policy.namespace, self.policy.release)

    def page_link(self, key: str) -> str:
        """The page of the deploy of that key; empty if the app's address is not known."""
        return f"{self.page_url}/{key}" if self.page_url else ""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Nothing can be done now: continue after `delay`. `reason` completes "waiting: "."""

    delay: timedelta
    reason: str
