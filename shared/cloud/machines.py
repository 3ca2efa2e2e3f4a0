"""Machines, disks and prices, in our words: what power, snapshots and cost need of a cloud.

No SDK type crosses these lines, and every SDK exception becomes one of `shared.kernel.errors`.
Ids are in lower case: Azure compares them without regard to case and answers in whatever case it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
class NodePool:
    """Nodes of one size in a cluster."""

    name: str
    size: str
    count: int
    scales: bool = False  # their number changes by itself
    windows: bool = False


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
    pools: tuple[NodePool, ...] = ()  # of a cluster


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

    def list_states(self) -> Mapping[str, MachineState]:
        """All of them by id, in one listing (one call per page of it). Raises `Unavailable`, `Refused`."""
        ...

    def get_state(self, machine_id: str) -> MachineState:
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
