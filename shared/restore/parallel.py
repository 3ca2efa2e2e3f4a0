"""Several things at once, until the first one fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import BoundedSemaphore, Event
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


def run_parallel(act: Callable[[T], None], items: Sequence[T], jobs: int, stop: Event) -> None:
    """Run `act` for each item, `jobs` at a time. Raises the first error, and sets `stop` for the others."""
    # Without a pool: a failure then has the plain traceback, and Ctrl-C ends it at once.
    if jobs <= 1 or len(items) < 2:
        for item in items:
            act(item)
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(act, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:  # Ctrl-C too: the pool waits for what has begun
            stop.set()
            for future in futures:
                future.cancel()
            raise


class BatchWorkers(Generic[T]):
    """`jobs` workers that several readers share, so that one long part is written over several connections.

    Memory holds one item for each worker, and one for each reader that waits until a worker is free.
    """

    def __init__(self, act: Callable[[T], None], jobs: int, stop: Event) -> None:
        self._act, self._stop = act, stop
        self._free = BoundedSemaphore(max(jobs, 1))
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="batch") if jobs > 1 else None

    def __enter__(self) -> BatchWorkers[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What has begun is waited for: nobody may write any more once the restore says where it stands."""
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, item: T, pending: deque[Future[None]]) -> None:
        """Act on the item, now or when a worker is free. Raises what one before it raised.

        `pending` belongs to one reader, which ends with `finish`.
        """
        if self._pool is None:
            self._act(item)
            return
        # Here and not in the worker: a reader that is ahead would fill the memory with batches that wait.
        self._free.acquire()
        pending.append(self._pool.submit(self._act_freeing, item))
        # A failure is raised by the reader's next batch, not only at the end of an hour of reading.
        while pending and pending[0].done():
            pending.popleft().result()

    def finish(self, pending: deque[Future[None]]) -> None:
        """Wait for all that one reader has handed over. Raises the first failure."""
        while pending:
            pending.popleft().result()

    def _act_freeing(self, item: T) -> None:
        try:
            self._act(item)
        except BaseException:
            self._stop.set()
            raise
        finally:
            self._free.release()
