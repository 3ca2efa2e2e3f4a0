"""Orders that override the calendar for a while, and who rules at a moment: order or calendar.

Of several orders that are in force the one given last rules; when it ends, the next-newest still in force
does, then the calendar. Every order ends, at the latest after 31 days.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from shared.kernel.errors import UsageError
from shared.policy.values import DAY_MINUTES, parse_day, parse_duration
from shared.power.schedule import Schedule, resolve_end

MAX_DURATION = timedelta(days=31)

_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Override:
    """An order in force from `start` to `until`. `up` None gives the machine back to the calendar."""

    up: bool | None
    start: datetime
    until: datetime
    created: datetime
    by: str = ""
    id: str = ""

    def in_force(self, now: datetime) -> bool:
        """Whether the order holds at the moment."""
        return self.start <= now < self.until


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What is wanted at a moment: up or off, since when by the same ruler, until when, and why.

    `since` and `until` are None where there is no change within 400 days.
    """

    up: bool
    since: datetime | None
    until: datetime | None
    reason: str


def desired_state(schedule: Schedule, orders: Iterable[Override], now: datetime) -> DesiredState:
    """What calendar and orders want now. The cost does not depend on how far away the next change is."""
    ranked = sorted(
        (order for order in orders if order.start < order.until),
        key=lambda order: (order.created, order.id),
        reverse=True,
    )
    segment = schedule.segment_at(now)
    if not ranked:
        return DesiredState(segment.up, segment.since, segment.until, segment.reason)
    ruler = _order_in_force(ranked, now)
    up = segment.up if ruler is None or ruler.up is None else ruler.up
    return DesiredState(
        up, _state_since(ranked, ruler, schedule, now), _next_change(ranked, schedule, now, up=up),
        segment.reason if ruler is None else _describe_order(ruler, schedule),
    )  # fmt: skip


def next_change(schedule: Schedule, orders: Iterable[Override], now: datetime) -> datetime | None:
    """When the machine should next start or stop; None if not within 400 days."""
    return desired_state(schedule, orders, now).until


def _order_in_force(ranked: list[Override], now: datetime) -> Override | None:
    return next((order for order in ranked if order.in_force(now)), None)


def _state_since(
    ranked: list[Override], ruler: Override | None, schedule: Schedule, now: datetime
) -> datetime | None:
    above = ranked if ruler is None else ranked[: ranked.index(ruler)]
    begins = [order.until for order in above if order.until <= now]
    if ruler is not None:
        begins.append(ruler.start)
    if ruler is None or ruler.up is None:
        since = schedule.segment_at(now).since
        begins += [since] if since else []
    return max(begins, default=None)


def _next_change(ranked: list[Override], schedule: Schedule, now: datetime, *, up: bool) -> datetime | None:
    time = now
    while True:
        ruler = _order_in_force(ranked, time)
        edges = [edge for order in ranked for edge in (order.start, order.until) if edge > time]
        if ruler is None or ruler.up is None:
            until = schedule.segment_at(time).until
            edges += [until] if until else []
        if not edges:
            return None
        time = min(edges)
        ruler = _order_in_force(ranked, time)
        if up != (schedule.segment_at(time).up if ruler is None or ruler.up is None else ruler.up):
            return time


def _describe_order(order: Override, schedule: Schedule) -> str:
    what = {True: "up", False: "off", None: "back on schedule"}[order.up]
    by = f" of {order.by}" if order.by else ""
    end = "" if order.up is None else f" until {schedule.format_local(order.until)}"
    return f"order{by}: {what}{end}"


_ORDER = re.compile(
    r"(?:keep (?:it )?)?(?P<what>up|on|off|down|auto|resume|schedule)"
    r"(?: (?P<how>until|till|for) (?P<end>.+))?",
    re.ASCII,
)
_CLOCK = re.compile(r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>am|pm)?", re.ASCII)
_CLOCK_WORDS = {"": DAY_MINUTES, "midnight": DAY_MINUTES, "noon": DAY_MINUTES // 2}
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.\d{4}", re.ASCII)
_FRACTION = re.compile(r"(\d{1,4}\.\d{1,3})([mhdw])", re.ASCII)
_UNIT_MINUTES = {"m": 1, "h": 60, "d": DAY_MINUTES, "w": 7 * DAY_MINUTES}
_HINT = "Write 'up until 22:00', 'off until Monday 7:00', 'up for 2h', 'off until 2026-03-02 07:00' or 'auto'"


def parse_override(text: str, zone: tzinfo, now: datetime, *, by: str = "") -> Override:
    """An order as people write it, in force from `now`; times are on the wall clock of `zone`.

    A time alone is the next time the clock shows it, a weekday the next such day (today if the time is
    still ahead; `next monday` never today), a day alone its end, `midnight` the end of the day. In a
    repeated hour the second pass is meant, in a skipped one the jump.

    Raises `UsageError` for what cannot be understood, lies in the past or is too long.
    """
    match = _ORDER.fullmatch(" ".join(text.lower().split())[:200])
    if not match:
        raise UsageError("not an order", value=repr(text[:80]), hint=_HINT)
    up = {"up": True, "on": True, "off": False, "down": False}.get(match["what"])
    if up is None:
        if match["end"]:
            raise UsageError("'auto' takes no end", value=repr(text[:80]), hint="Write 'auto' alone")
        return Override(None, now, now + MAX_DURATION, now, by)
    if not match["end"]:
        raise UsageError("an order needs an end", value=repr(text[:80]), hint=_HINT)
    until = (
        _end_of_duration(match["end"], now) if match["how"] == "for" else _parse_time(match["end"], zone, now)
    )
    if until <= now:
        raise UsageError("the order would end in the past", value=repr(text[:80]), hint="Give a later end")
    if until - now > MAX_DURATION:
        raise UsageError("an order lasts at most 31 days", value=repr(text[:80]), hint="Change policy.yaml")
    return Override(up, now, until, now, by)


def _end_of_duration(text: str, now: datetime) -> datetime:
    spelled = re.sub(r" ?(minutes?|min|hours?|days?|weeks?)\b ?", lambda unit: unit[1][0], text)
    try:
        return now + parse_duration(_FRACTION.sub(_spell_minutes, spelled.replace(" ", "")))
    except (ValueError, OverflowError):
        raise UsageError(
            "not a duration", value=repr(text[:40]), hint="Write 'for 90m', '2h' or '3d'"
        ) from None


def _spell_minutes(match: re.Match[str]) -> str:
    """`1.5h` as `90m`, since durations are whole numbers."""
    return f"{round(float(match[1]) * _UNIT_MINUTES[match[2]])}m"


def _parse_time(text: str, zone: tzinfo, now: datetime) -> datetime:
    words = re.sub(r"^([\d-]{10})t", r"\1 ", text).replace(" at ", " ").removeprefix("at ").split()
    today = now.astimezone(zone).date()
    later = words[0] == "next" and len(words) > 1
    words = words[1:] if later else words
    day, again = _parse_day(words[0], today)
    if later:
        # Of weekdays only: who writes `next tomorrow` or `next 22:00` means something else.
        day = day + (again or timedelta()) if day == today and again else day
        words = words if day and again else ["", "?"]
    minutes = _parse_clock(" ".join(words if day is None else words[1:]))
    if minutes is None:
        raise UsageError("not a time", value=repr(text[:40]), hint=_HINT)
    until = resolve_end(day or today, minutes, zone)
    return until if until > now or not again else resolve_end((day or today) + again, minutes, zone)


def _parse_day(word: str, today: date) -> tuple[date | None, timedelta | None]:
    """The day that the word names, if it does, and after how long it comes again."""
    if word in ("today", "tomorrow"):
        return today + timedelta(days=word == "tomorrow"), None
    if (named := parse_day(word)) is not None:
        return named, None
    if _DATE.fullmatch(word):
        return None, None
    for index, name in enumerate(_DAY_NAMES):
        if word in (name, name[:3]):
            return today + timedelta(days=(index - today.weekday()) % 7), timedelta(days=7)
    return None, timedelta(days=1)


def _parse_clock(text: str) -> int | None:
    """Minutes past midnight; the end of the day for no text, None for what is no time."""
    if text in _CLOCK_WORDS:
        return _CLOCK_WORDS[text]
    match = _CLOCK.fullmatch(text)
    if not match:
        return None
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"] == "pm" else 0)
    return hour * 60 + minute if minute < 60 and hour * 60 + minute <= DAY_MINUTES else None
