"""How often a timer fires by its NCRONTAB expression, as far as that can be said simply. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

# Not every expression: a job that is made up for too early runs twice, so what is not certain is None.
_NUMBER, _STEP = re.compile(r"\d{1,2}"), re.compile(r"\*/(\d{1,2})")
_UNITS = (timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1))


def find_interval(expression: str) -> timedelta | None:
    """The time between two firings; None for expressions with lists, ranges, or days of a month.

    `0 */5 * * * *` is five minutes, `0 20 * * * *` an hour, `0 0 1 * * *` a day, `0 0 1 * * 1` a week.
    """
    fields = expression.split()
    # Five fields have no seconds: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6 or fields[3:5] != ["*", "*"]:
        return None
    times, weekday = fields[:3], fields[5]
    # From the seconds on: numbers, then at most one step, then stars only.
    position = next((i for i, field in enumerate(times) if not _NUMBER.fullmatch(field)), 3)
    if position == 3:
        return timedelta(days=1) if weekday == "*" else _weekly(weekday)
    step, rest = _STEP.fullmatch(times[position]), times[position + 1 :]
    if weekday != "*" or any(field != "*" for field in rest):
        return None
    if times[position] == "*":
        return _UNITS[position]
    return _UNITS[position] * int(step[1]) if step and int(step[1]) else None


def _weekly(weekday: str) -> timedelta | None:
    return timedelta(weeks=1) if re.fullmatch(r"[0-6]|[A-Za-z]{3}", weekday) else None
