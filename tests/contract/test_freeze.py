"""One suite for `Freezable`: the fake, and the adapter where MONGODB_URI names a real server to lock.

The embedded MongoDB has neither the lock nor its end, so there the adapter is only seen to say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.freeze import MemoryFreezable
from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_freezer
from shared.adapters.mongodb.freeze import parse_lock_count
from shared.kernel.errors import Refused
from shared.mongodb.freeze_port import Freezable
from shared.snapshots.freeze import Freezer

REAL = "MONGODB_URI"


@pytest.fixture(params=["memory", "mongodb"])
def server(request: pytest.FixtureRequest) -> Iterator[Freezable]:
    if request.param == "memory":
        yield MemoryFreezable()
        return
    if REAL not in os.environ:
        pytest.skip(f"{REAL} names no server: the embedded one has no fsync lock")
    real = connect_freezer(os.environ[REAL])
    yield real
    while real.unlock():
        pass
    real.close()


def test_what_is_locked_says_so_until_it_is_unlocked(server: Freezable) -> None:
    assert not server.is_locked()
    server.lock()
    assert server.is_locked()
    assert server.unlock()
    assert not server.is_locked()


def test_locks_are_counted_and_unlocking_what_is_not_locked_is_told(server: Freezable) -> None:
    server.lock()
    server.lock()
    assert server.unlock()
    assert server.is_locked()
    assert server.unlock()
    assert not server.unlock()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with MongoServer(tmp_path_factory.mktemp("mongodb")) as running:
        yield running


def test_a_server_without_the_lock_refuses_and_leaves_no_mark_behind(embedded: MongoServer) -> None:
    server = connect_freezer(embedded.uri)
    clock = ManualClock()
    blobs = MemoryBlobs(clock)
    freezer = Freezer(lambda: server, blobs, clock, timedelta(seconds=5))
    with pytest.raises(Refused, match="does not lock"), freezer.freeze():
        pytest.fail("it said that it is locked")
    assert freezer.unlock_stale() == ""
    assert not server.unlock()
    assert not server.is_locked()
    server.close()


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"lockCount": 1, "ok": 1}, 1),
        ({"lockCount": 2.0}, 2),
        ({"numFiles": 1, "ok": 1}, 0),
        ({"lockCount": "1"}, 0),
    ],
)
def test_only_a_count_is_a_lock(answer: dict[str, object], count: int) -> None:
    assert parse_lock_count(answer) == count
