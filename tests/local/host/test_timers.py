"""Timers on a clock that the test moves: no waiting, any date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.functions.meta import Datum

from local.host.clock import SteppedClock, SystemTimerClock
from local.host.config import AppSettings
from local.host.functions import Binding, Function
from local.host.timer_store import MemoryTimerStore, ScheduleStatus
from local.host.timers import TimerListener, TimerOptions, timer_options
from shared.kernel.errors import Unavailable, UsageError

START = datetime(2026, 3, 28, 12, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Recorder:
    """Remembers when the function was called, with what, and how many calls overlapped at most."""

    def __init__(self, clock: SteppedClock, takes: timedelta = timedelta()) -> None:
        self.clock, self.takes = clock, takes
        self.calls: list[tuple[datetime, dict[str, Any]]] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, trigger: Datum) -> None:
        self.calls.append((self.clock.now(), json.loads(trigger.value)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.clock.sleep_until(self.clock.now() + self.takes)
        self.at_once -= 1

    @property
    def times(self) -> list[str]:
        return [when.strftime("%d %H:%M:%S") for when, _ in self.calls]


def options(schedule: str, **properties: object) -> TimerOptions:
    binding = Binding("t", "timerTrigger", "in", {"schedule": schedule, **properties})
    settings = AppSettings({"EVERY_HOUR": "0 0 * * * *"})
    return timer_options(Function("tick", "id", (binding,)), settings, START)


@asynccontextmanager
async def running(
    timer: TimerOptions, store: MemoryTimerStore, clock: SteppedClock, record: Recorder
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    listener = TimerListener(timer, store, clock, record, poll=timedelta(milliseconds=5))
    task = asyncio.create_task(listener.run(stop))
    await settle()
    try:
        yield
    finally:
        stop.set()
        await settle()
        while not task.done():  # an invocation that still runs is waited for
            clock.advance(HOUR)
            await settle()
        await task


async def settle() -> None:
    """Let everybody who can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def pass_time(clock: SteppedClock, total: timedelta, step: timedelta) -> None:
    for _ in range(int(total / step)):
        clock.advance(step)
        await settle()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def play(scenario: Callable[[SteppedClock, MemoryTimerStore], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario(SteppedClock(START), MemoryTimerStore()))


def test_a_new_timer_fires_at_its_moments_and_not_at_the_start() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, record):
            assert record.calls == []
            await pass_time(clock, 3 * HOUR, timedelta(minutes=5))
            assert record.times == ["28 13:00:00", "28 14:00:00", "28 15:00:00"]
            assert not any(info["IsPastDue"] for _, info in record.calls)

    play(scenario)


def test_over_the_change_of_clocks_in_europe_a_daily_timer_fires_once_a_day_in_utc() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        async with running(options("0 30 1 * * *"), store, clock, record):
            await pass_time(clock, timedelta(days=3), timedelta(minutes=10))
            assert record.times == ["29 01:30:00", "30 01:30:00", "31 01:30:00"]

    play(scenario)


def test_however_many_were_missed_the_start_gives_one_run_that_is_past_due() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, record):
            await pass_time(clock, HOUR, timedelta(minutes=10))
        clock.advance(timedelta(days=2))
        later = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, later):
            assert [info["IsPastDue"] for _, info in later.calls] == [True]
            await pass_time(clock, HOUR, timedelta(minutes=10))
            assert [info["IsPastDue"] for _, info in later.calls] == [True, False]

    play(scenario)


def test_a_schedule_that_was_changed_is_not_past_due() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        async with running(options("%EVERY_HOUR%"), store, clock, Recorder(clock)):
            await pass_time(clock, HOUR, timedelta(minutes=10))
        clock.advance(timedelta(days=2))
        record = Recorder(clock)
        async with running(options("0 20 * * * *"), store, clock, record):
            assert record.calls == []
            status = await store.load("tick")
            assert status is not None
            assert clock.now() < status.next <= clock.now() + HOUR

    play(scenario)


def test_the_function_sees_when_it_fired_last_and_is_to_fire_next() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, record):
            await pass_time(clock, 2 * HOUR, timedelta(minutes=10))
        first, second = (info["ScheduleStatus"] for _, info in record.calls)
        assert first["Last"].startswith("0001-01-01")
        assert first["Next"] == "2026-03-28T13:00:00+00:00"
        assert second["Last"] == "2026-03-28T13:00:00+00:00"
        assert second["Next"] == "2026-03-28T14:00:00+00:00"
        assert record.calls[0][1]["Schedule"] == {"AdjustForDST": True}

    play(scenario)


def test_run_on_startup_runs_once_at_the_start_of_each_host() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        timer = options("%EVERY_HOUR%", runOnStartup=True)
        async with running(timer, store, clock, record):
            assert record.times == ["28 12:10:00"]
            store.break_hold("tick")
            clock.advance(timedelta(minutes=1))
            await until(lambda: "tick" in store.held)
            await settle()
            assert record.times == ["28 12:10:00"]
        async with running(timer, store, clock, record):
            assert len(record.calls) == 2

    play(scenario)


def test_a_run_longer_than_the_interval_is_followed_by_one_run_and_never_overlaps() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock, takes=timedelta(minutes=25))
        async with running(options("0 */10 * * * *"), store, clock, record):
            await pass_time(clock, timedelta(minutes=75), timedelta(minutes=5))
            assert record.times == ["28 12:20:00", "28 12:45:00", "28 13:10:00"]
        assert record.most_at_once == 1

    play(scenario)


def test_a_schedule_of_several_times_a_minute_is_not_remembered() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        async with running(options("*/10 * * * * *"), store, clock, Recorder(clock)):
            await pass_time(clock, timedelta(minutes=1), timedelta(seconds=10))
        assert await store.load("tick") is None
        clock.advance(timedelta(days=1))
        record = Recorder(clock)
        async with running(options("*/10 * * * * *"), store, clock, record):
            assert record.calls == []

    play(scenario)


def test_without_monitor_nothing_is_remembered() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        async with running(options("%EVERY_HOUR%", useMonitor=False), store, clock, Recorder(clock)):
            await pass_time(clock, HOUR, timedelta(minutes=10))
        assert await store.load("tick") is None

    play(scenario)


def test_of_two_hosts_one_fires_and_the_other_takes_over_when_it_stops() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        first, second = Recorder(clock), Recorder(clock)
        timer = options("%EVERY_HOUR%")
        stop = asyncio.Event()
        async with running(timer, store, clock, first):
            listener = TimerListener(timer, store, clock, second, poll=timedelta(milliseconds=5))
            other = asyncio.create_task(listener.run(stop))
            await pass_time(clock, 2 * HOUR, timedelta(minutes=10))
            assert (len(first.calls), len(second.calls)) == (2, 0)
        await until(lambda: "tick" in store.held)
        await pass_time(clock, HOUR, timedelta(minutes=10))
        assert (len(first.calls), len(second.calls)) == (2, 1)
        stop.set()
        await other

    play(scenario)


def test_a_host_that_lost_its_lease_fires_no_more_while_another_holds_it() -> None:
    async def scenario(clock: SteppedClock, store: MemoryTimerStore) -> None:
        record = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, record):
            store.break_hold("tick")
            async with store.hold("tick"):
                await pass_time(clock, 2 * HOUR, timedelta(minutes=10))
                assert record.calls == []
            await until(lambda: len(record.calls) == 1)
            assert record.calls[0][1]["IsPastDue"] is True

    play(scenario)


def test_a_status_that_cannot_be_saved_does_not_make_the_timer_run_again() -> None:
    class Failing(MemoryTimerStore):
        broken = False

        async def save(self, function: str, status: ScheduleStatus) -> None:
            if self.broken:
                raise Unavailable("The storage is away")
            await super().save(function, status)

    async def scenario() -> None:
        clock, store = SteppedClock(START), Failing()
        record = Recorder(clock)
        async with running(options("%EVERY_HOUR%"), store, clock, record):
            store.broken = True
            await pass_time(clock, 2 * HOUR, timedelta(minutes=10))
            assert record.times == ["28 13:00:00", "28 14:00:00"]

    asyncio.run(scenario())


def test_a_schedule_whose_setting_is_missing_names_timer_and_setting() -> None:
    with pytest.raises(UsageError, match=r"timer tick.*SOMETIMES"):
        options("%SOMETIMES%")


def test_the_machines_clock_does_not_return_before_the_moment() -> None:
    async def scenario() -> None:
        clock = SystemTimerClock()
        moment = clock.now() + timedelta(milliseconds=30)
        await clock.sleep_until(moment)
        assert clock.now() >= moment

    asyncio.run(scenario())


def test_a_status_of_the_real_host_is_understood() -> None:
    text = (
        '{"Last":"0001-01-01T00:00:00","Next":"2026-03-28T13:00:00.1234567+00:00",'
        '"LastUpdated":"2026-03-28T12:10:00Z"}'
    )
    status = ScheduleStatus.from_json(text)
    assert status.last == datetime(1, 1, 1, tzinfo=UTC)
    assert status.next == datetime(2026, 3, 28, 13, 0, 0, 123456, tzinfo=UTC)
    assert ScheduleStatus.from_json(json.dumps(status.to_json())) == status


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Last": 1, "Next": 2, "LastUpdated": 3}'])
def test_a_status_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"status|Expecting"):
        ScheduleStatus.from_json(text)
