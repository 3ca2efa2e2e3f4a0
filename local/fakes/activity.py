"""The activity log in memory: what the fakes of machines did, and what a test says happened."""

from __future__ import annotations

from datetime import datetime, timedelta

from local.fakes.clock import ManualClock
from shared.cloud.activity import ActivityEvent
from shared.kernel.ports import Clock


class MemoryActivityLog:
    """`ActivityLog` for tests: entries show up `delay` after they happened. `failure` is raised instead."""

    def __init__(self, clock: Clock | None = None, *, delay: timedelta = timedelta()) -> None:
        self._clock, self.delay = clock or ManualClock(), delay
        self._events: list[tuple[str, ActivityEvent]] = []
        self.failure: Exception | None = None
        self.asked = 0

    def add(self, resource_id: str, event: ActivityEvent) -> None:
        """Put an entry into the log."""
        self._events.append((resource_id.lower(), event))

    def list_events(self, resource_id: str, since: datetime, until: datetime) -> list[ActivityEvent]:
        """See `ActivityLog.list_events`."""
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        visible_until = min(until, self._clock.now() - self.delay)
        events = [event for about, event in self._events if about == resource_id.lower()]
        return sorted((e for e in events if since <= e.at <= visible_until), key=lambda event: event.at)
