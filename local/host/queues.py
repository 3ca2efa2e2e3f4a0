"""Queue triggers: receive, keep invisible while the function runs, then delete, retry or set aside.

Follows the QueueListener and QueueProcessor of the Queues extension
(https://github.com/Azure/azure-sdk-for-net/tree/main/sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues)
and https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#host-json.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from azure.core.exceptions import AzureError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage

from local.host.config import QueueOptions
from local.host.queue_client import HostQueue
from local.host.queue_messages import decode_body, trigger_input
from local.host.tasks import first_of

log = logging.getLogger("host")

Run = Callable[[Datum, dict[str, Datum]], Awaitable[bool]]

_SHORTEST_POLL_SECONDS = 0.1


class Backoff:
    """How long to wait before looking into an empty queue again: 100 ms, about doubled, to a maximum."""

    def __init__(
        self, longest: timedelta, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)
    ) -> None:
        self._longest = longest.total_seconds()
        self._jitter = jitter
        self._exponent = 0

    def reset(self) -> None:
        """A message was found."""
        self._exponent = 0

    def next_seconds(self) -> float:
        """The next pause."""
        pause = _SHORTEST_POLL_SECONDS
        # The formula of the extension's RandomizedExponentialBackoffStrategy.
        if self._exponent > 0:
            pause += self._jitter() * _SHORTEST_POLL_SECONDS * 2 ** (self._exponent - 1)
        if pause >= self._longest:
            return self._longest
        self._exponent += 1
        return pause


@dataclass(slots=True)
class _Work:
    """A message in work; the receipt changes whenever its invisibility is renewed."""

    message: QueueMessage
    receipt: str
    settled: bool = False


class QueueListener:
    """Serves one queue for one function. `invisibility` is how long a message stays hidden once received
    (10 minutes on the platform), renewed at half time: after a crash it comes back when that is over."""

    def __init__(self, queue: HostQueue, options: QueueOptions, run: Run, *, invisibility: timedelta) -> None:
        self._queue, self._options, self._run_function = queue, options, run
        self._invisible_seconds = max(1, int(invisibility.total_seconds()))
        self._backoff = Backoff(options.max_polling_interval)
        self._tasks: set[asyncio.Task[None]] = set()
        self._working: list[_Work] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set, then wait for the messages in work."""
        while not stop.is_set():
            messages = await self._receive()
            if stop.is_set():
                # Received and not begun: back at once, instead of hidden for ten minutes.
                await asyncio.gather(*(self._release(_parse_work(message), 0) for message in messages))
                break
            for message in messages:
                self._start(message)
            if messages:
                self._backoff.reset()
                await self._below_threshold(stop)
            else:
                await first_of(asyncio.sleep(self._backoff.next_seconds()), stop.wait())
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """Make the messages visible whose functions will not end in time."""
        await asyncio.gather(*(self._release(work, 0) for work in self._working if not work.settled))

    async def _receive(self) -> list[QueueMessage]:
        try:
            # Up to a batch, and the next one before all are done: messages of one queue run beside each
            # other.
            return await self._queue.receive(self._options.batch_size, self._invisible_seconds)
        except AzureError as error:
            log.warning("queue_unavailable", extra={"queue": self._queue.name, "error": _first_line(error)})
            # The next poll tries again; a storage that is away for a minute stops nothing for good.
            return []

    def _start(self, message: QueueMessage) -> None:
        task = asyncio.create_task(self._process(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _below_threshold(self, stop: asyncio.Event) -> None:
        while len(self._tasks) > self._options.new_batch_threshold and not stop.is_set():
            await first_of(_any_done(self._tasks), stop.wait())

    async def _process(self, message: QueueMessage) -> None:
        work = _parse_work(message)
        self._working.append(work)
        try:
            await self._execute(work)
        except AzureError as error:
            # It becomes visible again by itself and is tried again.
            log.warning(
                "message_not_settled",
                extra={"queue": self._queue.name, "message_id": message.id, "error": _first_line(error)},
            )
        finally:
            work.settled = True
            self._working.remove(work)

    async def _execute(self, work: _Work) -> None:
        tries = work.message.dequeue_count or 1
        if tries > self._options.max_dequeue_count:  # those before never came to an end
            await self._set_aside(work)
            return
        try:
            body = decode_body(work.message.content or "", base64_encoded=self._options.base64)
        except ValueError as error:
            log.warning("message_undecodable", extra={"queue": self._queue.name, "error": str(error)})
            await self._set_aside(work)
            return
        # Only what succeeded is deleted. Killed here, it runs again: every handler has to bear that.
        if await self._run_renewing(work, body):
            await self._queue.delete(work.message.id, work.receipt)
        elif tries >= self._options.max_dequeue_count:
            await self._set_aside(work)
        else:
            # Zero by default: a message that fails is tried again at once, five times within seconds.
            await self._release(work, self._options.visibility_timeout.total_seconds())

    async def _run_renewing(self, work: _Work, body: bytes) -> bool:
        # The event, not a cancellation, ends the renewal: one cut off halfway would leave an unknown receipt.
        ended = asyncio.Event()
        renewing = asyncio.create_task(self._renew(work, ended))
        try:
            return await self._run_function(*trigger_input(work.message, body))
        finally:
            ended.set()
            await renewing

    async def _renew(self, work: _Work, ended: asyncio.Event) -> None:
        pause = self._invisible_seconds / 2
        while True:
            await first_of(asyncio.sleep(pause), ended.wait())
            if ended.is_set():
                return
            try:
                work.receipt = await self._queue.hide(work.message.id, work.receipt, self._invisible_seconds)
                pause = self._invisible_seconds / 2
            except AzureError as error:
                log.warning(
                    "message_not_renewed", extra={"queue": self._queue.name, "error": _first_line(error)}
                )
                # Sooner: at half time there are a few more tries before it becomes visible to others.
                pause = self._invisible_seconds / 8

    async def _set_aside(self, work: _Work) -> None:
        if self._queue.poison_name is None:  # a poison queue has none of its own
            return
        # First in, then out: a crash in between doubles the message rather than losing it.
        await self._queue.send_to_poison(work.message.content or "")
        await self._queue.delete(work.message.id, work.receipt)
        log.error("message_poisoned", extra={"queue": self._queue.name, "message_id": work.message.id})

    async def _release(self, work: _Work, seconds: float) -> None:
        try:
            work.receipt = await self._queue.hide(work.message.id, work.receipt, int(seconds))
        except AzureError as error:
            log.warning(
                "message_not_released", extra={"queue": self._queue.name, "error": _first_line(error)}
            )


def _parse_work(message: QueueMessage) -> _Work:
    return _Work(message, message.pop_receipt or "")


async def _any_done(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(list(tasks), return_when=asyncio.FIRST_COMPLETED)


def _first_line(error: AzureError) -> str:
    return str(error).splitlines()[0]
