"""Our own timers: their silence is an alarm, and what cannot be judged is not called good."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.notifications import MemoryNotifications
from shared.catch_up.timers import read_timers, report_silent_timers
from shared.records.timer_runs import run_recorded

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
