"""A dump reads as fast as policy allows, and rests when the server grows slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from shared.backup.pace import ReadPace, pace_batches
from shared.backup.read_budget import ReadBudget
from shared.formats.documents import TalliedBatch, Tally
from shared.kernel.errors import UsageError
from shared.policy import parse_policy

MB = 1 << 20
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def test_without_a_budget_a_steady_server_is_not_waited_for() -> None:
    pace = ReadPace(None)
    assert [pace.pause_after(16 * MB, seconds) for seconds in (0.2, 0.3, 0.9, 0.2)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(1.0, 0), (1.1, 1.1), (5.0, 5.0), (90.0, 30.0)],  # a second is slow, and half a minute long enough
)
def test_a_server_that_grew_slow_is_given_as_much_rest_as_work(seconds: float, pause: float) -> None:
    pace = ReadPace(None)
    pace.pause_after(16 * MB, 0.2)
    assert pace.pause_after(16 * MB, seconds) == pause


def test_a_server_that_was_always_slow_is_not_slower_than_usual() -> None:
    pace = ReadPace(None)
    assert [pace.pause_after(16 * MB, seconds) for seconds in (2.0, 7.9, 8.1)] == [0, 0, 8.1]


def test_small_replies_are_not_judged_and_judge_nothing() -> None:
    pace = ReadPace(None)
    assert pace.pause_after(1000, 3.0) == 0
    pace.pause_after(MB - 1, 0.00001)  # as fast as nothing else will be
    assert pace.pause_after(16 * MB, 1.5) == 0


class Server:
    """Batches that take their time on a clock of our own."""

    def __init__(self, *seconds: float) -> None:
        self.elapsed, self.waits = 0.0, list[float]()
        self._seconds = seconds

    def batches(self):
        for seconds in self._seconds:
            self.elapsed += seconds
            yield TalliedBatch(b"", Tally(1, 10 * MB, 0))

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.elapsed += seconds

    def now(self) -> datetime:
        """The same clock, for the budget."""
        return NOW + timedelta(seconds=self.elapsed)


def paced(server: Server, limit: int):
    pace = ReadPace(ReadBudget(MemoryBlobs(), server, limit))
    return pace_batches(server.batches(), pace, "db.c", wait=server.wait, measure=lambda: server.elapsed)


def test_the_wait_comes_before_the_next_read() -> None:
    server = Server(0.25, 0.25, 0.25)
    assert len(list(paced(server, 20 * MB))) == 3
    assert server.waits == pytest.approx([0.25, 0.25, 0.25])  # the third read finds that there is no more
    assert server.elapsed == pytest.approx(1.5)


def test_the_time_that_compressing_takes_counts_as_rest() -> None:
    server = Server(0.25, 0.25)
    reading = paced(server, 20 * MB)
    next(reading)
    server.elapsed += 0.15
    next(reading)
    assert server.waits == pytest.approx([0.1])


def test_a_budget_that_never_ends_is_refused() -> None:
    assert parse_policy("backup: {read_limit: 40 MiB}").backup.read_limit == 40 * MB
    with pytest.raises(UsageError, match="would not end by morning"):
        parse_policy("backup: {read_limit: 100 KiB}")


class Worker:
    """One of several on one server: its own clock, which goes on by what it waits and what replies take."""

    def __init__(self, blobs: MemoryBlobs, latency: Callable[[float], float]) -> None:
        self.elapsed, self.resting, self.read_at = 0.0, 0.0, list[float]()
        self._latency = latency
        pace = ReadPace(ReadBudget(blobs, self, 300 * MB))
        self.reading = pace_batches(
            self._batches(), pace, "db.c", wait=self._wait, measure=lambda: self.elapsed
        )

    def _batches(self) -> Iterator[TalliedBatch]:
        while True:
            self.elapsed += self._latency(self.elapsed)
            self.read_at.append(self.elapsed)
            yield TalliedBatch(b"", Tally(1, 16 * MB, 0))

    def _wait(self, seconds: float) -> None:
        self.elapsed += seconds
        self.resting += seconds

    def now(self) -> datetime:
        """The same clock, for the budget."""
        return NOW + timedelta(seconds=self.elapsed)

    def count(self, since: float, until: float) -> int:
        """Replies in that time."""
        return sum(since <= at < until for at in self.read_at)


def test_all_workers_make_room_while_the_server_is_slow_and_read_on_as_before_after_it() -> None:
    blobs = MemoryBlobs()

    def latency(at: float) -> float:
        return 2.0 if 20 <= at < 60 else 0.4  # people have come to work, and gone to lunch

    workers = [Worker(blobs, latency) for _ in range(3)]
    while (worker := min(workers, key=lambda worker: worker.elapsed)).elapsed < 80:
        next(worker.reading)
    # Of the budget, 300 MB/s, three workers with replies of 0.4 s would use 120: it is not what limits them.
    for worker in workers:
        assert worker.count(2, 20) == pytest.approx(18 / 0.4, abs=1)
        # Twenty replies would come in forty seconds: as much rest as work makes it half.
        assert worker.count(22, 60) == pytest.approx(38 / 4, abs=1)
        assert worker.count(64, 80) == pytest.approx(16 / 0.4, abs=1)
        assert worker.resting == pytest.approx(20, abs=3)
