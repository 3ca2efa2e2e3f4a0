"""All workers of a backup share one budget of reads, however many there are and whatever becomes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, with_faults
from shared.backup.read_budget import BLOB, LONGEST_WAIT, ReadBudget, book_read
from shared.kernel.errors import Conflict, Unavailable

MB = 1 << 20
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
LIMIT = 40 * MB


def seconds_after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Workers:
    """So many workers, each with a budget object of its own on the same blob, on one simulated clock."""

    def __init__(self, count: int, limit: int = LIMIT) -> None:
        self.clock, self.blobs = ManualClock(NOW), MemoryBlobs()
        self.budgets = [ReadBudget(self.blobs, self.clock, limit) for _ in range(count)]
        self.ready = [NOW] * count
        self.bytes = [0] * count

    def read(self, worker: int, size: int, seconds: float) -> None:
        """The worker reads a reply as soon as it may, and is told when it may read the next."""
        # Those that are ready earlier have read before: the simulated clock only goes on.
        self.clock.set(max(self.clock.now(), self.ready[worker] + timedelta(seconds=seconds)))
        pause = self.budgets[worker].book(size, seconds)
        self.bytes[worker] += size
        self.ready[worker] = self.clock.now() + timedelta(seconds=pause)

    def next(self) -> int:
        return min(range(len(self.ready)), key=lambda worker: self.ready[worker])

    @property
    def elapsed(self) -> float:
        return (max(self.ready) - NOW).total_seconds()


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(1, 16 * MB), st.floats(0, 0.9)), min_size=1, max_size=40),
    st.integers(8 * MB, 200 * MB),
)
def test_together_workers_read_no_more_than_the_budget_allows(
    count: int, replies: list[tuple[int, float]], limit: int
) -> None:
    workers = Workers(count, limit)
    for size, seconds in replies:
        workers.read(workers.next(), size, seconds)
    # What is not booked yet is less than a quarter of a second for each of them.
    assert sum(workers.bytes) <= limit * (workers.elapsed + 0.25 * count) * 1.000001 + 1


def test_what_one_worker_does_not_use_another_may() -> None:
    workers = Workers(2)
    for _ in range(20):
        workers.read(0, 10 * MB, 0.01)  # the other one is busy with something else
    assert workers.elapsed == pytest.approx(20 * 10 / 40, abs=0.1)


def test_two_workers_take_turns_at_half_of_the_budget_each() -> None:
    workers = Workers(2)
    for _ in range(40):
        workers.read(workers.next(), 10 * MB, 0.01)
    assert workers.bytes[0] == workers.bytes[1]
    assert workers.elapsed == pytest.approx(40 * 10 / 40, abs=0.5)


def test_a_worker_that_died_is_not_waited_for() -> None:
    workers = Workers(2)
    workers.read(1, 10 * MB, 0.1)
    workers.ready[1] = seconds_after(10_000)  # it never reads again
    for _ in range(10):
        workers.read(0, 10 * MB, 0.1)
    assert (workers.ready[0] - NOW).total_seconds() == pytest.approx(11 * 10 / 40, abs=0.2)


@pytest.mark.parametrize(
    ("booked", "until"),
    [
        pytest.param(None, 1.0, id="nothing booked: from when the read began"),
        pytest.param(-5.0, 1.0, id="booked in the past: nothing is saved up"),
        pytest.param(3.0, 4.0, id="booked by others: after them"),
        pytest.param(299.9, 300.0, id="never further than the longest wait"),
        pytest.param(330.0, 300.0, id="a clock that is a little ahead counts"),
        pytest.param(330.1, 1.0, id="a clock that is wrong counts for nothing"),
        pytest.param(10**9, 1.0, id="nor does a stranger's year"),
    ],
)
def test_a_read_is_booked_after_what_was_booked(booked: float | None, until: float) -> None:
    before = None if booked is None else seconds_after(booked)
    assert book_read(before, NOW, NOW, 1.0) == seconds_after(until)


def test_the_time_that_a_read_took_counts() -> None:
    assert book_read(None, seconds_after(-0.4), NOW, 1.0) == seconds_after(0.6)


def test_replies_of_a_few_bytes_are_booked_together() -> None:
    blobs, clock = MemoryBlobs(), ManualClock(NOW)
    plan = FaultPlan()
    budget = ReadBudget(with_faults(blobs, plan, "state"), clock, LIMIT)
    pauses = [budget.book(MB, 0.0) for _ in range(10)]
    assert pauses == pytest.approx([0.0] * 9 + [0.25])
    assert plan.count("state.create") + plan.count("state.replace") == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[" * 100_000, b'{"until": 5}', b'{"until": "0001-01-01T00:00:00+23:59"}', b"{}"],
    ids=["empty", "a list", "deep", "a number", "out of range", "without it"],
)
def test_whatever_lies_there_is_written_over(content: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.create(BLOB, content)
    assert ReadBudget(blobs, ManualClock(NOW), LIMIT).book(LIMIT, 0.0) == pytest.approx(1.0)
    assert json.loads(blobs.read(BLOB)[0])["until"] == seconds_after(1.0).isoformat()


def test_two_that_book_at_once_are_both_booked() -> None:
    blobs, clock = MemoryBlobs(), ManualClock(NOW)
    other = ReadBudget(blobs, clock, LIMIT)

    class Between(MemoryBlobs):
        """The other one books between our read and our write, once."""

        raced = False

        def read(self, name: str) -> tuple[bytes, str]:
            try:
                return blobs.read(name)
            finally:
                if not self.raced:
                    self.raced = True
                    other.book(LIMIT, 0.0)

        create, replace = blobs.create, blobs.replace

    assert ReadBudget(Between(), clock, LIMIT).book(LIMIT, 0.0) == pytest.approx(2.0)


@pytest.mark.parametrize("error", [Unavailable("away"), Conflict("changed")], ids=["away", "always changed"])
def test_without_the_blob_a_worker_goes_by_what_it_read_itself(error: Exception, caplog) -> None:
    clock = ManualClock(NOW)
    plan = FaultPlan(Fault(error, operation="state.create", times=10**6))
    budget = ReadBudget(with_faults(MemoryBlobs(), plan, "state"), clock, LIMIT)
    assert budget.book(LIMIT, 0.25) == pytest.approx(0.75)
    assert budget.book(LIMIT, 0.0) == pytest.approx(1.75)
    assert [r.getMessage() for r in caplog.records] == ["backup.read_budget_unavailable"]


def test_no_wait_is_longer_than_five_minutes() -> None:
    budget = ReadBudget(MemoryBlobs(), ManualClock(NOW), MB)
    assert budget.book(1000 * MB, 0.0) == LONGEST_WAIT.total_seconds()
