"""Where timers get the time from, so that a test can let years pass in an instant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

_LONGEST_NAP_SECONDS = 30.0


class TimerClock(Protocol):
    """The present, and how to wait for a moment."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when `now()` has reached `when`."""
        ...


class SystemTimerClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, when: datetime) -> None:
        """Return when the wall clock has reached `when`, also if it was set or the machine slept."""
        while (remaining := (when - self.now()).total_seconds()) > 0:
            # In short naps: a laptop that slept would otherwise be late by the whole of its sleep.
            await asyncio.sleep(min(remaining, _LONGEST_NAP_SECONDS))


class SteppedClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._waiting: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        """The moment it was set to."""
        return self._now

    async def sleep_until(self, when: datetime) -> None:
        """Return when `advance` has gone past `when`."""
        # A moment that has passed is not waited for, or a timer behind its time would never fire.
        if when > self._now:
            reached = asyncio.Event()
            self._waiting.append((when, reached))
            await reached.wait()

    @property
    def next_wake(self) -> datetime | None:
        """The earliest moment that somebody waits for."""
        return min((when for when, _ in self._waiting), default=None)

    def advance(self, step: timedelta) -> None:
        """Let `step` pass; who waited for a moment until then goes on."""
        self._now += step
        for when, reached in self._waiting:
            if when <= self._now:
                reached.set()
        self._waiting = [waiting for waiting in self._waiting if waiting[0] > self._now]
