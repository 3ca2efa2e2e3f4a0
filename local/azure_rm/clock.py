"""Time of the stand-ins: `local.fakes.clock.ManualClock`, or the real time that tests may push forward."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol


class MovableClock(Protocol):
    """A `shared.kernel.ports.Clock` that can be pushed forward."""

    def now(self) -> datetime:
        """The simulated present, aware, in UTC."""
        ...

    def advance(self, by: timedelta) -> datetime:
        """Move forward and return the new present."""
        ...


class RunningClock:
    """Real time plus all that it was advanced by."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """See `MovableClock.now`."""
        with self._lock:
            # It runs on: a wait that polls for real time ends, too.
            return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> datetime:
        """See `MovableClock.advance`. Raises ValueError for a negative step."""
        if by < timedelta():
            raise ValueError("time does not run backwards")
        with self._lock:
            self._ahead += by
        return self.now()


def rest_time(timestamp: datetime) -> str:
    """As Azure Resource Manager writes it: ISO 8601 with microseconds and an offset."""
    return timestamp.astimezone(UTC).isoformat(timespec="microseconds")
