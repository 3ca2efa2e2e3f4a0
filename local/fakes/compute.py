"""Machines and disks in memory, under a test's clock: quick enough for a simulated year."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from local.fakes.clock import ManualClock
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.machines import CommandResult, Machine, MachineState, NodePool, PowerState
from shared.cloud.prices import Address
from shared.cloud.tags import find_tag
from shared.kernel.errors import AlreadyExists, Conflict, NotFound, Refused, Unavailable
from shared.kernel.ports import Clock

T = TypeVar("T")
# How long a script that hangs keeps other operations than a stop away, as the stand-in of Azure does.
SCRIPT_LIMIT = timedelta(minutes=90)

_BASE = "/subscriptions/00000000-1111-2222-3333-444444444444/resourcegroups"
_STARTS, _STOPS = PowerState.STARTING, PowerState.DEALLOCATING


def resource_id(kind: str, name: str, group: str = "rocketchat") -> str:
    """An id in the shape of Azure's; `kind` such as `virtualmachines`."""
    return f"{_BASE}/{group}/providers/microsoft.compute/{kind}/{name}".lower()


@dataclass
class _Kept:
    """A machine, and the states it was in, each from a moment on."""

    machine: Machine
    history: list[tuple[datetime, PowerState, str]] = field(default_factory=list)
    script_until: datetime | None = None  # a script hangs in the guest until then


class MemoryMachines:
    """`Machines` for tests, safe for threads.

    A start ends `start_takes` after its call, a stop `stop_takes`; views show what was `lag` ago. `calls`
    counts what a cloud would be asked. `fail_start` lets the next starts end in a failure.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._failures: list[str] = []
        self.start_takes = self.stop_takes = self.lag = timedelta()
        self.calls: Counter[str] = Counter()
        self.on_command: Callable[[str, str], CommandResult] = lambda _id, _script: CommandResult("", "", 0)

    def add(
        self,
        name: str,
        *,
        group: str = "rocketchat",
        size: str = "Standard_D4ads_v5",
        power: PowerState = PowerState.RUNNING,
        tags: Mapping[str, str] | None = None,
        location: str = "westeurope",
    ) -> str:
        """Put a machine in place and return its id."""
        identity = resource_id("virtualmachines", name, group)
        machine = Machine(identity, name, group, location, size, dict(tags or {}))
        with self._lock:
            self._kept[identity] = _Kept(machine, [(self._clock.now(), power, "")])
        return identity

    def remove(self, machine_id: str) -> None:
        """Somebody deleted it."""
        with self._lock:
            del self._kept[machine_id.lower()]

    def set_tags(self, machine_id: str, tags: Mapping[str, str]) -> None:
        """Somebody changed its tags."""
        with self._lock:
            entry = self._get(machine_id)
            entry.machine = replace(entry.machine, tags=dict(tags))

    def set_pools(self, machine_id: str, pools: tuple[NodePool, ...]) -> None:
        """It is a cluster of such nodes."""
        with self._lock:
            kept = self._get(machine_id)
            kept.machine = replace(kept.machine, pools=pools)

    def set_power(self, machine_id: str, power: PowerState) -> None:
        """It changed by itself: a shutdown from inside, an eviction."""
        with self._lock:
            self._get(machine_id).history.append((self._clock.now(), power, ""))

    def history(self, machine_id: str) -> Sequence[tuple[datetime, PowerState]]:
        """The states it was in, each from a moment on, those to come included; costs no call."""
        with self._lock:
            return [(at, power) for at, power, _ in self._get(machine_id).history]

    def fail_start(self, code: str = "AllocationFailed", *, times: int = 1) -> None:
        """Let the next starts fail at their end."""
        with self._lock:
            self._failures.extend([code] * times)

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        with self._lock:
            self.calls["list"] += 1
            return [self._kept[identity].machine for identity in sorted(self._kept)]

    def list_states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.list_states`."""
        with self._lock:
            self.calls["states"] += 1
            return {identity: self._visible_state(identity, self.lag) for identity in sorted(self._kept)}

    def get_state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.get_state`."""
        with self._lock:
            self.calls["state"] += 1
            return self._visible_state(machine_id, self.lag)

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        with self._lock:
            self.calls["begin_start"] += 1
            self._begin_move(machine_id, _STARTS, PowerState.RUNNING, self.start_takes)

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        with self._lock:
            self.calls["begin_deallocate"] += 1
            self._begin_move(machine_id, _STOPS, PowerState.DEALLOCATED, self.stop_takes)

    def run_command(self, machine_id: str, script: str, *, timeout: timedelta) -> CommandResult:
        """See `Machines.run_command`; `on_command` answers, or raises TimeoutError for one that hangs."""
        with self._lock:
            self.calls["run_command"] += 1
            state = self._visible_state(machine_id, timedelta())
            entry, now = self._get(machine_id), self._clock.now()
        if state.power is not PowerState.RUNNING:
            raise Refused("Run a command: the machine is not running", value=state.power.value)
        if entry.script_until is not None and now < entry.script_until:
            raise Conflict("Run a command: busy", value="Conflict")
        try:
            return self.on_command(machine_id.lower(), script)
        except TimeoutError as error:
            entry.script_until = now + SCRIPT_LIMIT
            raise Unavailable("Run a command: no end in sight", value=str(timeout)) from error

    def _get(self, machine_id: str) -> _Kept:
        entry = self._kept.get(machine_id.lower())
        if entry is None:
            raise NotFound("Virtual machine", value=machine_id)
        return entry

    def _visible_state(self, machine_id: str, lag: timedelta) -> MachineState:
        kept, until = self._get(machine_id), self._clock.now() - lag
        past = [entry for entry in kept.history if entry[0] <= until] or kept.history[:1]
        since, power, failure = past[-1]
        return MachineState(kept.machine.id, power, power in (_STARTS, _STOPS), failure, failure, since)

    def _begin_move(self, machine_id: str, meanwhile: PowerState, goal: PowerState, takes: timedelta) -> None:
        now, kept = self._clock.now(), self._get(machine_id)
        before = self._visible_state(machine_id, timedelta())
        if meanwhile is _STOPS:
            kept.script_until = None  # a stop preempts a script that hangs
        scripted = kept.script_until is not None and now < kept.script_until
        if before.busy or scripted:
            raise Conflict(f"{kept.machine.name}: busy", value="Conflict")
        if before.power is goal:  # nothing to do is a success too, and the last failure is forgotten
            kept.history.append((now, goal, ""))
            return
        failure = self._failures.pop(0) if meanwhile is _STARTS and self._failures else ""
        kept.history[:] = [entry for entry in kept.history if entry[0] <= now]
        ended = (now + takes, before.power if failure else goal, failure)
        kept.history += [(now, meanwhile, ""), ended]


class MemoryDisks:
    """`Disks` for tests, safe for threads. Snapshots are copied `copy_takes` long; `limit` per disk."""

    def __init__(self, clock: Clock | None = None, *, limit: int = 500) -> None:
        self._clock = clock or ManualClock()
        self._lock = threading.RLock()
        self._disks: dict[str, Disk] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._limit = limit
        self.copy_takes = timedelta()
        self.calls: Counter[str] = Counter()

    def add_disk(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        attached_to: str = "",
        size_gb: int = 128,
        reserved: bool = False,
        location: str = "westeurope",
    ) -> str:
        """Put a disk in place and return its id."""
        identity = resource_id("disks", name)
        now = self._clock.now()
        disk = Disk(identity, name, "rocketchat", location, "Premium_LRS", size_gb, dict(tags or {}))
        with self._lock:
            self._disks[identity] = replace(
                disk, tier="P10", attached_to=attached_to, created=now, reserved=reserved
            )
        return identity

    def add_snapshot(
        self, name: str, disk_id: str, *, created: datetime, tags: Mapping[str, str] | None = None
    ) -> str:
        """Put a snapshot in place that was taken and copied before, and return its id."""
        identity = resource_id("snapshots", name)
        taken = Snapshot(identity, name, "rocketchat", "westeurope", disk_id.lower(), created, 128)
        with self._lock:
            self._snapshots[identity] = replace(taken, tags=dict(tags or {}))
        return identity

    def list(self, tag: tuple[str, str] | None = None) -> list[Disk]:
        """See `Disks.list`."""
        with self._lock:
            self.calls["list"] += 1
            disks = [self._disks[identity] for identity in sorted(self._disks)]
        return [disk for disk in disks if tag is None or find_tag(disk.tags, tag[0]) == tag[1]]

    def list_snapshots(self) -> Iterator[Snapshot]:
        """See `Disks.list_snapshots`."""
        with self._lock:
            self.calls["snapshots"] += 1
            snapshots = list(self._snapshots.values())
        return map(self._now, snapshots)

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """See `Disks.get_snapshot`."""
        with self._lock:
            return self._now(_find_or_raise(self._snapshots, snapshot_id, "Snapshot"))

    def create_snapshot(
        self,
        disk_id: str,
        name: str,
        tags: Mapping[str, str],
        *,
        timeout: timedelta = timedelta(minutes=2),  # noqa: ARG002 - it takes no time
    ) -> Snapshot:
        """See `Disks.create_snapshot`; it is taken at once."""
        with self._lock:
            disk = _find_or_raise(self._disks, disk_id, "Disk")
            if resource_id("snapshots", name) in self._snapshots:
                raise AlreadyExists("There is one of that name", value=name)
            if sum(one.disk == disk.id for one in self._snapshots.values()) >= self._limit:
                raise Refused(f"Snapshot {name} of disk {disk.name}", value="OperationNotAllowed")
            now = self._clock.now()
            return self.get_snapshot(self.add_snapshot(name, disk.id, created=now, tags=tags))

    def delete_snapshot(self, snapshot_id: str) -> None:
        """See `Disks.delete_snapshot`; it is gone at once."""
        with self._lock:
            self.calls["delete_snapshot"] += 1
            self._snapshots.pop(snapshot_id.lower(), None)

    def set_tags(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """See `Disks.set_tags`."""
        key = resource_id.lower()
        with self._lock:
            if key in self._disks:
                self._disks[key] = replace(self._disks[key], tags=dict(tags))
            else:
                snapshot = _find_or_raise(self._snapshots, key, "Snapshot")
                self._snapshots[key] = replace(snapshot, tags=dict(tags))

    def create_disk(
        self,
        snapshot_id: str,
        name: str,
        sku: str,
        tags: Mapping[str, str],
        *,
        timeout: timedelta,  # noqa: ARG002 - it takes no time
    ) -> Disk:
        """See `Disks.create_disk`; it is there at once."""
        with self._lock:
            source = self.get_snapshot(snapshot_id)
            if source.complete_percent < 100:
                raise Conflict(f"Disk {name} of snapshot {source.name}: busy", value="Conflict")
            if resource_id("disks", name) in self._disks:
                raise AlreadyExists("There is one of that name", value=name)
            identity = self.add_disk(name, tags=tags, size_gb=source.size_gb)
            self._disks[identity] = replace(self._disks[identity], sku=sku, source=source.id)
            return self._disks[identity]

    def delete_disk(self, disk_id: str) -> None:
        """See `Disks.delete_disk`; it is gone at once."""
        with self._lock:
            disk = self._disks.get(disk_id.lower())
            if disk is not None and disk.attached_to:
                raise Refused(f"Delete disk {disk.name}", value="OperationNotAllowed", hint="Detach it first")
            self._disks.pop(disk_id.lower(), None)

    def _now(self, snapshot: Snapshot) -> Snapshot:
        if not self.copy_takes:
            return snapshot
        share = (self._clock.now() - snapshot.created) / self.copy_takes
        return replace(snapshot, complete_percent=round(100 * min(1.0, max(0.0, share)), 1))


class MemoryAddresses:
    """`Addresses` for tests."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self.failure: Exception | None = None

    def add(
        self, name: str, *, sku: str = "Standard", static: bool = True, version: int = 4, used: bool = False
    ) -> str:
        """Put an address in place and return its id."""
        base, _, _ = resource_id("disks", name).partition("/microsoft.compute/")
        identity = f"{base}/microsoft.network/publicipaddresses/{name.lower()}"
        self._addresses[identity] = Address(
            identity, name, "rocketchat", "westeurope", sku, static, version, used
        )
        return identity

    def list(self) -> list[Address]:
        """See `Addresses.list`."""
        if self.failure is not None:
            raise self.failure
        return [self._addresses[identity] for identity in sorted(self._addresses)]


def _find_or_raise(things: Mapping[str, T], identity: str, kind: str) -> T:
    resource = things.get(identity.lower())
    if resource is None:
        raise NotFound(kind, value=identity)
    return resource
