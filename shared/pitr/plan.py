"""Which base and which slices restore a moment, or why it cannot be restored and which can. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.formats.slices import StoredSlice
from shared.kernel.errors import NotFound
from shared.mongodb.model import Timestamp
from shared.pitr.moment import LAST_ORDINAL, format_moment

_SHOWN = 4  # spans of moments that can be restored, in an error


@dataclass(frozen=True, slots=True)
class Base:
    """A good set: from the end of its own oplog on, slices can be replayed on it."""

    reference: str
    end: Timestamp
    sealed: datetime


@dataclass(frozen=True, slots=True)
class MomentPlan:
    """How a moment is restored."""

    base: Base
    slices: tuple[StoredSlice, ...]  # in their order; empty if the base is the moment itself
    until: Timestamp  # inclusive

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be used, for people."""
        if not self.slices:
            return (f"{self.base.reference} ends at {format_moment(self.base.end)}: no slices are needed",)
        size = sum(one.record.stored_bytes for one in self.slices)
        first, last = self.slices[0].record, self.slices[-1].record
        return (
            f"base {self.base.reference}, which ends at {format_moment(self.base.end)}",
            f"{len(self.slices)} slices from {first.start} to {last.end}, {size} bytes",
            f"replayed until {format_moment(self.until)}, all of it included",
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """A base and how far the slices after it reach without a gap."""

    base: Base
    slices: tuple[StoredSlice, ...]

    @property
    def end(self) -> Timestamp:
        """The newest moment that can be restored. A slice's last second may go on after it."""
        if not self.slices:
            return self.base.end
        return Timestamp.parse(self.slices[-1].record.end)


def plan_moment(bases: Sequence[Base], slices: Sequence[StoredSlice], until: Timestamp) -> MomentPlan:
    """The newest base from which the moment can be reached, and the slices to it.

    Raises NotFound, with the moments that can be restored, if there is none.
    """
    # The newest: the fewer slices are replayed, the sooner the chat is back.
    for base in sorted(bases, key=lambda one: one.end, reverse=True):
        if base.end > until:
            continue
        reach = follow_base(base, slices, until)
        if covers(reach.end, until):
            return MomentPlan(base, reach.slices, until)
    raise NotFound(
        f"{format_moment(until)} cannot be restored",
        value=describe_reaches(bases, slices, until),
        hint="Choose a moment within one of these.",
    )


def covers(end: Timestamp, until: Timestamp) -> bool:
    """Whether all up to the moment is captured: of a whole second, only a later entry shows its end."""
    return end.seconds > until.seconds if until.ordinal == LAST_ORDINAL else end >= until


def follow_base(base: Base, slices: Sequence[StoredSlice], until: Timestamp | None = None) -> Reach:
    """The slices that follow the base without a gap, up to `until` or as far as they go.

    Slices of several branches, doubled ones and ones of other ranges may be among them. One branch is taken,
    that on which the base was made; on it each next slice begins with the very entry that the last one ends
    with. Of several that would do, the one that reaches furthest is taken.
    """
    best = Reach(base, ())
    for branch in sorted({one.record.branch for one in slices}):
        members = [one for one in slices if one.record.branch == branch]
        if not _is_of_branch(base, branch, members):
            continue
        reach = Reach(base, _follow(base.end, _order(members), until))
        best = max(best, reach, key=lambda one: one.end)
    return best


def _is_of_branch(base: Base, branch: str, members: Sequence[StoredSlice]) -> bool:
    """A set of before a branch belongs to another history, unless the branch was begun at the set's end."""
    begun = datetime.strptime(branch.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if base.sealed >= begun:
        return True
    return any(one.record.start == str(base.end) for one in members)


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Slices by their start, with the bounds parsed once."""

    starts: list[Timestamp]
    ends: list[Timestamp]
    slices: list[StoredSlice]


def _order(members: Iterable[StoredSlice]) -> _Ordered:
    parsed = sorted(
        ((Timestamp.parse(one.record.start), Timestamp.parse(one.record.end), one) for one in members),
        key=lambda row: (row[0], row[1], row[2].name),
    )
    return _Ordered([row[0] for row in parsed], [row[1] for row in parsed], [row[2] for row in parsed])


def _follow(begin: Timestamp, ordered: _Ordered, until: Timestamp | None) -> tuple[StoredSlice, ...]:
    chain: list[StoredSlice] = []
    at, at_hash = begin, ""
    while until is None or not covers(at, until):
        following = _find_next(ordered, at, at_hash)
        if following is None:
            break
        chain.append(following)
        at, at_hash = Timestamp.parse(following.record.end), following.record.end_hash
    return tuple(chain)


def _find_next(ordered: _Ordered, at: Timestamp, at_hash: str) -> StoredSlice | None:
    """The slice that goes on furthest from here.

    The first one may begin before the base ends; each later one begins exactly where the last one ended, with
    the same bytes there. What no replay gets past is not gone past.
    """
    best: StoredSlice | None = None
    best_end = at
    for index in range(bisect_right(ordered.starts, at) - 1, -1, -1):
        one, start, end = ordered.slices[index], ordered.starts[index], ordered.ends[index]
        if at_hash and start != at:
            break  # sorted by start: none of those before begins here either
        if end > best_end and not one.record.barrier and (not at_hash or one.record.start_hash == at_hash):
            best, best_end = one, end
        if best is not None and start < at:
            break  # the nearest one that contains the base's end will do
    return best


def describe_reaches(bases: Sequence[Base], slices: Sequence[StoredSlice], until: Timestamp) -> str:
    """The spans of moments around this one that can be restored."""
    reaches = [follow_base(base, slices) for base in bases]
    spans = _merge([(reach.base.end, reach.end) for reach in reaches])
    if not spans:
        return "there is no base: no backup is good, or none was made yet"
    nearest = sorted(spans, key=lambda span: _distance(span, until))[:_SHOWN]
    texts = [f"{format_moment(first)} to {format_moment(last)}" for first, last in sorted(nearest)]
    return "what can be restored: " + ", ".join(texts)


def _distance(span: tuple[Timestamp, Timestamp], until: Timestamp) -> int:
    first, last = span
    return max(first.seconds - until.seconds, until.seconds - last.seconds, 0)


def _merge(spans: Sequence[tuple[Timestamp, Timestamp]]) -> list[tuple[Timestamp, Timestamp]]:
    """Spans that touch as one."""
    merged: list[tuple[Timestamp, Timestamp]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
