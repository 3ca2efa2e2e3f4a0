"""The queues of a storage account, in memory."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from local.fakes.clock import ManualClock
from shared.kernel.ports import Clock
from shared.kernel.storage_limits import check_message


class MemoryQueues:
    """`Queues` for tests, safe for threads; delays end by `clock`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._lock = threading.Lock()
        self._messages: dict[str, list[tuple[datetime, str]]] = {}

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:
        """Append a message (at most 48 KiB) that becomes visible after `delay`. Raises `UsageError`."""
        check_message(queue, body, delay)
        with self._lock:
            self._messages.setdefault(queue, []).append((self._clock.now() + delay, body))

    def probe_send(self, queue: str) -> bool:
        """See `Queues.probe_send`."""
        with self._lock:
            return queue in self._messages

    def length(self, queue: str) -> int:
        """How many messages wait, visible or not; 0 if there is no such queue."""
        with self._lock:
            return len(self._messages.get(queue, []))

    def visible(self, queue: str) -> list[str]:
        """The bodies that a receiver could take now, oldest first."""
        with self._lock:
            return [body for due, body in self._messages.get(queue, []) if due <= self._clock.now()]

    def take(self, queue: str) -> str | None:
        """Remove and return the oldest visible body; None if there is none."""
        with self._lock:
            for index, (due, body) in enumerate(self._messages.get(queue, [])):
                if due <= self._clock.now():
                    del self._messages[queue][index]
                    return body
        return None
