"""The longest pause that a schedule leaves agrees with the library that the embedded host runs timers by."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from shared.settings.intervals import daily_time, longest_interval
from shared.settings.timers import SCHEDULES

NOW = datetime(2026, 11, 23, 9, 7, tzinfo=UTC)
EXPRESSIONS = [
    *SCHEDULES.values(), "*/15 * * * *", "0 0 6 * * Mon", "0 30 8-17 * * 1-5", "0 0 0 1 * *", "0 0 3 1 1,7 *",
    "0 10/20 * * * *", "0 0 22 * * Sat,sun", "0 */7 * * * *",
    "*/20 59 23 * * *", "0,30 0 12 * * Mon",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_agrees_with_croniter(expression: str) -> None:
    six = expression if len(expression.split()) == 6 else f"0 {expression}"
    runs = croniter(six, NOW, second_at_beginning=True, day_or=False)
    times = [runs.get_next(datetime) for _ in range(400)]
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert longest_interval(expression, NOW) == longest


@pytest.mark.parametrize(
    "expression",
    ["", "* *", "x * * * * *", "0 0 25 * * *", "0 0 0 30 2 *", "0 61 * * * *", "1.00:00:00", "0 */0 * * * *"],
)
def test_what_is_no_schedule_or_never_runs_has_none(expression: str) -> None:
    assert longest_interval(expression, NOW) is None


@given(st.text(st.sampled_from("0123456789*/-, ?L#MONjan"), max_size=20))
def test_no_expression_makes_it_fail(expression: str) -> None:
    interval = longest_interval(expression, NOW)
    assert interval is None or interval > timedelta()
    at = daily_time(expression)
    assert at is None or isinstance(at, time)


@pytest.mark.parametrize(
    "expression", ["0 0 1 * * 1-6", "0 0 1 2-31 * *", "0 0 1,2 * * *", "0,1 0 1 * * *", "0 0 25 * * *"]
)
def test_what_does_not_fire_once_on_every_day_has_no_daily_time(expression: str) -> None:
    assert daily_time(expression) is None


def test_every_timer_of_ours_has_one() -> None:
    assert all(longest_interval(one, NOW) >= timedelta(minutes=5) for one in SCHEDULES.values())


@pytest.mark.parametrize(
    ("expression", "at"),
    [("0 30 2 * * *", time(2, 30)), ("30 2 * * *", time(2, 30)), ("15 0 23 1-31 * 0-6", time(23, 0, 15))],
)
def test_what_fires_once_on_every_day_has_its_time(expression: str, at: time) -> None:
    assert daily_time(expression) == at


@pytest.mark.parametrize(
    ("now", "longest"),
    [
        (datetime(2028, 2, 29, tzinfo=UTC), timedelta(days=1461)),
        (datetime(2028, 2, 27, tzinfo=UTC), timedelta(days=1461)),
        (datetime(2028, 2, 26, tzinfo=UTC), None),
        (datetime(2027, 3, 1, tzinfo=UTC), None),
    ],
)
def test_of_leap_days_the_pause_is_known_where_two_lie_within_four_years(
    now: datetime, longest: timedelta | None
) -> None:
    assert longest_interval("0 0 0 29 2 *", now) == longest


def test_a_schedule_of_one_day_a_year_pauses_for_the_longest_year() -> None:
    assert longest_interval("0 0 0 1 3 *", NOW) == timedelta(days=366)
