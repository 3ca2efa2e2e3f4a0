"""How each deadline stands today, and of which people are told now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.calendar.model import THRESHOLDS, CalendarEntry, Deadline
from shared.calendar.powered import PoweredDays

_WARNING = 14  # of the thresholds the one that alerts


@dataclass(frozen=True, slots=True)
class CalendarNews:
    """What people are told now: those that reached a threshold, and those that were told of and are over."""

    reached: tuple[CalendarEntry, ...] = ()
    resolved: tuple[str, ...] = ()


def build_calendar(
    deadlines: Iterable[Deadline], powered: PoweredDays, now: datetime
) -> tuple[CalendarEntry, ...]:
    """The entries: the earliest end first, then those that are not known."""
    entries = [_judge(deadline, powered, now) for deadline in deadlines]
    return tuple(sorted(entries, key=lambda entry: (*_order(entry.deadline), entry.deadline.key)))


def first_lockout(entries: Sequence[CalendarEntry]) -> CalendarEntry | None:
    """The earliest end of those that do not renew themselves in time; None if none is known.

    What has been without fixes for years must not hide the day on which people are locked out.
    """
    ends = [entry for entry in entries if entry.deadline.at is not None and is_end(entry)]
    return next((entry for entry in ends if not entry.is_past_life), ends[0] if ends else None)


def find_news(entries: Sequence[CalendarEntry], told: Mapping[str, int]) -> CalendarNews:
    """What changed since people were told last. `told`: by key the smallest threshold that they know of.

    What is not known at present resolves nothing.
    """
    # Against what was told and not against yesterday: a day on which the machine was off skips no threshold.
    reached = [
        entry
        for entry in entries
        if entry.threshold is not None and entry.threshold < told.get(entry.deadline.key, THRESHOLDS[-1] + 1)
    ]
    quiet = {
        entry.deadline.key
        for entry in entries
        if entry.threshold is None and entry.deadline.at is not None and not entry.deadline.unknown
    }
    # Of a kind of which something is not known, what is missing may be that.
    blind = {str(entry.deadline.kind) for entry in entries if entry.deadline.at is None}
    missing = told.keys() - {entry.deadline.key for entry in entries}
    gone = {key for key in missing if key.partition("/")[0] not in blind}
    return CalendarNews(tuple(reached), tuple(sorted((told.keys() & quiet) | gone)))


def update_told(told: Mapping[str, int], news: CalendarNews) -> dict[str, int]:
    """By key the smallest threshold that people know of after they were told."""
    # What is resolved is forgotten: when it nears an end again, all thresholds are told anew.
    kept = {key: threshold for key, threshold in told.items() if key not in news.resolved}
    return kept | {entry.deadline.key: entry.threshold or 0 for entry in news.reached}


def _judge(deadline: Deadline, powered: PoweredDays, now: datetime) -> CalendarEntry:
    if deadline.at is None:
        return CalendarEntry(deadline)
    end = powered.local_day(deadline.at)
    warn_day = powered.last_with(_WARNING, end)
    warns_at = powered.start_of(warn_day) if warn_day else None
    if _renews_itself(deadline, now):
        return CalendarEntry(deadline, powered.count_between(powered.local_day(now), end))
    # By the moment and not by the day: a certificate that ends at noon is still valid in the morning.
    if deadline.at <= now:
        return CalendarEntry(deadline, 0, 0, warns_at)
    days = powered.count_between(powered.local_day(now), end)
    # Too far away to be counted, so that it has reached no threshold.
    if days is None:
        return CalendarEntry(deadline)
    threshold = next((one for one in THRESHOLDS if days <= one), None)
    return CalendarEntry(deadline, days, threshold, warns_at)


def _renews_itself(deadline: Deadline, now: datetime) -> bool:
    return deadline.renews_at is not None and now < deadline.renews_at


def is_end(entry: CalendarEntry) -> bool:
    """Whether it is an end at all: what renews itself in time is none."""
    return entry.deadline.renews_at is None or entry.threshold is not None


def _order(deadline: Deadline) -> tuple[bool, float]:
    return deadline.at is None, deadline.at.timestamp() if deadline.at else 0.0
