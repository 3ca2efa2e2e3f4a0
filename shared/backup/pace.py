"""How fast a dump reads, so that the chat stays usable beside it.

A dump reads every document once, as fast as it can: it fills the disk's throughput, which the VM's size
limits, and pushes what people use out of MongoDB's cache. Policy may set a budget, which all workers share;
and when the server's replies take much longer than they did, each worker gives it as much rest as work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from shared.backup.read_budget import ReadBudget
from shared.formats.documents import TalliedBatch

log = logging.getLogger(__name__)

# A reply of 16 MiB takes a fifth of a second from a disk of 80 MB/s. Above one second and four times what the
# same number of bytes took before, something else wants the server.
_SLOW_SECONDS, _SLOW_FACTOR = 1.0, 4.0
_JUDGED_BYTES = 1 << 20  # a small reply's time is that of the way there and back
_LONGEST_REST = 30.0  # seconds; what is slow for longer does not become faster by waiting


class ReadPace:
    """Says after each reply how long to wait before the next one is asked for."""

    def __init__(self, budget: ReadBudget | None) -> None:
        self._budget = budget  # None for as fast as it goes
        self._fastest = float("inf")  # seconds a byte

    def pause_after(self, size: int, seconds: float) -> float:
        """Seconds to wait, counted from the end of a reply of `size` bytes that took `seconds`."""
        # No wait is longer than five minutes: a cursor is closed after half an hour without its session.
        pause = self._budget.book(size, seconds) if self._budget else 0.0
        if size < _JUDGED_BYTES:
            return pause
        each = seconds / size
        is_slow = seconds > _SLOW_SECONDS and each > _SLOW_FACTOR * self._fastest
        self._fastest = min(self._fastest, each)
        return max(pause, min(seconds, _LONGEST_REST)) if is_slow else pause


def pace_batches(
    batches: Iterator[TalliedBatch],
    pace: ReadPace,
    name: str,
    *,
    wait: Callable[[float], object] = time.sleep,
    measure: Callable[[], float] = time.monotonic,
) -> Iterator[TalliedBatch]:
    """The batches of the collection `name`, not faster than `pace` allows; what takes them may be slower."""
    waited, due = 0.0, float("-inf")
    while True:
        if (rest := due - measure()) > 0:
            wait(rest)
            waited += rest
        began = measure()
        batch = next(batches, None)
        if batch is None:
            break
        ended = measure()
        due = ended + pace.pause_after(batch.tally.data_bytes, ended - began)
        yield batch
    if waited >= 1:
        log.info("backup.reads_paced", extra={"namespace": name, "seconds": round(waited)})
