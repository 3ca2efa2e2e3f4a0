"""Our own timers: their silence is an alarm, and what cannot be judged is not called good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.notifications import MemoryNotifications
from shared.catch_up.timers import read_timers, report_silent_timers
from shared.records.timer_runs import run_recorded
from shared.settings.schedules import find_interval
from shared.settings.timers import SCHEDULES

FIVE = {"power_tick": timedelta(minutes=5)}


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.blobs = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)

    def check(self, intervals: dict[str, timedelta] = FIVE) -> str:
        now = self.clock.now()
        return report_silent_timers(read_timers(self.blobs, intervals, now), self.people, now)

    def run(self, timer: str = "power_tick") -> None:
        run_recorded(self.blobs, self.clock, timer, lambda: "done")


@pytest.fixture
def world() -> World:
    return World()


def test_a_timer_that_is_silent_for_too_long_is_told_once_and_its_return_too(world: World) -> None:
    world.run()
    world.clock.advance(timedelta(minutes=20))
    assert world.check() == "1 timers are on time"
    world.run()
    world.clock.advance(timedelta(minutes=20, seconds=1))
    for _ in range(3):
        assert world.check() == "silent: power_tick"
    assert world.people.titles == ["The timer power_tick has not run for 20 min 1 s"]
    world.run()
    world.check()
    world.check()
    assert world.people.titles[1:] == ["The timer power_tick runs again"]


def test_a_run_that_failed_is_a_run(world: World) -> None:
    def fail() -> str:
        raise ValueError("no")

    world.check()
    world.clock.advance(timedelta(minutes=30))
    with pytest.raises(ValueError, match="no"):
        run_recorded(world.blobs, world.clock, "power_tick", fail)
    assert world.check() == "1 timers are on time"


def test_a_timer_that_never_ran_is_expected_from_the_first_check_on(world: World) -> None:
    assert world.check() == "1 timers are on time"
    world.clock.advance(timedelta(minutes=21))
    assert world.check() == "silent: power_tick"


def test_a_timer_that_was_off_is_not_late_as_soon_as_it_is_on_again(world: World) -> None:
    world.check()
    world.run()
    world.check({})
    world.clock.advance(timedelta(days=3))
    assert world.check() == "1 timers are on time"


def test_a_weekly_timer_is_known_over_the_turn_of_the_year(world: World) -> None:
    weekly = {"power_tick": timedelta(weeks=1)}
    world.clock.set(world.clock.now().replace(year=2025, month=12, day=31))
    world.check(weekly)
    world.run()
    world.clock.advance(timedelta(days=6))
    assert world.clock.now().year == 2026
    world.blobs.replace("timers/expected.json", b'{"power_tick": "2025-01-01T00:00:00Z"}', etag=None)
    assert world.check(weekly) == "1 timers are on time"


@pytest.mark.parametrize(
    ("expression", "interval"),
    [
        ("0 */5 * * * *", timedelta(minutes=5)),
        ("30 */5 * * * *", timedelta(minutes=5)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("*/2 * * * * *", timedelta(seconds=2)),
        ("0 * * * * *", timedelta(minutes=1)),
        ("* * * * * *", timedelta(seconds=1)),
        ("0 20 * * * *", timedelta(hours=1)),
        ("0 20 */6 * * *", timedelta(hours=6)),
        ("0 0 1 * * *", timedelta(days=1)),
        ("0 0 1 * * 1", timedelta(weeks=1)),
        ("0 0 1 * * Mon", timedelta(weeks=1)),
        ("0 0 1 * * Mon-Fri", None),
        ("0 0 1 1 * *", None),
        ("0 0,30 * * * *", None),
        ("0 0 8-18 * * *", None),
        ("0 */0 * * * *", None),
        ("0 */5 9 * * *", None),
        ("0 */5 * * * 1", None),
        ("1.00:00:00", None),
        ("", None),
    ],
)
def test_how_often_a_timer_fires(expression: str, interval: timedelta | None) -> None:
    assert find_interval(expression) == interval


@given(st.text(max_size=20))
def test_no_expression_makes_it_fail(expression: str) -> None:
    interval = find_interval(expression)
    assert interval is None or interval > timedelta()


def test_every_timer_of_ours_is_judged_as_shipped() -> None:
    assert all(find_interval(expression) for expression in SCHEDULES.values())
