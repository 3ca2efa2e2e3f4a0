"""Times of orders as people write them, on the wall clock of a zone: ends, starts, spans of a day. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo

from shared.kernel.errors import UsageError
from shared.policy.values import DAY_MINUTES, parse_day, parse_duration
from shared.power.schedule import resolve_end, resolve_start

ORDER_HINT = (
    "Write 'up until 22:00', 'off until Monday 7:00', 'up for 2h', 'up Saturday 10-14', 'off tomorrow', "
    "'off until 2026-03-02 07:00' or 'auto'"
)
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>am|pm)?", re.ASCII)
_CLOCK_WORDS = {"": DAY_MINUTES, "midnight": DAY_MINUTES, "noon": DAY_MINUTES // 2}
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.\d{4}", re.ASCII)
_FRACTION = re.compile(r"(\d{1,4}\.\d{1,3})([mhdw])", re.ASCII)
_UNIT_MINUTES = {"m": 1, "h": 60, "d": DAY_MINUTES, "w": 7 * DAY_MINUTES}
_TIME = r"(?:\d{1,2}(?::\d\d)?(?: ?[ap]m)?|noon|midnight)"
# A dash of any kind between two times: phones write en dashes.
_SPAN = re.compile(
    rf"(?:(?P<day>[^ ].*?) )?(?:(?:from|at) )?(?P<start>{_TIME})"
    rf" ?(?:-|\u2013|\u2014|to|until|till) ?(?P<end>{_TIME})",
    re.ASCII,
)


def parse_duration_text(text: str, now: datetime) -> datetime:
    """The end of a duration that begins now: `90m`, `1.5h`, `2 days`. Raises `UsageError`."""
    spelled = re.sub(r" ?(minutes?|min|hours?|days?|weeks?)\b ?", lambda unit: unit[1][0], text)
    try:
        return now + parse_duration(_FRACTION.sub(_spell_minutes, spelled.replace(" ", "")))
    except (ValueError, OverflowError):
        raise UsageError(
            "not a duration", value=repr(text[:40]), hint="Write 'for 90m', '2h' or '3d'"
        ) from None


def parse_end(text: str, zone: tzinfo, now: datetime) -> datetime:
    """The moment at which something ends, after `now` where the text leaves it open. Raises `UsageError`."""
    day, minutes, again = _parse_point(text, zone, now)
    until = resolve_end(day, minutes, zone)
    return until if until > now or not again else resolve_end(day + again, minutes, zone)


def parse_start(text: str, zone: tzinfo, now: datetime) -> datetime:
    """The moment at which something begins; a day alone is its first. Raises `UsageError`."""
    day, minutes, again = _parse_point(text, zone, now)
    # What ends a day begins it, if it is where something starts.
    minutes = 0 if minutes == DAY_MINUTES else minutes
    start = resolve_start(day, minutes, zone)
    # The whole of today is meant by `from today`, and by the weekday that today is.
    over = resolve_end(day, DAY_MINUTES, zone) <= now if minutes == 0 else start < now
    return resolve_start(day + again, minutes, zone) if over and again else start


def parse_span(text: str, zone: tzinfo, now: datetime) -> tuple[datetime, datetime] | None:
    """`Saturday 10-14`, `tomorrow 22:00 to 6:00`, `10am-2pm`, `24.12.2026`; None for what is no span.

    A span that ends at or before its start ends on the next day. Raises `UsageError` for what is one, of a
    time that no clock shows.
    """
    text = text.removeprefix("from ").removeprefix("on ")
    match = _SPAN.fullmatch(text)
    if match is None:
        day, _ = _find_day(text, zone, now)
        return (resolve_start(day, 0, zone), resolve_end(day, DAY_MINUTES, zone)) if day and text else None
    day, again = _find_day(match["day"] or "", zone, now)
    begin, end = _parse_clock(match["start"]), _parse_clock(match["end"])
    if day is None or begin is None or end is None:
        raise UsageError("not a time", value=repr(text[:40]), hint=ORDER_HINT)
    begin %= DAY_MINUTES  # midnight is where a span begins, too
    night = timedelta(days=end <= begin)
    start, until = resolve_start(day, begin, zone), resolve_end(day + night, end, zone)
    if until <= now and again:
        day += again
        start, until = resolve_start(day, begin, zone), resolve_end(day + night, end, zone)
    return start, until


def _find_day(text: str, zone: tzinfo, now: datetime) -> tuple[date | None, timedelta | None]:
    """The day that the words name (today for none), and after how long it comes again; None for no day."""
    today, words = now.astimezone(zone).date(), text.split()
    if not words:
        return today, timedelta(days=1)
    later = words[0] == "next" and len(words) == 2
    if len(words) != 1 + later:
        return None, None
    day, again = _parse_day(words[-1], today)
    if later:
        # Of weekdays only: who writes `next tomorrow` means something else.
        day = None if not (day and again) else day + again if day == today else day
    return day, again


def _spell_minutes(match: re.Match[str]) -> str:
    """`1.5h` as `90m`, since durations are whole numbers."""
    return f"{round(float(match[1]) * _UNIT_MINUTES[match[2]])}m"


def _parse_point(text: str, zone: tzinfo, now: datetime) -> tuple[date, int, timedelta | None]:
    """The day, the minutes past its midnight, and after how long it comes again."""
    words = re.sub(r"^([\d-]{10})t", r"\1 ", text).replace(" at ", " ").removeprefix("at ").split() or [""]
    today = now.astimezone(zone).date()
    count = 2 if words[0] == "next" else 1
    day, again = _find_day(" ".join(words[:count]), zone, now)
    if count == 2 and day is None:
        words = ["", "?"]  # `next 22:00`
    minutes = _parse_clock(" ".join(words if day is None else words[count:]))
    if minutes is None:
        raise UsageError("not a time", value=repr(text[:40]), hint=ORDER_HINT)
    return day or today, minutes, again


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
