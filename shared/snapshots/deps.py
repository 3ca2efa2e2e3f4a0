"""The ports that the snapshot cycle needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING

from shared.cloud.disks import Disks
from shared.cloud.machines import PowerSwitch
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier
from shared.snapshots.freeze import Freezer

if TYPE_CHECKING:
    from shared.policy import SnapshotPolicy


@dataclass(frozen=True)
class SnapshotDeps:
    """What the job needs. `machines` says whether the machine a disk belongs to is off."""

    disks: Disks
    machines: PowerSwitch
    freezer: Freezer
    state: Blobs
    clock: Clock
    notifications: Notifier
    policy: SnapshotPolicy
    zone: tzinfo
