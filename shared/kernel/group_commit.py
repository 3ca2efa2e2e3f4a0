"""Group commit: what many ask to have written at the same time is written in one go, and each waits for it.

One write to the queue takes milliseconds and most of a request's work; under load dozens of requests share
one, and nobody is told yes before it is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from shared.kernel.errors import Unavailable

Write = Callable[[Sequence[str]], None]

# GitHub gives up after ten:
# https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks
PUT_TIMEOUT = timedelta(seconds=8)


class GroupCommit:
    """Collects items while `writers` writes are under way; belongs to one event loop.

    `write` runs in a thread, with at most `most` items. Before each write others are waited for, for
    `linger`, since a write costs as much for one as for a hundred. Nobody is kept waiting for longer than
    `timeout`: a sender that hears nothing gives up, and does not know that it has to send again.
    """

    def __init__(
        self,
        write: Write,
        *,
        most: int = 100,
        writers: int = 1,
        linger: timedelta = timedelta(),
        timeout: timedelta = PUT_TIMEOUT,
    ) -> None:
        self._write, self._most, self._writers = write, most, writers
        self._linger_seconds = linger.total_seconds()
        self._timeout_seconds = timeout.total_seconds()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    async def put(self, item: str) -> None:
        """Return when the item is stored. Raises what the write raised, and `Unavailable` after `timeout`.

        Then it is not written any more, unless its write was under way: it may be stored all the same.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((item, stored))
        # The writer is started by who comes first and goes on until nobody waits: there is no task while
        # nothing comes.
        if self._busy < self._writers:
            self._busy += 1
            task = asyncio.create_task(self._write_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await stored
        except TimeoutError as error:
            raise Unavailable(
                "timed out waiting for storage", value=f"{self._timeout_seconds:g} s", hint="Send it again."
            ) from error

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if self._linger_seconds and len(self._waiting) < self._most:
                    await asyncio.sleep(self._linger_seconds)
                batch = self._take_batch()
                if not batch:
                    continue
                try:
                    await asyncio.to_thread(self._write, [item for item, _ in batch])
                except Exception as error:  # noqa: BLE001 - handed to those who wait
                    _resolve_futures(batch, error)
                else:
                    _resolve_futures(batch, None)
        finally:
            self._busy -= 1

    def _take_batch(self) -> list[tuple[str, asyncio.Future[None]]]:
        """Those that are next, without those whose sender was refused meanwhile.

        A command that was refused must not run minutes later, and what waits takes memory.
        """
        batch: list[tuple[str, asyncio.Future[None]]] = []
        while self._waiting and len(batch) < self._most:
            item, stored = self._waiting.popleft()
            if not stored.done():
                batch.append((item, stored))
        return batch


def _resolve_futures(batch: Sequence[tuple[str, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, stored in batch:
        if stored.done():  # whoever asked was refused meanwhile
            continue
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
