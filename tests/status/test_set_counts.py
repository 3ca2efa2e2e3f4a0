"""The sets are counted once an hour, by what they are worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.status.model import NotSetUp
from shared.status.set_counts import count_sets, read_set_counts
from tests.support.signed_sets import catalogue_of, put_failed, put_sealed

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_they_are_counted_once_an_hour_and_not_known_when_that_is_long_ago() -> None:
    clock = ManualClock(NOW)
    backups, state = MemoryBlobs(clock), MemoryBlobs(clock)
    catalogue = catalogue_of(backups, state, clock)
    with pytest.raises(NotSetUp):
        read_set_counts(state, NOW)
    put_sealed(backups, NOW - HOUR)
    put_failed(backups, NOW - 2 * HOUR)
    assert count_sets(catalogue, state, NOW) == "1 failed, 1 sealed"
    put_sealed(backups, NOW - 3 * HOUR)
    assert "nothing to do" in count_sets(catalogue, state, NOW + HOUR / 2)
    assert read_set_counts(state, NOW) == {"sealed": 1, "open": 0, "failed": 1, "foreign": 0}
    count_sets(catalogue, state, NOW + HOUR)
    assert read_set_counts(state, NOW + HOUR)["sealed"] == 2
    with pytest.raises(NotSetUp):
        read_set_counts(state, NOW + 8 * HOUR)
    state.replace("status/backup_sets.json", b'{"at": 5}', etag=None)
    assert count_sets(catalogue, state, NOW + HOUR) == "1 failed, 2 sealed"
