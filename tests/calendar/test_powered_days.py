"""An end is told at least 14 powered-on days before, whatever the schedule and its vacations."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendar.decide import build_calendar, find_news, update_told
from shared.calendar.model import Deadline, DeadlineKind, PlannedSpan
from shared.calendar.powered import PoweredDays, find_powered_days

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
TODAY = date(2026, 11, 28)
DAY = timedelta(days=1)


def plan(weekdays: set[int], vacations: list[tuple[int, int]], *, days: int = 560) -> list[PlannedSpan]:
    """Up from 7 to 19 o'clock on these weekdays, and off on the vacations, given as (first day, length)."""
    off = {TODAY + DAY * (first + n) for first, length in vacations for n in range(length)}
    spans, last = [], NOW - DAY
    for number in range(days):
        day = TODAY + DAY * number
        if day.weekday() not in weekdays or day in off:
            continue
        begin = datetime(day.year, day.month, day.day, 7, tzinfo=BERLIN).astimezone(UTC)
        spans += [PlannedSpan(False, last, begin), PlannedSpan(True, begin, begin + timedelta(hours=12))]
        last = begin + timedelta(hours=12)
    return [*spans, PlannedSpan(False, last, NOW + DAY * days)]


def tell_daily(powered: PoweredDays, at: datetime, until: date) -> dict[int, date]:
    """By threshold the day on which it was first told, by a job that runs each morning, also on days off."""
    told: dict[str, int] = {}
    first: dict[int, date] = {}
    deadline = Deadline(DeadlineKind.LICENCE, "x", at, "the features of the licence stop")
    day = TODAY
    while day <= until:
        now = datetime(day.year, day.month, day.day, 7, 30, tzinfo=UTC)
        news = find_news(build_calendar([deadline], powered, now), told)
        told = update_told(told, news)
        for entry in news.reached:
            assert entry.threshold is not None
            assert entry.threshold not in first, "told twice"
            first[entry.threshold] = day
        day += DAY
    return first


@settings(max_examples=25, deadline=None)
@given(
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    vacations=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=4),
    offset=st.integers(1, 365),
    hour=st.integers(0, 23),
)
def test_an_end_on_any_day_is_told_at_least_14_powered_on_days_before(
    weekdays: set[int], vacations: list[tuple[int, int]], offset: int, hour: int
) -> None:
    powered = find_powered_days(plan(weekdays, vacations), BERLIN, NOW)
    at = datetime(2026, 11, 28, hour, 30, tzinfo=UTC) + DAY * offset
    end = at.astimezone(BERLIN).date()
    left = [day for day in powered.days if TODAY < day < end]
    first = tell_daily(powered, at, end)
    if len(left) < 14:
        # Nobody can be told earlier than today; and today it is.
        assert min(first.values()) == TODAY
        return
    told = max(day for threshold, day in first.items() if threshold >= 14 and day <= end)
    assert len([day for day in powered.days if told < day < end]) >= 14
    # No vacation stands between the telling and the 14 days: it was told while the machine was still up.
    assert told == TODAY or told in powered.days


def test_each_of_365_days_is_told_in_time_with_a_vacation_over_christmas() -> None:
    powered = find_powered_days(plan({0, 1, 2, 3, 4}, [(26, 14), (200, 21)]), BERLIN, NOW)
    for offset in range(1, 366):
        at = NOW + DAY * offset
        end = at.astimezone(BERLIN).date()
        entry = build_calendar([Deadline(DeadlineKind.LICENCE, "x", at)], powered, NOW)[0]
        left = len([day for day in powered.days if TODAY < day < end])
        assert entry.powered_days == left
        assert (entry.threshold is not None and entry.threshold <= 14) == (left <= 14)
        if left > 14:
            assert entry.warns_at is not None
            after = [day for day in powered.days if entry.warns_at.date() < day < end]
            assert len(after) == 14


@pytest.mark.parametrize("threshold", [60, 30, 14, 3])
def test_a_vacation_that_covers_the_alarm_moves_it_before_itself(threshold: int) -> None:
    # Off from day 20 to day 59; the end is as many powered-on days after that.
    powered = find_powered_days(plan({0, 1, 2, 3, 4, 5, 6}, [(20, 40)]), BERLIN, NOW)
    last = 60 + threshold
    first = tell_daily(powered, NOW + DAY * last, TODAY + DAY * last)
    assert first[threshold] == TODAY + DAY * 19


def test_an_end_planted_at_each_of_365_days_is_told_14_powered_on_days_before() -> None:
    powered = find_powered_days(plan({0, 1, 2, 3, 4}, [(26, 14), (200, 21)]), BERLIN, NOW)
    ends = [
        Deadline(DeadlineKind.LICENCE, str(offset), NOW + DAY * offset, "then") for offset in range(1, 366)
    ]
    told: dict[str, int] = {}
    first: dict[str, date] = {}
    # As the timer does it, with one calendar of all ends, also on the days on which the machine is off.
    for number in range(366):
        now = datetime(2026, 11, 28, 7, 30, tzinfo=UTC) + DAY * number
        news = find_news(build_calendar(ends, powered, now), told)
        told = update_told(told, news)
        for entry in news.reached:
            if entry.threshold is not None and entry.threshold >= 14:
                first[entry.deadline.name] = now.date()
    for end in ends:
        assert end.at is not None
        day = end.at.astimezone(BERLIN).date()
        after = [one for one in powered.days if first.get(end.name, day) < one < day]
        possible = [one for one in powered.days if TODAY < one < day]
        # What ends within 14 powered-on days of today is told today, and cannot be told earlier.
        assert len(after) >= 14 or len(possible) < 14, end.name


@pytest.mark.parametrize(("zone", "day"), [("Europe/Berlin", "2027-03-28"), ("Europe/Berlin", "2026-10-25")])
def test_a_day_on_which_clocks_change_counts_once(zone: str, day: str) -> None:
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00") - DAY
    spans = [PlannedSpan(True, start, start + DAY * 4)]
    powered = find_powered_days(spans, ZoneInfo(zone), start)
    assert powered.days.count(date.fromisoformat(day)) == 1
    assert list(powered.days) == sorted(set(powered.days))


def test_an_hour_at_night_is_no_powered_on_day_and_no_plan_is_every_day() -> None:
    later = NOW + timedelta(hours=1)
    hour = [PlannedSpan(True, NOW, later), PlannedSpan(False, later, NOW + DAY * 9)]
    assert find_powered_days(hour, BERLIN, NOW).days == ()
    assert find_powered_days([], BERLIN, NOW).count_between(TODAY, TODAY + DAY * 31) == 30


def test_beyond_the_plan_nothing_is_counted() -> None:
    powered = find_powered_days(plan({0}, [], days=100), BERLIN, NOW)
    assert powered.count_between(TODAY, TODAY + DAY * 200) is None
    assert powered.count_between(TODAY, TODAY - DAY * 20) == 0
