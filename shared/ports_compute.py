"""Machines, disks and prices, in our words: what power, snapshots and cost need of a cloud.

As in `shared.ports`, no SDK type crosses these lines and every SDK exception becomes one of `shared.errors`.
Ids are in lower case: Azure compares them without regard to case and answers in whatever case it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Protocol


class PowerState(Enum):
    """What a machine is doing. https://learn.microsoft.com/azure/virtual-machines/states-billing"""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"  # shut down from inside; the hardware is still allocated
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"
    UNKNOWN = "unknown"

    @property
    def billed(self) -> bool:
        """Whether compute is paid for; a machine that was only shut down from inside still is."""
        return self in (PowerState.RUNNING, PowerState.STOPPING, PowerState.STOPPED)

    @property
    def moving(self) -> bool:
        """Whether it is between two states."""
        return self in (PowerState.STARTING, PowerState.STOPPING, PowerState.DEALLOCATING)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine (or a cluster) as it was ordered; what it is doing is its `MachineState`."""

    id: str
    name: str
    group: str
    location: str
    size: str
    tags: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()  # ids of managed disks, the system disk first


@dataclass(frozen=True, slots=True)
class MachineState:
    """What a machine was doing when Azure last looked, which may be a minute ago."""

    id: str
    power: PowerState
    busy: bool = False  # an operation is running on it; another one would be refused
    failure: str = ""  # the code with which the last operation failed, such as "AllocationFailed"
    detail: str = ""  # Azure's sentence about that failure
    since: datetime | None = None  # when the last operation ended, where Azure says so

    @property
    def name(self) -> str:
        """The machine's name, in lower case."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a script run inside a machine left behind; only the end of long output is kept."""

    stdout: str
    stderr: str
    exit_code: int | None  # None if it could not be learned


class PowerSwitch(Protocol):
    """Starting and stopping, for machines and clusters alike. None of it waits for the end."""

    def list(self) -> list[Machine]:
        """All of them with tags and disks, without their states, sorted by id; one call per page."""
        ...

    def states(self) -> Mapping[str, MachineState]:
        """All of them by id, in one listing (one call per page of it). Raises `Unavailable`, `Refused`."""
        ...

    def state(self, machine_id: str) -> MachineState:
        """One of them, in one call. Raises `NotFound` if it was deleted or renamed."""
        ...

    def begin_start(self, machine_id: str) -> None:
        """Ask for a start; one that runs stays as it is.

        The end shows in `state`: lack of capacity is found out after this call returned, as a `failure`.
        Raises `NotFound`, `Conflict` while another operation runs, `Unavailable` (with Azure's code as its
        value, such as "AllocationFailed"), `Refused`.
        """
        ...

    def begin_deallocate(self, machine_id: str) -> None:
        """Ask for a stop that ends the billing of compute. Raises as `begin_start`."""
        ...


class Machines(PowerSwitch, Protocol):
    """Virtual machines."""

    def run_command(self, machine_id: str, script: str, *, timeout: timedelta) -> CommandResult:
        """Run a shell script as root in a running machine and wait for its end.

        Raises `Unavailable` after `timeout` (the script may still be running), `Conflict` while another
        operation runs, `Refused` if the machine is not running, `NotFound`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Disk:
    """A managed disk."""

    id: str
    name: str
    group: str
    location: str
    sku: str  # such as "Premium_LRS"
    size_gb: int
    tags: Mapping[str, str] = field(default_factory=dict)
    tier: str = ""  # such as "P10", by which it is billed; empty where Azure names none
    attached_to: str = ""  # the machine's id
    created: datetime | None = None
    source: str = ""  # the id of the snapshot or disk it was made of
    provisioned: bool = True  # there, not just asked for


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a disk."""

    id: str
    name: str
    group: str
    location: str
    disk: str  # the id of the disk it was taken of, which may be gone
    created: datetime
    size_gb: int
    tags: Mapping[str, str] = field(default_factory=dict)
    incremental: bool = True
    provisioned: bool = True  # taken, not just asked for
    complete_percent: float = 100.0  # of the copy in the background; a disk can be made of it at 100


class Disks(Protocol):
    """Managed disks and their snapshots."""

    def list(self, tag: tuple[str, str] | None = None) -> list[Disk]:
        """All disks, or those with that tag and value, sorted by id; one call per page."""
        ...

    def snapshots(self) -> Iterator[Snapshot]:
        """All snapshots, page by page, in no order."""
        ...

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """One snapshot. Raises `NotFound`."""
        ...

    def create_snapshot(
        self, disk_id: str, name: str, tags: Mapping[str, str], *, timeout: timedelta = timedelta(minutes=2)
    ) -> Snapshot:
        """Take an incremental snapshot beside the disk; when this returns, its point in time is fixed.

        Raises `AlreadyExists` if there is one of that name, `Refused` at the limit of 500 per disk,
        `NotFound` for the disk, `Conflict` while another operation runs, `Unavailable` after `timeout`.
        """
        ...

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Ask for its deletion; one that is not there is fine. Raises `Conflict` while it is worked on."""
        ...

    def set_tags(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Replace all tags of a disk or a snapshot. Raises `NotFound`."""
        ...

    def create_disk(
        self, snapshot_id: str, name: str, sku: str, tags: Mapping[str, str], *, timeout: timedelta
    ) -> Disk:
        """Make a disk of a snapshot, beside it, and wait until it is there.

        Raises `AlreadyExists`, `NotFound`, `Conflict` while the snapshot is still being copied,
        `Unavailable` after `timeout`.
        """
        ...

    def delete_disk(self, disk_id: str) -> None:
        """Ask for its deletion; one that is not there is fine. Raises `Refused` while it is attached."""
        ...


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

    def machine(self, size: str, region: str) -> tuple[Price, ...]:
        """Every way to buy a machine of that size: kinds, terms, Linux and Windows; per hour."""
        ...

    def storage(self, region: str) -> tuple[Price, ...]:
        """Managed disks by tier, per month, and snapshots, per GB and month."""
        ...

    def addresses(self, region: str) -> tuple[Price, ...]:
        """Public IP addresses, per hour."""
        ...
