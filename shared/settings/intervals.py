"""How long a timer's schedule leaves at the most between two runs: what makes a job late.

NCRONTAB: six fields with seconds, or five; the two fields of days are ANDed
(https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions).
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Four years have every combination of month, day and weekday that a sensible schedule asks for.
_REACH = timedelta(days=4 * 366)


def longest_interval(expression: str, now: datetime) -> timedelta | None:
    """The longest time between two runs from now on; None for an expression that cannot be read."""
    try:
        _, minutes, hours, days, months, weekdays = _parse_fields(expression)
    except ValueError:
        return None
    # Seconds are left out: they move every run alike.
    times = sorted(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    matching = [
        timedelta(days=number)
        for number in range(_REACH.days)
        if _matches_day(start + timedelta(days=number), days, months, weekdays)
    ]
    if not matching:
        return None
    within = max((later - earlier for earlier, later in itertools.pairwise(times)), default=None)
    # From the last run of a day to the first one of the next day that matches.
    between = [later + times[0] - earlier - times[-1] for earlier, later in itertools.pairwise(matching)]
    return max([*([within] if within else []), *between], default=None)


def _matches_day(day: datetime, days: set[int], months: set[int], weekdays: set[int]) -> bool:
    return day.day in days and day.month in months and day.isoweekday() % 7 in weekdays


def _parse_fields(expression: str) -> list[set[int]]:
    """The values of each field. Raises ValueError."""
    fields = expression.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ValueError("an expression has five or six fields")
    return [_parse_field(field, *bounds) for field, bounds in zip(fields, _RANGES, strict=True)]


def _parse_field(field: str, lowest: int, highest: int) -> set[int]:
    values: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = lowest, highest
        else:
            low = _parse_value(first, highest)
            # `a/n` means from a to the highest.
            high = _parse_value(last, highest) if dash else highest if step else low
        values |= set(range(low, high + 1, int(step or 1)))
    if not values or min(values) < lowest or max(values) > highest:
        raise ValueError(f"{field} is out of range")
    return values


def _parse_value(text: str, highest: int) -> int:
    names = {12: _MONTHS, 6: _WEEKDAYS}.get(highest, ())
    # Months count from one, weekdays from zero (Sunday), each by name or number.
    for number, name in enumerate(names, 1 if highest == 12 else 0):
        if len(text) >= 3 and name.startswith(text.lower()[:3]):
            return number
    return int(text)
