"""What follows from a timer's schedule: how long it pauses at the most, and when of day it fires. Pure."""

from __future__ import annotations

import itertools
from datetime import datetime, time, timedelta

from shared.kernel.errors import UsageError
from shared.settings.ncrontab import Ncrontab

# Four years have every combination of month, day and weekday that a sensible schedule asks for.
_REACH_DAYS = 4 * 366


def longest_interval(expression: str, now: datetime) -> timedelta | None:
    """The longest time between two runs from now on; None for an expression that cannot be read.

    The longest, not the usual one: a job is late only when it is later than its schedule ever lets it be,
    and what is made up for too early runs twice.
    """
    try:
        schedule = Ncrontab.parse(expression)
    except UsageError:
        return None
    seconds, minutes, hours = schedule.fields[:3]
    times = [
        timedelta(hours=hour, minutes=minute, seconds=second)
        for hour, minute, second in itertools.product(hours, minutes, seconds)
    ]
    within = max((later - earlier for earlier, later in itertools.pairwise(times)), default=timedelta())
    # From the last run of a day to the first one of the next day that matches.
    between = _longest_days(schedule, now)
    return max(within, between + times[0] - times[-1]) if between else None


def daily_time(expression: str) -> time | None:
    """When the expression fires, if it does so once on every day; else, or if it cannot be read, None."""
    try:
        schedule = Ncrontab.parse(expression)
    except UsageError:
        return None
    seconds, minutes, hours = schedule.fields[:3]
    if not schedule.is_daily() or len(seconds) * len(minutes) * len(hours) != 1:
        return None
    return time(hours[0], minutes[0], seconds[0])


def _longest_days(schedule: Ncrontab, now: datetime) -> timedelta | None:
    # The common case by itself: every page and every tick asks for each timer, and counts no four years.
    if schedule.is_daily():
        return timedelta(days=1)
    today = now.date()
    matching = [
        number for number in range(_REACH_DAYS) if schedule.matches_day(today + timedelta(days=number))
    ]
    pauses = [later - earlier for earlier, later in itertools.pairwise(matching)]
    return timedelta(days=max(pauses)) if pauses else None
