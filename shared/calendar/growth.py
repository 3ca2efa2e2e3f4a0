"""How fast collections grow, by what backups counted, and when the disk is full. Pure.

A backup counts what it read; between two of them nothing is seen. So a collection that runs away is told of
with the next backup, not within the hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from shared.calendar.model import Deadline, DeadlineKind
from shared.calendar.ports import LockoutFacts

_DAY = timedelta(days=1)
_GIBIBYTE = 1 << 30
# Less is a busy day: an import, a bot, a large upload.
_RUNAWAY_BYTES, _RUNAWAY_FACTOR = 2 * _GIBIBYTE, 5
# MongoDB stops before a file system is full to the last byte, and compacting needs room.
_FULL = 0.95
# A bound for the metrics' number of series.
SHOWN = 10
_MIN_SPAN = timedelta(days=2)
_DISK = "MongoDB's disk"


@dataclass(frozen=True, slots=True)
class SetSizes:
    """One backup: when it was begun, and the bytes of BSON, uncompressed, by namespace."""

    at: datetime
    sizes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """All namespaces together."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class NamespaceGrowth:
    """One namespace: its size, and how much it grew a day between the newest two backups and over all."""

    name: str
    size_bytes: int
    last_per_day: float
    mean_per_day: float


@dataclass(frozen=True, slots=True)
class RunawayCollection:
    """A collection that grew far more than it uses to: by so many bytes between two backups."""

    name: str
    grown_bytes: int
    size_bytes: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class GrowthSummary:
    """What is kept of it.

    - `namespaces`: the largest and the fastest, at most twice `SHOWN`; `others_bytes`: the rest together.
    - `captured_per_day`: stored bytes that the oplog's capture takes a day; None if that is not known.
    """

    namespaces: tuple[NamespaceGrowth, ...] = ()
    others_bytes: int = 0
    captured_per_day: float | None = None


def summarize_growth(rows: Sequence[NamespaceGrowth], captured_per_day: float | None) -> GrowthSummary:
    """The largest and the fastest of all: each is a series of its own, and apps bring any number of them."""
    largest = sorted(rows, key=lambda row: (-row.size_bytes, row.name))[:SHOWN]
    fastest = sorted(rows, key=lambda row: (-row.last_per_day, row.name))[:SHOWN]
    shown = {row.name: row for row in (*largest, *fastest)}
    others = sum(row.size_bytes for row in rows if row.name not in shown)
    return GrowthSummary(tuple(shown[name] for name in sorted(shown)), others, captured_per_day)


def measure_growth(sets: Sequence[SetSizes]) -> list[NamespaceGrowth]:
    """Of each namespace of the newest backup, the fastest first. Sets in the order of time; none of one."""
    if len(sets) < 2:
        return []
    first, before, newest = sets[0], sets[-2], sets[-1]
    rows = [
        NamespaceGrowth(
            name,
            size,
            (size - before.sizes.get(name, 0)) / _days(before, newest),
            (size - first.sizes.get(name, 0)) / _days(first, newest),
        )
        for name, size in newest.sizes.items()
    ]
    return sorted(rows, key=lambda row: (-row.last_per_day, row.name))


def find_runaways(sets: Sequence[SetSizes]) -> list[RunawayCollection]:
    """Collections that grew by 2 GiB or more since the backup before, and five times what they use to.

    What they use to is the median of the days before; without such days the growth alone counts.
    """
    if len(sets) < 2:
        return []
    before, newest = sets[-2], sets[-1]
    found = []
    for name, size in newest.sizes.items():
        grown = size - before.sizes.get(name, 0)
        usual = _usual_per_day(sets[:-1], name) * _days(before, newest)
        if grown >= _RUNAWAY_BYTES and grown >= _RUNAWAY_FACTOR * usual:
            found.append(RunawayCollection(name, grown, size, before.at, newest.at))
    return sorted(found, key=lambda one: -one.grown_bytes)


def grown_per_day(sets: Sequence[SetSizes]) -> float:
    """Bytes a day of all namespaces, by the larger of the growth over all and of the last days.

    Sets in the order of time, two at least.
    """
    # What began lately counts as a whole: the mean of two weeks would hide it for a week.
    middle = sets[len(sets) // 2] if len(sets) > 2 else sets[0]
    return max(_total_per_day(sets[0], sets[-1]), _total_per_day(middle, sets[-1]))


def forecast_disk(
    sets: Sequence[SetSizes], facts: LockoutFacts, now: datetime, *, unread: str = ""
) -> Deadline | None:
    """The day on which MongoDB's disk is full, by the larger of the growth over all and of the last days.

    Backups count uncompressed bytes, of which the disk takes less: the day is rather too early. None if
    nothing grows; unknown where the server does not say how large its disk is, or backups are too few.
    `unread` says why the backups could not be read.
    """
    kind = DeadlineKind.GROWTH
    if not facts.disk_total_bytes:
        reason = "the server does not say how large its disk is"
        return Deadline(kind, _DISK, None, unknown=reason, seen=now)
    if unread:
        return Deadline(kind, _DISK, None, unknown=f"the backups cannot be read: {unread}", seen=now)
    if len(sets) < 2 or sets[-1].at - sets[0].at < _MIN_SPAN:
        return Deadline(kind, _DISK, None, unknown="there are not backups enough to compare", seen=now)
    per_day = grown_per_day(sets)
    left = facts.disk_total_bytes * _FULL - facts.disk_used_bytes
    if per_day <= 0 and left > 0:
        return None
    days = max(0.0, left) / per_day if per_day > 0 else 0.0
    # What is further away than a year says nothing, and would overflow a date.
    if days > 365:
        return None
    return Deadline(kind, _DISK, now + _DAY * days, "the server stops when it is full", seen=now)


def _usual_per_day(sets: Sequence[SetSizes], name: str) -> float:
    steps = [
        (later.sizes.get(name, 0) - earlier.sizes.get(name, 0)) / _days(earlier, later)
        for earlier, later in pairwise(sets)
    ]
    return median(steps) if steps else 0.0


def _total_per_day(earlier: SetSizes, later: SetSizes) -> float:
    return (later.total_bytes - earlier.total_bytes) / _days(earlier, later)


def _days(earlier: SetSizes, later: SetSizes) -> float:
    """At least an hour: two backups within a minute would make a mountain of a message."""
    return max((later.at - earlier.at) / _DAY, 1 / 24)
