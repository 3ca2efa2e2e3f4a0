"""Buffers that are written again once nobody looks at what they hold.

Memory of many megabytes that is made anew for each piece of a stream comes from the kernel page by page, each
page cleared first, and goes back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO


class ReusedBuffers:
    """Gives out buffers, each of which only after every view of its former content is gone.

    Whoever keeps a view keeps its buffer: nothing is overwritten under a reader, a further buffer is made.
    """

    def __init__(self) -> None:
        self._buffers: list[BytesIO] = []

    def take(self) -> BytesIO:
        """A buffer to be written from its beginning; behind what is written there is former content."""
        for buffer in self._buffers:
            buffer.seek(0)
            try:
                # Python itself refuses to write where a view exists, however little.
                # https://docs.python.org/3/library/io.html#io.BytesIO.getbuffer
                buffer.write(b"")
            except BufferError:
                continue
            return buffer
        buffer = BytesIO()
        self._buffers.append(buffer)
        return buffer


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
