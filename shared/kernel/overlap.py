"""Two stages of a pipeline at once: the one before, or the one after, runs in a thread of its own.

It pays where the stages spend their time outside of the interpreter: waiting for a server, compressing,
encrypting, hashing. What is between two stages is bounded, and what fails in one is raised in the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

_END = object()


def read_ahead(source: Iterator[T]) -> Iterator[T]:
    """The items of `source`, the next of which is read while the reader is busy with the last.

    What `source` raises is raised in its place. However the reading ends, `source` has ended or is closed
    then: an item that is being waited for is waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        try:
            following: Future[T | object] = pool.submit(next, source, _END)
            while (item := following.result()) is not _END:
                following = pool.submit(next, source, _END)
                yield item  # type: ignore[misc]
        finally:
            # In the same thread, since a generator that runs cannot be closed from another.
            pool.submit(_close, source).result()


def _close(source: Iterator[T]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


class WriteBehind(Generic[T]):
    """Calls `write` in a thread of its own, in order, with at most `waiting` pieces that are not written yet.

    A failure is raised by the next call and by each after it; the pieces behind it are not written.
    """

    def __init__(self, write: Callable[[T], object], waiting: int) -> None:
        self._write, self._most = write, waiting
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._waiting: deque[Future[None]] = deque()
        self._failure: BaseException | None = None

    def write(self, data: T) -> None:
        """Hand over; waits while too much is waiting already."""
        while len(self._waiting) >= self._most:
            self._await_oldest()
        self._raise_failure()
        self._waiting.append(self._pool.submit(self._write_piece, data))

    def finish(self) -> None:
        """Wait until all is written."""
        while self._waiting:
            self._await_oldest()
        self._raise_failure()
        self._pool.shutdown()

    def abort(self) -> None:
        """Forget what is not written yet; returns when nothing is being written any more."""
        self._pool.shutdown(cancel_futures=True)
        self._waiting.clear()

    def _write_piece(self, data: T) -> None:
        if self._failure is not None:
            return  # a stream with a hole is worth less than one that ends
        try:
            self._write(data)
        except BaseException as error:
            self._failure = error
            raise

    def _await_oldest(self) -> None:
        self._waiting.popleft().result()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
