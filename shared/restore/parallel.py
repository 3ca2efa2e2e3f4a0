"""Several things at once, until the first one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

T = TypeVar("T")


def run_parallel(act: Callable[[T], None], items: Sequence[T], jobs: int, stop: Event) -> None:
    """Run `act` for each item, `jobs` at a time. Raises the first error, and sets `stop` for the others."""
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
