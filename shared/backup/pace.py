"""How fast a dump reads, so that the chat stays usable beside it.

A dump reads every document once, as fast as it can: it fills the disk's throughput, which the VM's size
limits, and pushes what people use out of MongoDB's cache. Policy may set a budget; and when the server's
replies take much longer than they did, it is given as much rest as it was given work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from shared.formats.documents import TalliedBatch

log = logging.getLogger(__name__)

# A reply of 16 MiB takes a fifth of a second from a disk of 80 MB/s. Above one second and four times what the
# same number of bytes took before, something else wants the server.
_SLOW_SECONDS, _SLOW_FACTOR = 1.0, 4.0
_JUDGED_BYTES = 1 << 20  # a small reply's time is that of the way there and back
_LONGEST_PAUSE = 30.0  # seconds; a cursor is closed after half an hour without its session being used


class ReadPace:
    """Says after each reply how long to wait before the next one is asked for."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._limit = bytes_per_second
        self._fastest = float("inf")  # seconds a byte

    def pause_after(self, size: int, seconds: float) -> float:
        """Seconds to wait, counted from the end of a reply of `size` bytes that took `seconds`."""
        pause = size / self._limit - seconds if self._limit else 0.0
        if size >= _JUDGED_BYTES:
            each = seconds / size
            if seconds > _SLOW_SECONDS and each > _SLOW_FACTOR * self._fastest:
                pause = max(pause, seconds)
            self._fastest = min(self._fastest, each)
        return min(max(pause, 0.0), _LONGEST_PAUSE)


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
