"""The ports that power needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.cloud.disks import Disks
from shared.cloud.machines import Machines
from shared.health.ports import Probe
from shared.notifications.ports import Notifier
from shared.power.inventory import Inventory


@dataclass(frozen=True)
class PowerDeps:
    """What power needs. `begin_backup` begins a nightly set if one is due, and says what it did.

    So do `capture_oplog` and `run_probes`, which fail by saying so.
    """

    inventory: Inventory
    guests: Machines | None  # for scripts inside virtual machines
    notifications: Notifier
    probes: Sequence[Probe] = ()
    begin_backup: Callable[[], str] | None = None
    capture_oplog: Callable[[], str] | None = None  # a slice before a stop and after a start
    disks: Disks | None = None  # whose snapshots a refresh of MicroK8s waits for
    run_probes: Callable[[], str] | None = None  # what people do, tried when a started server is well

    @property
    def now(self) -> datetime:
        """The present."""
        return self.inventory.clock.now()
