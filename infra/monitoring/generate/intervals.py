"""Alertmanager's time intervals out of the power schedule: planned downtime, and the minutes after starts.

Alertmanager knows times within a day, weekdays and dates, in a location
(https://prometheus.io/docs/alerting/latest/configuration/#time_interval-0). The weekly windows become ranges
by weekday; what a holiday or vacation changes becomes ranges by date, for the years that are written out.
Orders by hand and machines that are woken for a backup are not in the schedule: Prometheus' own rules ask
Groundcrew's metrics for those. On the days on which clocks change, an interval may be off by that hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from shared.policy.power import MachinePolicy
from shared.policy.values import Window

DAY_MINUTES = 24 * 60
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

Range = tuple[int, int]
DayOff = Callable[[date], str]


def planned_intervals(
    machine: MachinePolicy, zone: str, day_off: DayOff, years: tuple[int, int], grace: timedelta
) -> list[dict[str, Any]]:
    """`planned-downtime` and `starting` as Alertmanager's `time_intervals`; no windows: always downtime."""
    location = machine.timezone or zone
    off = day_off if not machine.on_days_off else _never_off
    minutes = int(grace.total_seconds()) // 60
    down = _entries(lambda days: _complement(_up(machine.windows, days)), off, years, location)
    starting = _entries(lambda days: _starts(machine.windows, days, minutes), off, years, location)
    return [
        {"name": "planned-downtime", "time_intervals": down or [_never(location)]},
        {"name": "starting", "time_intervals": starting or [_never(location)]},
    ]


def _never_off(_day: date) -> str:
    return ""


def _never(location: str) -> dict[str, Any]:
    """An interval that lies in the past, since an empty list would mean always."""
    return {"years": ["1970"], "location": location}


Days = tuple[tuple[int, bool], tuple[int, bool]]
"""Yesterday and today, each as a weekday and whether the windows that begin on it count."""


def _up(windows: tuple[Window, ...], days: Days) -> list[Range]:
    """When it is up today: what reaches over from yesterday, and what begins today."""
    (yesterday, yesterday_counts), (today, today_counts) = days
    ranges: list[Range] = []
    for window in windows:
        if yesterday_counts and yesterday in window.days and window.end > DAY_MINUTES:
            ranges.append((0, window.end - DAY_MINUTES))
        if today_counts and today in window.days:
            ranges.append((window.start, min(window.end, DAY_MINUTES)))
    return _merged(ranges)


def _starts(windows: tuple[Window, ...], days: Days, minutes: int) -> list[Range]:
    """The first minutes of each time up that begins today; those after midnight are left to the next day."""
    before = _up(windows, ((days[0][0], False), days[0]))
    up_at_midnight = any(end == DAY_MINUTES for _start, end in before)
    return [
        (start, min(start + minutes, end))
        for start, end in _up(windows, days)
        if start > 0 or not up_at_midnight
    ]


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _complement(ranges: list[Range]) -> list[Range]:
    edges = [0, *(edge for span in ranges for edge in span), DAY_MINUTES]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


def _entries(
    of: Callable[[Days], list[Range]], off: DayOff, years: tuple[int, int], location: str
) -> list[dict[str, Any]]:
    """The ranges of ordinary weeks by weekday, then by date for those dates on which they differ.

    An interval by weekday cannot except a date. So a weekday's ranges hold on days off too, which is right
    for downtime, since days off only add to it; for starts it mutes some minutes in which nothing starts.
    """
    by_weekday: dict[tuple[Range, ...], list[str]] = {}
    for weekday, name in enumerate(WEEKDAYS):
        ranges = tuple(of((((weekday - 1) % 7, True), (weekday, True))))
        if ranges:
            by_weekday.setdefault(ranges, []).append(name)
    entries = [
        {"times": _times(ranges), "weekdays": names, "location": location}
        for ranges, names in by_weekday.items()
    ]
    by_date: dict[tuple[tuple[Range, ...], int, int], list[int]] = {}
    day = date(years[0], 1, 1)
    while day <= date(years[1], 12, 31):
        before = day - timedelta(days=1)
        ordinary = of(((before.weekday(), True), (day.weekday(), True)))
        actual = of(((before.weekday(), not off(before)), (day.weekday(), not off(day))))
        more = tuple(span for span in actual if not any(_within(span, usual) for usual in ordinary))
        if more:
            by_date.setdefault((more, day.year, day.month), []).append(day.day)
        day += timedelta(days=1)
    entries += [
        {
            "times": _times(ranges),
            "days_of_month": [str(number) for number in days],
            "months": [MONTHS[month - 1]],
            "years": [str(year)],
            "location": location,
        }
        for (ranges, year, month), days in sorted(by_date.items(), key=lambda item: (item[0][1:], item[1]))
    ]
    return entries


def _within(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _times(ranges: Iterable[Range]) -> list[dict[str, str]]:
    return [{"start_time": _clock(start), "end_time": _clock(end)} for start, end in ranges]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
