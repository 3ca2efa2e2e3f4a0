"""Disks, snapshots and addresses in memory, under a test's clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from local.fakes.clock import ManualClock
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.prices import Address
from shared.cloud.tags import find_tag
from shared.kernel.errors import AlreadyExists, Conflict, NotFound, Refused
from shared.kernel.ports import Clock

T = TypeVar("T")


_BASE = "/subscriptions/00000000-1111-2222-3333-444444444444/resourcegroups"


def resource_id(kind: str, name: str, group: str = "rocketchat") -> str:
    """An id in the shape of Azure's; `kind` such as `virtualmachines`."""
    return f"{_BASE}/{group}/providers/microsoft.compute/{kind}/{name}".lower()


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
            return self._now(find_or_raise(self._snapshots, snapshot_id, "Snapshot"))

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
            disk = find_or_raise(self._disks, disk_id, "Disk")
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
                snapshot = find_or_raise(self._snapshots, key, "Snapshot")
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


def find_or_raise(things: Mapping[str, T], identity: str, kind: str) -> T:
    """The resource of that id, whatever its case, which Azure does not keep. Raises NotFound."""
    resource = things.get(identity.lower())
    if resource is None:
        raise NotFound(kind, value=identity)
    return resource
