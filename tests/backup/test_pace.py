"""A dump reads as fast as policy allows, and rests when the server grows slow."""

from __future__ import annotations

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
