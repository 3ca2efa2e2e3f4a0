"""Buffers that are written again once nobody looks at what they hold.

Memory of many megabytes that is made anew for each piece of a stream comes from the kernel page by page, each
page cleared first, and goes back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_STEP_BYTES = 64 << 10


class ReusedBuffers:
    """Gives out buffers, each of which only after every view of its former content is gone.

    Whoever keeps a view keeps its buffer: nothing is overwritten under a reader, a further buffer is made.
    """

    def __init__(self) -> None:
        # Of `bytearray`: a view of an `io.BytesIO` that ends in a reference cycle has the collector close it
        # under its view, which from Python 3.12 on can end the process.
        self._buffers: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """A buffer of at least `size` bytes, which holds what it held before."""
        for place, buffer in enumerate(self._buffers):
            if _is_viewed(buffer):
                continue
            if len(buffer) < size:
                buffer = self._buffers[place] = _make_buffer(size)
            return buffer
        self._buffers.append(_make_buffer(size))
        return self._buffers[-1]


def _make_buffer(size: int) -> bytearray:
    # A little more: of replies that are nearly of one size each larger one would need another buffer.
    return bytearray(-(-max(size, 1) // _STEP_BYTES) * _STEP_BYTES)


def _is_viewed(buffer: bytearray) -> bool:
    """Whether there is a view of it, however little: then Python refuses to change its length.

    https://docs.python.org/3/library/stdtypes.html#memoryview.release
    """
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return True
    return False


class GrowingBuffer:
    """One piece of memory for what is received, replaced by a larger one when that does not fit."""

    def __init__(self) -> None:
        self.memory = bytearray()

    def reserve(self, size: int) -> memoryview:
        """The first `size` bytes, to be written to; what they held is lost."""
        if len(self.memory) < size:
            self.memory = bytearray(size)
        return memoryview(self.memory)[:size]


class StreamMemory:
    """What one stream is received into, and what it is handed on in."""

    def __init__(self) -> None:
        self.received, self.handed_on = GrowingBuffer(), ReusedBuffers()


class SpareMemory:
    """Keeps the memory of streams that have ended for those that begin. Safe for threads."""

    def __init__(self) -> None:
        self._spare: list[StreamMemory] = []

    @contextmanager
    def lend(self) -> Iterator[StreamMemory]:
        """Memory for one stream at a time; views that outlive it stay as they are."""
        try:
            memory = self._spare.pop()  # of two threads each gets another one, or finds none
        except IndexError:
            memory = StreamMemory()
        try:
            yield memory
        finally:
            self._spare.append(memory)
