"""The longest pause that a schedule leaves agrees with the library that the embedded host runs timers by."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter

from shared.settings.intervals import longest_interval
from shared.settings.timers import SCHEDULES

NOW = datetime(2026, 11, 23, 9, 7, tzinfo=UTC)
EXPRESSIONS = [
    *SCHEDULES.values(), "*/15 * * * *", "0 0 6 * * Mon", "0 30 8-17 * * 1-5", "0 0 0 1 * *", "0 0 3 1 1,7 *",
    "0 10/20 * * * *", "0 0 22 * * Sat,sun",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_agrees_with_croniter(expression: str) -> None:
    six = expression if len(expression.split()) == 6 else f"0 {expression}"
    runs = croniter(six, NOW, second_at_beginning=True, day_or=False)
    times = [runs.get_next(datetime) for _ in range(400)]
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert longest_interval(expression, NOW) == longest


@pytest.mark.parametrize(
    "expression", ["", "* *", "x * * * * *", "0 0 25 * * *", "0 0 0 30 2 *", "0 61 * * * *"]
)
def test_what_is_no_schedule_or_never_runs_has_none(expression: str) -> None:
    assert longest_interval(expression, NOW) is None


def test_every_timer_of_ours_has_one() -> None:
    assert all(longest_interval(one, NOW) >= timedelta(minutes=5) for one in SCHEDULES.values())
