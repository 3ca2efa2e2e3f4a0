"""What the capture does with the entries that it sees: where slices are cut, what is a gap. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from shared.formats.documents import split_documents
from shared.formats.slices import CaptureCursor
from shared.kernel.errors import Corrupt
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import find_hazard, read_timestamp

Strip = Callable[[bytes], bytes | None]  # an entry without what policy leaves out; None if nothing is left

# A slice is made in memory, so that its name can hold the hash of its bytes.
SLICE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class EntryGroup:
    """The raw entries with one timestamp: one on a real server; the embedded one writes several."""

    at: Timestamp
    entries: tuple[bytes, ...]

    @property
    def fingerprint(self) -> str:
        """Tells whether it is the same entry, byte for byte, and so of the same term and history."""
        # Half of it: it goes into a blob's name, and the whole name is signed.
        return hashlib.sha256(b"".join(self.entries)).hexdigest()[:32]


def group_entries(batches: Iterable[bytes]) -> Iterator[EntryGroup]:
    """Raw entries by their timestamp, in order. Raises Corrupt."""
    at: Timestamp | None = None
    held: list[bytes] = []
    for batch in batches:
        for entry in split_documents(batch):
            entry_time = read_timestamp(entry)
            if at is not None and entry_time != at:
                yield EntryGroup(at, tuple(held))
                held = []
            at = entry_time
            held.append(bytes(entry))
    if at is not None:
        yield EntryGroup(at, tuple(held))


@dataclass
class SliceCut:
    """A slice in the making: from one group to another, both included."""

    start: EntryGroup
    end: EntryGroup
    stored: list[bytes] = field(default_factory=list)
    barrier: str = ""  # why no replay gets past its end; empty if one does
    data_bytes: int = 0  # of what is stored

    def add(self, group: EntryGroup, entries: list[bytes]) -> None:
        """Let the slice end with this group, of which policy lets `kept` be stored."""
        self.end = group
        self.stored += entries
        self.data_bytes += sum(map(len, entries))


def cut_slices(groups: Iterable[EntryGroup], strip: Strip, limit: int = SLICE_BYTES) -> Iterator[SliceCut]:
    """Slices that follow each other, each beginning with the group that the one before ends with.

    The first group is the last one that was captured before; alone it makes no slice. An entry that no replay
    can do gets a slice of its own, so that everything before it can still be restored. Raises Corrupt.
    """
    cut: SliceCut | None = None
    for group in groups:
        entries = [entry for entry in map(strip, group.entries) if entry is not None]
        if cut is None:
            cut = SliceCut(group, group, entries)
            continue
        barrier = next(filter(None, map(find_barrier, entries)), "")
        # What came before the barrier is closed as a slice of its own, which stays restorable.
        if barrier and cut.end is not cut.start:
            yield cut
            cut = SliceCut(cut.end, cut.end)
        cut.add(group, entries)
        cut.barrier = barrier
        if barrier or cut.data_bytes >= limit:
            yield cut
            cut = SliceCut(group, group, list(entries))
    if cut is not None and cut.end is not cut.start:
        yield cut


def find_barrier(entry: bytes) -> str:
    """Why no replay can do this entry, or empty. A rename, which spoils a dump, is no barrier."""
    try:
        reason = find_hazard(entry, renames=True)
    except Corrupt as error:
        return str(error)
    return reason or ""


class CapturedPosition(Protocol):
    """How far somebody has read the oplog, and what was there."""

    @property
    def end(self) -> str:
        """The position, as `Timestamp` prints it."""
        ...

    @property
    def end_hash(self) -> str:
        """The fingerprint of the entries there."""
        ...


class Continuity(StrEnum):
    """How what the server has now relates to what was captured."""

    FOLLOWS = "follows"
    GAP = "gap"  # entries between the two were dropped from the oplog
    BEHIND = "behind"  # a new primary that has the entries, but does not know yet that a majority has them
    REWOUND = "rewound"  # the server's history is another by now: its disk was restored, or its data


def judge_continuity(
    cursor: CapturedPosition,
    oldest: Timestamp,
    newest: Timestamp,
    boundary: EntryGroup | None,
    written: Timestamp,
) -> Continuity:
    """`boundary` is what the server has now at the cursor's end; None if it has nothing there.

    `oldest` and `newest` are of what a majority has, `written` is the server's own newest entry.

    An entry that a majority of the members has is never rolled back: that it is missing, although the oplog
    reaches back to before it, means that the server's data is older than what was captured, or not its own.
    """
    end = Timestamp.parse(cursor.end)
    if newest < end:
        return Continuity.BEHIND if written >= end else Continuity.REWOUND
    if oldest > end:
        return Continuity.GAP
    if boundary is None or boundary.at != end or boundary.fingerprint != cursor.end_hash:
        return Continuity.REWOUND
    return Continuity.FOLLOWS


@dataclass(frozen=True, slots=True)
class OplogWindow:
    """How far the server's oplog reaches back, and whether it is full and drops old entries."""

    length: timedelta
    trims: bool

    def is_short(self, alarm: timedelta) -> bool:
        """Whether an outage of the capture for that long would leave a gap. A young oplog is not short."""
        return self.trims and self.length < alarm


def measure_window(cursor: CaptureCursor | None, oldest: Timestamp, newest: Timestamp) -> OplogWindow:
    """It is full once its oldest entry was seen to be another than before."""
    # The size alone does not tell: an oplog is as young as its server, and short for that reason only.
    trims = cursor is not None and (cursor.trims or oldest > Timestamp.parse(cursor.oldest))
    return OplogWindow(timedelta(seconds=newest.seconds - oldest.seconds), trims)
