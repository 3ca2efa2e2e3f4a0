"""The ports that the cost report needs."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from shared.cloud.disks import Disks
from shared.cloud.prices import Addresses
from shared.cloud.prices import Prices as PriceList
from shared.cost.price_cache import PriceCache
from shared.notifications.ports import Notifier
from shared.power.inventory import Inventory


@dataclass(frozen=True)
class CostDeps:
    """What the report needs; `cache` is the one behind `prices`."""

    inventory: Inventory
    disks: Disks
    addresses: Addresses
    prices: PriceList
    cache: PriceCache
    notifications: Notifier

    @property
    def zone(self) -> ZoneInfo:
        """Where weeks and months begin."""
        return ZoneInfo(self.inventory.policy.timezone)
