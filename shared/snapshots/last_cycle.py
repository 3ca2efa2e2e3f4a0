"""What the newest look at the snapshots found, in one small blob: for the status page and the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.cloud.disks import Disk, Snapshot
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.retention.decide import Keep, RetentionDecision

_BLOB = "snapshots/last.json"


@dataclass(frozen=True, slots=True)
class DiskSnapshots:
    """The good snapshots of one disk: how many, and when each was taken, oldest first."""

    times: tuple[datetime, ...] = ()

    @property
    def newest(self) -> datetime | None:
        """When the newest was taken."""
        return max(self.times, default=None)


@dataclass(frozen=True, slots=True)
class SnapshotCycle:
    """One cycle: when it was, what it took and removed, what went wrong, and what each disk has, by name."""

    at: datetime
    taken: tuple[str, ...] = ()
    removed: int = 0
    problems: tuple[str, ...] = ()
    disks: Mapping[str, DiskSnapshots] = field(default_factory=dict)


def collect_good_snapshots(
    disks: Iterable[Disk], existing: Iterable[Snapshot], decisions: Iterable[RetentionDecision]
) -> dict[str, DiskSnapshots]:
    """What each of the disks has after the decisions; one without any good snapshot is listed, too.

    A snapshot that was only just taken is not complete yet, and is found good by the next cycle.
    """
    listed = list(disks)
    # Of ours, and complete: what Azure still copies is no snapshot to rely on.
    complete = {
        one.item.name for one in decisions if isinstance(one, Keep) and one.item.complete and one.item.managed
    }
    times: dict[str, list[datetime]] = {disk.id.lower(): [] for disk in listed}
    names = {disk.id.lower(): disk.name for disk in listed}
    for snapshot in existing:
        if snapshot.id in complete and snapshot.disk.lower() in times:
            times[snapshot.disk.lower()].append(snapshot.created)
    return {names[key]: DiskSnapshots(tuple(sorted(created))) for key, created in times.items()}


def save_last_cycle(state: Blobs, cycle: SnapshotCycle) -> None:
    """Write over the cycle before."""
    disks = {name: list(one.times) for name, one in cycle.disks.items()}
    fields = {"at": cycle.at, "taken": cycle.taken, "removed": cycle.removed, "problems": cycle.problems}
    state.replace(_BLOB, encode_json({**fields, "disks": disks}), etag=None)


def load_last_cycle(state: Blobs) -> SnapshotCycle | None:
    """The newest cycle; None before the first. Raises Corrupt."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
    except NotFound:
        return None
    try:
        return SnapshotCycle(
            parse_timestamp(fields["at"]),
            tuple(map(str, fields["taken"])),
            int(fields["removed"]),
            tuple(map(str, fields["problems"])),
            # Earlier versions wrote no disks: nothing is known of any then.
            {str(name): _parse_times(times) for name, times in fields.get("disks", {}).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{_BLOB} is not a cycle", value=type(error).__name__) from error


def _parse_times(values: Any) -> DiskSnapshots:
    return DiskSnapshots(tuple(time for time in map(parse_optional_timestamp, values) if time is not None))
