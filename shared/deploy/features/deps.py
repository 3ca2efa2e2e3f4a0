"""What raising the feature compatibility version depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.deploy.features.decide import SealedBackup
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.watermarks import WatermarkStore
from shared.health.ports import Health
from shared.kernel.ports import Blobs, Clock
from shared.mongodb.feature_port import FeatureCompatibility
from shared.notifications.ports import Notifier
from shared.records.approvals import Approvals


@dataclass(frozen=True)
class FeatureDeps:
    """The ports.

    - `backups`: the good backups, newest first; as many as are needed to look back two days.
    - `chat_version`: the Rocket.Chat that is deployed by our record; empty if none is.
    - `chat_health`: whether Rocket.Chat of that version is well.
    - `compatible_mongodb`: the MongoDB versions that a Rocket.Chat supports; None if that is not known.
    - `lease_name`: that of the release, so that no deploy changes MongoDB meanwhile.
    """

    server: FeatureCompatibility
    state: Blobs
    clock: Clock
    notifications: Notifier
    approvals: Callable[[], Approvals]
    approval_timeout: timedelta
    lease_name: str
    watermarks: WatermarkStore
    backups: Callable[[], Sequence[SealedBackup]]
    chat_version: Callable[[], str]
    chat_health: Callable[[str], Health]
    compatible_mongodb: Callable[[str], Sequence[str] | None]

    @property
    def deploys(self) -> DeployStore:
        """The deploys on record."""
        return DeployStore(self.state, self.clock)
