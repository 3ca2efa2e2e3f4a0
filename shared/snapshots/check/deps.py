"""The ports that the snapshot check needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared.cloud.disks import Disks
from shared.cloud.prices import Prices
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier


@dataclass(frozen=True)
class CheckDeps:
    """What the job needs. `timeout` is how long the making of a disk may take."""

    disks: Disks
    prices: Prices
    state: Blobs
    clock: Clock
    notifications: Notifier
    timeout: timedelta = timedelta(minutes=15)
