"""Two stages at once: the order stays, failures cross over, and nothing runs on when the reading ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.overlap import WriteBehind, read_ahead

SECONDS = 60


class Source:
    """Gives numbers, and shows how far it was read, where, and whether it was closed."""

    def __init__(self, numbers: int, failure: BaseException | None = None) -> None:
        self.read: list[int] = []
        self.threads: set[int] = set()
        self.closed = False
        self.second = threading.Event()
        self._numbers, self._failure = numbers, failure

    def items(self) -> Iterator[int]:
        try:
            for number in range(self._numbers):
                self.threads.add(threading.get_ident())
                self.read.append(number)
                if number == 1:
                    self.second.set()
                yield number
            if self._failure is not None:
                raise self._failure
        finally:
            self.closed = True


@given(st.integers(0, 20))
def test_all_items_come_in_their_order(numbers: int) -> None:
    source = Source(numbers)
    assert list(read_ahead(source.items())) == list(range(numbers))
    assert source.closed


def test_the_next_item_is_read_while_the_reader_is_busy_with_one() -> None:
    source = Source(9)
    reading = read_ahead(source.items())
    assert next(reading) == 0
    assert source.second.wait(SECONDS)  # without asking for it
    assert source.read == [0, 1]  # and no further
    reading.close()  # type: ignore[attr-defined]
    assert source.closed
    assert threading.get_ident() not in source.threads


@pytest.mark.parametrize("failure", [ValueError("lost"), SystemExit(1), MemoryError()])
def test_what_the_source_raises_comes_after_the_items_before_it(failure: BaseException) -> None:
    source = Source(2, failure)
    reading = read_ahead(source.items())
    assert [next(reading), next(reading)] == [0, 1]
    with pytest.raises(type(failure)) as caught:
        next(reading)
    assert caught.value is failure
    assert source.closed


def test_what_the_reader_raises_closes_the_source() -> None:
    source = Source(9)
    with pytest.raises(KeyError):
        for _ in read_ahead(source.items()):
            raise KeyError
    assert source.closed


def test_iterators_that_cannot_be_closed_are_read_too() -> None:
    assert list(read_ahead(iter([1, 2, 3]))) == [1, 2, 3]


@given(st.lists(st.binary(max_size=5), max_size=20), st.integers(1, 4))
def test_all_pieces_are_written_in_their_order(pieces: list[bytes], waiting: int) -> None:
    written: list[bytes] = []
    behind = WriteBehind(written.append, waiting)
    for piece in pieces:
        behind.write(piece)
    behind.finish()
    assert written == pieces


def test_no_more_than_so_many_pieces_wait() -> None:
    proceed, written = threading.Semaphore(0), []

    def write(piece: bytes) -> None:
        assert proceed.acquire(timeout=SECONDS)
        written.append(piece)

    behind = WriteBehind(write, 2)
    behind.write(b"1")
    behind.write(b"2")
    third = threading.Thread(target=behind.write, args=(b"3",))
    third.start()
    assert third.is_alive()  # it waits for the first, which waits for us
    proceed.release()
    third.join(SECONDS)
    assert not third.is_alive()
    proceed.release(2)
    behind.finish()
    assert written == [b"1", b"2", b"3"]


def test_after_a_failure_nothing_is_written_and_each_call_says_so() -> None:
    written: list[bytes] = []

    def write(piece: bytes) -> None:
        if piece == b"bad":
            raise ValueError("the disk is full")
        written.append(piece)

    behind = WriteBehind(write, 8)
    for piece in (b"1", b"bad"):
        behind.write(piece)
    with pytest.raises(ValueError, match="full"):
        behind.finish()
    with pytest.raises(ValueError, match="full"):
        behind.write(b"2")
    with pytest.raises(ValueError, match="full"):
        behind.finish()
    behind.abort()
    assert written == [b"1"]


def test_after_giving_up_nothing_is_being_written() -> None:
    began, proceed, written = threading.Event(), threading.Event(), []

    def write(piece: bytes) -> None:
        began.set()
        assert proceed.wait(SECONDS)
        written.append(piece)

    behind = WriteBehind(write, 8)
    behind.write(b"1")
    behind.write(b"2")
    assert began.wait(SECONDS)
    giving_up = threading.Thread(target=behind.abort)
    giving_up.start()
    proceed.set()
    giving_up.join(SECONDS)
    assert not giving_up.is_alive()
    assert written[:1] == [b"1"]
    count = len(written)
    with pytest.raises(RuntimeError):
        behind.write(b"3")
    assert len(written) == count
