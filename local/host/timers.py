"""Timer triggers: when they fire, what is remembered of it, and that they never overlap.

Follows the TimerListener and the StorageScheduleMonitor of the Timers extension of the WebJobs SDK
(https://github.com/Azure/azure-webjobs-sdk-extensions/tree/dev/src/WebJobs.Extensions/Extensions/Timers):
a run is recorded when it has ended; the next one is counted from when it began, so a run that took longer
than the interval is followed by one at once and the others are left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.functions.meta import Datum

from local.host.clock import TimerClock
from local.host.config import AppSettings
from local.host.functions import Function
from local.host.ncrontab import TimerSchedule
from local.host.tasks import first_of
from local.host.timer_store import NEVER, ScheduleStatus, TimerStore
from shared.kernel.errors import GroundcrewError, Locked, UsageError

log = logging.getLogger("host")

Run = Callable[[Datum], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class TimerOptions:
    """What a timer's decorator says; `monitor` is whether its status is kept over restarts."""

    function: str
    schedule: TimerSchedule
    run_on_startup: bool
    monitor: bool


def timer_options(function: Function, settings: AppSettings, now: datetime) -> TimerOptions:
    """Read the timer trigger of a function. Raises `UsageError` for a schedule the platform does not take."""
    trigger = function.trigger
    where = f"the timer {function.name}"
    try:
        schedule = TimerSchedule.parse(settings.resolve(trigger.text("schedule"), where))
    except UsageError as error:
        raise UsageError(f"In {where}: {error}") from error
    # As the platform does: what fires more than once a minute is not worth remembering.
    soon = schedule.next_after(now)
    again = schedule.next_after(soon) if soon else None
    often = again is not None and again < now + timedelta(minutes=1)
    monitor = trigger.properties.get("useMonitor")
    return TimerOptions(
        function=function.name,
        schedule=schedule,
        run_on_startup=bool(trigger.properties.get("runOnStartup")),
        monitor=(True if monitor is None else bool(monitor)) and not often,
    )


class TimerListener:
    """Fires one timer, from `run` until `stop` is set; asks every `poll` for a lease that others hold."""

    def __init__(
        self, options: TimerOptions, store: TimerStore, clock: TimerClock, invoke: Run, poll: timedelta
    ) -> None:
        self._options, self._store, self._clock = options, store, clock
        self._invoke, self._poll_seconds = invoke, poll.total_seconds()
        self._status: ScheduleStatus | None = None
        self._starting = True
        self._ending: tuple[asyncio.Event, ...] = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the timer whenever this host holds its lease. An invocation that runs is waited for."""
        name = self._options.function
        while not stop.is_set():
            try:
                async with self._store.hold(name) as lost:
                    self._ending = (stop, lost)
                    await self._serve()
                    if lost.is_set():
                        log.warning("timer_lease_lost", extra={"function": name})
            except Locked:
                log.debug("timer_runs_elsewhere", extra={"function": name})
            except GroundcrewError as error:
                log.warning("timer_storage_unavailable", extra={"function": name, "error": str(error)})
            await first_of(asyncio.sleep(self._poll_seconds), stop.wait())

    async def _serve(self) -> None:
        now = self._clock.now()
        self._status = await self._load(now)
        starting, self._starting = self._starting, False
        # Missed while no host ran: fired once, and told by `IsPastDue`; several that were missed are one.
        if now > self._status.next:
            await self._fire(now, past_due=True)
        elif self._options.run_on_startup and starting:
            await self._fire(now, past_due=False)
        while not self._is_ending():
            await first_of(
                self._clock.sleep_until(self._status.next), *(event.wait() for event in self._ending)
            )
            if not self._is_ending():
                await self._fire(self._clock.now(), past_due=False)

    def _is_ending(self) -> bool:
        return any(event.is_set() for event in self._ending)

    async def _load(self, now: datetime) -> ScheduleStatus:
        """The status to go on with: kept unless the schedule has changed since."""
        status = await self._store.load(self._options.function) if self._options.monitor else None
        if status is None:
            return await self._save(ScheduleStatus(NEVER, self._next_occurrence(now), now))
        since = status.last if status.last > NEVER else status.updated
        expected = self._next_occurrence(since)
        if status.next == expected:
            return status
        # By another schedule than the one it was counted with, a moment in the past was never due.
        due = expected if expected >= now else self._next_occurrence(now)
        return await self._save(ScheduleStatus(NEVER, due, now))

    async def _fire(self, now: datetime, *, past_due: bool) -> None:
        status = self._status
        if status is None:
            return
        # Waited for: a timer never overlaps itself.
        await self._invoke(timer_input(status, past_due=past_due))
        self._status = ScheduleStatus(now, self._next_occurrence(now), now)
        try:
            await self._save(self._status)
        except GroundcrewError as error:
            # It has run: to load an older status and run again would be worse than to forget.
            log.warning(
                "timer_status_not_saved", extra={"function": self._options.function, "error": str(error)}
            )

    async def _save(self, status: ScheduleStatus) -> ScheduleStatus:
        if self._options.monitor:
            await self._store.save(self._options.function, status)
        return status

    def _next_occurrence(self, when: datetime) -> datetime:
        following = self._options.schedule.next_after(when)
        # An expression that never occurs again is waited for in vain, and no error.
        return following if following is not None else datetime.max.replace(tzinfo=when.tzinfo)


def timer_input(status: ScheduleStatus, *, past_due: bool) -> Datum:
    """What a timer function is given."""
    info = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json(),
        "IsPastDue": past_due,
    }
    return Datum(json.dumps(info), "json")


def manual_timer() -> Datum:
    """What a timer function is given when an administrator starts it."""
    info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    return Datum(json.dumps(info), "json")
