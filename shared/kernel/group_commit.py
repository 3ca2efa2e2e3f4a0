"""Group commit: what many ask to have written at the same time is written in one go, and each waits for it.

One write to the queue takes milliseconds and most of a request's work; under load dozens of requests share
one, and nobody is told yes before it is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

Write = Callable[[Sequence[str]], None]


class GroupCommit:
    """Collects items while `writers` writes are under way; belongs to one event loop.

    `write` runs in a thread, with at most `most` items. Before each write others are waited for, for
    `linger`, since a write costs as much for one as for a hundred.
    """

    def __init__(
        self, write: Write, *, most: int = 100, writers: int = 1, linger: timedelta = timedelta()
    ) -> None:
        self._write, self._most, self._writers = write, most, writers
        self._linger_seconds = linger.total_seconds()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    async def put(self, item: str) -> None:
        """Return when the item is stored. Raises what the write raised."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((item, stored))
        # The writer is started by who comes first and goes on until nobody waits: there is no task while
        # nothing comes.
        if self._busy < self._writers:
            self._busy += 1
            task = asyncio.create_task(self._write_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await stored

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if self._linger_seconds and len(self._waiting) < self._most:
                    await asyncio.sleep(self._linger_seconds)
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                try:
                    await asyncio.to_thread(self._write, [item for item, _ in batch])
                except Exception as error:  # noqa: BLE001 - handed to those who wait
                    _resolve_futures(batch, error)
                else:
                    _resolve_futures(batch, None)
        finally:
            self._busy -= 1


def _resolve_futures(batch: Sequence[tuple[str, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, stored in batch:
        if stored.done():  # whoever asked has hung up
            continue
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
