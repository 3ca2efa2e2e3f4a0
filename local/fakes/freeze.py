"""A MongoDB server that can be locked, as far as the lock goes."""

from __future__ import annotations

import threading
from datetime import datetime

from shared.kernel.errors import Unavailable
from shared.kernel.ports import Clock


class MemoryFreezable:
    """`Freezable` for tests, safe for threads. The count outlives whoever locked, as the server's does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        self.locked_times = self.unlocked_times = 0
        self.down = False
        self.clock: Clock | None = None
        self.back_at: datetime | None = None  # when it answers again, by `clock`

    def lock(self) -> None:
        """See `Freezable.lock`."""
        with self._lock:
            self._answer()
            self.count += 1
            self.locked_times += 1

    def unlock(self) -> bool:
        """See `Freezable.unlock`."""
        with self._lock:
            self._answer()
            was = self.count > 0
            self.count -= was
            self.unlocked_times += was
            return was

    def is_locked(self) -> bool:
        """See `Freezable.is_locked`."""
        with self._lock:
            self._answer()
            return self.count > 0

    def restart(self) -> None:
        """The server was restarted: no lock outlives that."""
        with self._lock:
            self.count = 0

    def _answer(self) -> None:
        if self.clock and self.back_at and self.clock.now() >= self.back_at:
            self.down = False
        if self.down:
            raise Unavailable("MongoDB does not answer")
