"""Weekly windows of local time as spans of real time: up or off at a moment, since when and until when.

When clocks change, a window lasts from the first moment at which the wall clock has reached its start to
the moment from which on the wall clock never again shows less than its end. So a window that begins or
ends in a skipped hour does so at the jump; one that begins in a repeated hour begins at its first pass and
one that ends in it ends at its second; none is interrupted. The night of a window over midnight belongs to
the day it begins on, also where the next day is a holiday. Windows that touch are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from shared.kernel.timestamps import format_local_time
from shared.policy.values import Window

DAY = timedelta(days=1)
INSTANT = timedelta.resolution

# How far to look for a change before saying that there is none, and in which steps.
# Most changes lie within three days; only a machine that is always off costs the longest look.
_REACHES = (3, 10, 40, 400)
_MEMORY_DAYS = 4000


@dataclass(frozen=True, slots=True)
class Segment:
    """A span without a change: `since` or `until` is None where none lies within 400 days."""

    up: bool
    since: datetime | None
    until: datetime | None
    reason: str


def _never_off(_day: date) -> str:
    return ""


class Schedule:
    """When a machine should be up by its windows.

    The answers depend on the arguments alone; days and the last segment are remembered, since ticks come
    every five minutes and changes twice a day.
    """

    def __init__(
        self, zone: tzinfo, windows: tuple[Window, ...], day_off: Callable[[date], str] = _never_off
    ) -> None:
        self.zone, self.windows = zone, windows
        self._day_off = day_off
        self._days: dict[date, list[tuple[datetime, datetime]]] = {}
        self._last: Segment | None = None
        self._valid = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))

    def segment_at(self, now: datetime) -> Segment:
        """The segment that holds `now`: since <= now < until."""
        if self._last is None or not self._valid[0] <= now < self._valid[1]:
            self._last = self._find_segment(now)
            # Where no change is in sight, one may come into sight later.
            self._valid = (self._last.since or now, self._last.until or now + DAY)
        return self._last

    def up_time(self, since: datetime, until: datetime) -> timedelta:
        """For how long the machine should be up between the two moments."""
        total, time = timedelta(), since
        while time < until:
            segment = self.segment_at(time)
            end = until if segment.until is None else min(segment.until, until)
            total += end - time if segment.up else timedelta()
            time = end
        return total

    def _find_segment(self, now: datetime) -> Segment:
        today = now.astimezone(self.zone).date()
        up, since, until = False, None, None
        for reach in _REACHES:
            # What the first days cover may have begun before them.
            sure_from, sure_to = now - (reach - 2) * DAY, now + (reach - 2) * DAY
            up, since, until = self._surrounding_spans(now, today, reach)
            since = since if since and since > sure_from else None
            until = until if until and until < sure_to else None
            if since and until:
                break
        return Segment(up, since, until, self._describe_segment(up, since, until))

    def _surrounding_spans(
        self, now: datetime, today: date, reach: int
    ) -> tuple[bool, datetime | None, datetime | None]:
        begins: datetime | None = None
        ends: datetime | None = None
        for offset in range(-reach, reach + 1):
            for start, end in self._spans_of_day(today + offset * DAY):
                if ends is not None and start <= ends:
                    ends = max(ends, end)
                    continue
                if start > now:
                    up = begins is not None and ends is not None and ends > now
                    return (True, begins, ends) if up else (False, ends, start)
                begins, ends = start, end
        if ends is not None and ends > now:
            return True, begins, ends
        return False, ends, None

    def _spans_of_day(self, day: date) -> list[tuple[datetime, datetime]]:
        """The windows that begin on the local day, in order of their starts."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) > _MEMORY_DAYS:
                self._days.clear()
            known = self._days[day] = self._compute_spans(day)
        return known

    def _compute_spans(self, day: date) -> list[tuple[datetime, datetime]]:
        windows = [window for window in self.windows if day.weekday() in window.days]
        if not windows or self._day_off(day):
            return []
        spans = (
            (resolve_start(day, w.start, self.zone), resolve_end(day, w.end, self.zone)) for w in windows
        )
        return sorted(span for span in spans if span[0] < span[1])

    def _describe_segment(self, up: bool, since: datetime | None, until: datetime | None) -> str:
        text = f"schedule: {'up' if up else 'off'}"
        if since is not None:
            text += f" since {self.format_local(since)}"
        text += f" until {self.format_local(until)}" if until is not None else ", with no change in sight"
        names = [] if up or since is None else self._day_off_names(since, until)
        return f"{text} ({', '.join(names)})" if names else text

    def _day_off_names(self, since: datetime, until: datetime | None) -> list[str]:
        first = since.astimezone(self.zone).date()
        last = until.astimezone(self.zone).date() if until else first
        days = (first + offset * DAY for offset in range(min((last - first).days, 31) + 1))
        return list(dict.fromkeys(filter(None, map(self._day_off, days))))[:3]

    def format_local(self, time: datetime) -> str:
        """The moment on this calendar's wall clock, as messages show it: `Mon 2026-03-02 07:00`."""
        return format_local_time(time, self.zone)


def resolve_start(day: date, minutes: int, zone: tzinfo) -> datetime:
    """The first moment, in UTC, at which the wall clock has reached so many minutes of the day."""
    early, late = _resolve_folds(day, timedelta(minutes=minutes), zone)
    return early if early <= late else _find_transition(late, early, zone)


def resolve_end(day: date, minutes: int, zone: tzinfo) -> datetime:
    """The moment, in UTC, from which on the wall clock never again shows less than so many minutes."""
    # The last instant before the end decides: an end at the first minute of a repeated hour is not in it.
    early, late = _resolve_folds(day, timedelta(minutes=minutes) - INSTANT, zone)
    return late + INSTANT if early <= late else _find_transition(late, early, zone)


def _resolve_folds(day: date, past_midnight: timedelta, zone: tzinfo) -> tuple[datetime, datetime]:
    """The wall-clock time in UTC by its two folds: apart in a repeated hour, crossed in a skipped one."""
    format_local = datetime.combine(day, time()) + past_midnight
    early = format_local.replace(tzinfo=zone).astimezone(UTC)
    return early, format_local.replace(tzinfo=zone, fold=1).astimezone(UTC)


def _find_transition(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The moment between the two at which the zone's offset changes, to the second."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds()) + 1
    while low + 1 < high:
        middle = (low + high) // 2
        same = (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset
        low, high = (middle, high) if same else (low, middle)
    return (before + timedelta(seconds=high)).replace(microsecond=0)
