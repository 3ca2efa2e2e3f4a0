"""Notifications that a test can read."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from local.fakes.clock import ManualClock
from shared.kernel.errors import GroundcrewError, Unavailable
from shared.kernel.ports import Clock
from shared.notifications.ports import Notice


class MemoryNotifications:
    """`Notifier` for tests, safe for threads: `told` is what people heard, oldest first."""

    def __init__(self, clock: Clock | None = None, *, repeat_after: timedelta = timedelta(hours=4)) -> None:
        self._clock, self._repeat_after = clock or ManualClock(), repeat_after
        self._lock = threading.Lock()
        self._known: dict[str, datetime] = {}
        self.told: list[Notice] = []
        self.down = False
        self.failure: GroundcrewError | None = None

    def notify(self, notice: Notice) -> bool:
        """See `Notifier.notify`; raises `Unavailable` while `down`, or the `failure` if there is one."""
        with self._lock:
            now, before = self._clock.now(), self._known.get(notice.key)
            fresh = before is not None and not (notice.again and now >= before + self._repeat_after)
            if notice.key and (before is None if notice.resolved else fresh):
                return False
            if self.failure is not None:
                raise self.failure
            if self.down:
                raise Unavailable("the notification could be neither stored nor sent")
            self._known[notice.key] = now
            if notice.resolved:
                del self._known[notice.key]
            self.told.append(notice)
            return True

    def notify_resolved(self, notices: Sequence[Notice]) -> None:
        """See `Notifier.notify_resolved`."""
        if self.down:
            raise Unavailable("the storage does not answer")
        for notice in notices:
            self.notify(notice)

    @property
    def titles(self) -> list[str]:
        """The titles of what was told."""
        return [notice.title for notice in self.told]
