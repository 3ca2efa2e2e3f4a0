"""List prices and public addresses: what is paid for, and the ports that tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Address:
    """A public IP address."""

    id: str
    name: str
    group: str
    location: str
    sku: str  # "Standard" or "Basic"
    static: bool  # kept, and paid for, while what it belongs to is off
    version: int = 4  # of IP
    used: bool = False  # whether it belongs to anything
    tags: Mapping[str, str] = field(default_factory=dict)


class Addresses(Protocol):
    """Public IP addresses."""

    def list(self) -> list[Address]:
        """All of them, sorted by id; one call per page. Raises `Unavailable`, `Refused`."""
        ...


class PriceKind(Enum):
    """How something is bought."""

    PAY_AS_YOU_GO = "pay as you go"
    RESERVATION = "reservation"
    SAVINGS_PLAN = "savings plan"
    SPOT = "spot"
    LOW_PRIORITY = "low priority"
    DEV_TEST = "dev/test"


@dataclass(frozen=True, slots=True)
class Price:
    """A list price, without taxes and without a customer's own discounts."""

    item: str  # the machine's size, or the meter's name, such as "P10 LRS Disk"
    region: str
    currency: str
    kind: PriceKind
    amount: Decimal  # per unit; of a reservation or a plan too, not for its whole term
    unit: str  # "hour", "month", "gb-month", or Azure's own words
    windows: bool = False
    term_years: int = 0  # of a reservation or a savings plan


class Prices(Protocol):
    """Public list prices in the currency that policy names.

    What is not for sale is an empty tuple, to be told as missing. Raises `Unavailable`, and `UsageError`
    for a currency that Azure does not know.
    """

    def list_machine_prices(self, size: str, region: str) -> tuple[Price, ...]:
        """Every way to buy a machine of that size: kinds, terms, Linux and Windows; per hour."""
        ...

    def list_storage_prices(self, region: str) -> tuple[Price, ...]:
        """Managed disks by tier, per month, and snapshots, per GB and month."""
        ...

    def list_address_prices(self, region: str) -> tuple[Price, ...]:
        """Public IP addresses, per hour."""
        ...
