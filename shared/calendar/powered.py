"""Powered-on days: those on which the machine is planned to be up for long enough to do something."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from shared.calendar.model import REACH, PlannedSpan

_DAY = timedelta(days=1)
# A day on which it is up for a backup at night is none on which somebody upgrades it.
_LONG_ENOUGH = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class PoweredDays:
    """The local days of one zone on which the machine is up, in order, up to `until`."""

    zone: tzinfo
    days: tuple[date, ...]
    until: date

    def count_between(self, today: date, end: date) -> int | None:
        """How many lie strictly between two days; None if the end lies beyond what is planned."""
        # Days that no plan covers would count as none, and the end look nearer than it is.
        if end > self.until:
            return None
        return max(0, bisect_left(self.days, end) - bisect_right(self.days, today))

    def last_with(self, count: int, end: date) -> date | None:
        """The last powered-on day that leaves at least so many strictly between it and the end.

        None if there is none that is known of. A vacation before the end has no powered-on days, so this day
        lies before it.
        """
        index = bisect_left(self.days, end) - count - 1
        return self.days[index] if index >= 0 else None

    def local_day(self, at: datetime) -> date:
        """The day of a moment."""
        return at.astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """The first moment of a day."""
        return datetime.combine(day, time(), self.zone)


def find_powered_days(spans: Sequence[PlannedSpan], zone: tzinfo, now: datetime) -> PoweredDays:
    """From the plan of the machine; without a plan it is up every day."""
    today = now.astimezone(zone).date()
    until = today + REACH
    if not spans:
        return PoweredDays(zone, tuple(today + _DAY * n for n in range(REACH.days + 1)), until)
    hours: defaultdict[date, timedelta] = defaultdict(timedelta)
    for span in spans:
        if span.up:
            _add_days(hours, span, zone)
    days = sorted(day for day, up in hours.items() if up >= _LONG_ENOUGH)
    # The last day may be cut off by the end of the plan, and so counts for nothing.
    return PoweredDays(zone, tuple(days), min(until, spans[-1].until.astimezone(zone).date() - _DAY))


def _add_days(hours: dict[date, timedelta], span: PlannedSpan, zone: tzinfo) -> None:
    day, begins = span.since.astimezone(zone).date(), span.since
    while begins < span.until:
        ends = min(span.until, datetime.combine(day + _DAY, time(), zone))
        # Subtracted in UTC: on the days when clocks change, local times would be off by an hour.
        hours[day] += ends.astimezone(span.since.tzinfo) - begins.astimezone(span.since.tzinfo)
        day, begins = day + _DAY, ends
