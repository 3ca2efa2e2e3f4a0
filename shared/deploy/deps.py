"""What deploys need of the world outside, and the words they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.deploy.model import Finding
from shared.deploy.ports.forge import Forge
from shared.deploy.ports.releases import Releases
from shared.deploy.records.deployed import DeployedLedger
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.watermarks import WatermarkStore
from shared.health.ports import Health
from shared.kernel.ports import Blobs, Clock, Queues
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.ports import Cluster
from shared.notifications.ports import Notifier
from shared.records.holds import Holds

if TYPE_CHECKING:
    from shared.policy.deploy import DeployPolicy

QUEUE = "deploys"
DEPLOYMENT_PREFIX = "Groundcrew deploys"  # how the descriptions of our deployments on the forge begin
LEASE_DURATION = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """The MongoDB behind the chat: its version, and Rocket.Chat's migration counter in it.

    `schema` is None if it could not be read or a migration holds the lock.
    """

    version: str
    schema: int | None


@dataclass(frozen=True, slots=True)
class DecryptedValues:
    """A values file as Helm is to get it, and the secrets in it, which nobody is to see."""

    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DeployBackups:
    """How a deploy gets its backup: `begin(reason)` gives a set's `class/id`, `state` of it `open`, `sealed`
    or `failed`."""

    begin: Callable[[str], str]
    state: Callable[[str], str]


@dataclass(frozen=True)
class DeployDeps:
    """All that a deploy needs. `smoke` looks whether the server runs a version and lets people in;
    `compatible` tells the MongoDB versions of a release, None if that cannot be found out; `decrypt` takes a
    values file's text and name; `validate` checks manifests against a version of Kubernetes; `page` is where
    people see how it goes, empty if the app's address is not known."""

    repository: str
    forge: Forge
    releases: Releases
    cluster: Cluster
    state: Blobs
    queues: Queues
    clock: Clock
    policy: DeployPolicy
    notifications: Notifier
    backups: DeployBackups
    server: Callable[[], DatabaseInfo]
    compatible: Callable[[str], Sequence[str] | None]
    smoke: Callable[[str], Health]
    decrypt: Callable[[str, str], DecryptedValues]
    validate: Callable[[Sequence[Manifest], str], Sequence[Finding]]
    page: str = ""
    # What must not be said, by commit: a worker that goes on with a deploy need not open its values again.
    secrets: dict[str, set[str]] = field(default_factory=dict, repr=False, compare=False)
    opened: set[str] = field(default_factory=set, compare=False)  # the commits whose values are known

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

    def link(self, key: str) -> str:
        """Where people see how the deploy of that key goes; empty if that is not known."""
        return f"{self.page}/{key}" if self.page else ""

    @property
    def lock(self) -> str:
        """The lease of the release: one deploy at a time."""
        return f"locks/deploys/{self.policy.namespace}-{self.policy.release}"


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Nothing can be done now: come again after `delay`."""

    delay: timedelta
    why: str


Values = Mapping[str, object]
