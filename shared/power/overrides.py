"""Orders that override the calendar for a while, and who rules at a moment: order or calendar.

Of several orders that are in force the one given last rules; when it ends, the next-newest still in force
does, then the calendar. Every order ends, at the latest 31 days after it begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from shared.kernel.errors import UsageError
from shared.kernel.timestamps import format_local_time
from shared.power.schedule import Schedule
from shared.power.times import ORDER_HINT, parse_duration_text, parse_end, parse_span, parse_start

MAX_DURATION = timedelta(days=31)
MAX_AHEAD = timedelta(days=366)  # an order further away belongs into policy.yaml


@dataclass(frozen=True, slots=True)
class Override:
    """An order in force from `start` to `until`. `up` None gives the machine back to the calendar."""

    up: bool | None
    start: datetime
    until: datetime
    created: datetime  # when it was given: of several in force the newest rules
    by: str = ""  # the person, by policy's id where there is one
    id: str = ""  # a time and a random part; empty until it is on record
    cancelled_by: str = ""  # who ended it before its time; empty if nobody did

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
    # Most ticks, and a year of them in the forecast: no order, no work.
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
    r"(?:keep (?:it )?)?(?P<what>up|on|off|down|auto|resume|schedule)(?: (?P<when>.+))?", re.ASCII
)
_FROM = re.compile(r"from (?P<start>.+?) (?P<how>until|till|to|for) (?P<end>.+)", re.ASCII)
_END = re.compile(r"(?P<how>until|till|for) (?P<end>.+)", re.ASCII)


def parse_override(text: str, zone: tzinfo, now: datetime, *, by: str = "") -> Override:
    """An order as people write it; times are on the wall clock of `zone`.

    `until 22:00` and `for 2h` are in force from `now`; `Saturday 10-14`, `from Saturday 10:00 for 4h` and
    `tomorrow` (all day) from their start on. A time alone is the next time the clock shows it, a weekday the
    next such day (today if the time is still ahead; `next monday` never today), a day alone its end,
    `midnight` the end of the day. In a repeated hour the second pass is meant, in a skipped one the jump.

    Raises `UsageError` for what cannot be understood, lies in the past or is too long.
    """
    match = _ORDER.fullmatch(" ".join(text.lower().split())[:200])
    if not match:
        raise UsageError("not an order", value=repr(text[:80]), hint=ORDER_HINT)
    up = {"up": True, "on": True, "off": False, "down": False}.get(match["what"])
    if up is None:
        if match["when"]:
            raise UsageError("'auto' takes no end", value=repr(text[:80]), hint="Write 'auto' alone")
        return Override(None, now, now + MAX_DURATION, now, by)
    if not match["when"] or match["when"] in ("until", "till", "for", "from"):
        raise UsageError("an order needs an end", value=repr(text[:80]), hint=ORDER_HINT)
    start, until = _parse_when(match["when"], zone, now)
    if until <= now:
        raise UsageError("the order would end in the past", value=repr(text[:80]), hint="Give a later end")
    start = max(start, now)
    if until <= start:
        raise UsageError(
            "the order would end before it begins", value=repr(text[:80]), hint="Give a later end"
        )
    if until - start > MAX_DURATION:
        raise UsageError("an order lasts at most 31 days", value=repr(text[:80]), hint="Change policy.yaml")
    if start - now > MAX_AHEAD:
        raise UsageError(
            "an order begins within a year", value=repr(text[:80]), hint="Write a vacation into policy.yaml"
        )
    return Override(up, start, until, now, by)


def _parse_when(text: str, zone: tzinfo, now: datetime) -> tuple[datetime, datetime]:
    """When an order is in force: from now on, or in a span that begins later."""
    if match := _END.fullmatch(text):
        if match["how"] == "for":
            return now, parse_duration_text(match["end"], now)
        return now, parse_end(match["end"], zone, now)
    # A span first: in `from 10 to 14` both ends are of one day.
    if span := parse_span(text, zone, now):
        return span
    if match := _FROM.fullmatch(text):
        start = parse_start(match["start"], zone, now)
        if match["how"] == "for":
            return start, parse_duration_text(match["end"], start)
        return start, parse_end(match["end"], zone, max(start, now))
    raise UsageError("not a time", value=repr(text[:40]), hint=ORDER_HINT)


def describe_span(order: Override, zone: tzinfo, now: datetime) -> str:
    """What is ordered and when, for people: `off from Sat 2026-03-07 10:00 until Sat 2026-03-07 14:00`."""
    what = {True: "up", False: "off", None: "back on schedule"}[order.up]
    if order.up is None:
        return what
    begin = f" from {format_local_time(order.start, zone)}" if order.start > now else ""
    return f"{what}{begin} until {format_local_time(order.until, zone)}"
