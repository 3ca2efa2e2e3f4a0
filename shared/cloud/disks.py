"""Disks and snapshots of the cloud, and the port that lists, takes and deletes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol


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
    reserved: bool = False  # attached to a machine that is deallocated


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
    sku: str = "Standard_LRS"  # what it is kept on; empty where Azure names none


class Disks(Protocol):
    """Managed disks and their snapshots."""

    def list(self, tag: tuple[str, str] | None = None) -> list[Disk]:
        """All disks, or those with that tag and value, sorted by id; one call per page."""
        ...

    def list_snapshots(self) -> Iterator[Snapshot]:
        """All snapshots, page by page, in no order."""
        ...

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
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
