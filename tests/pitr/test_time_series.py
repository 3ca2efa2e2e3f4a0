"""Time series in captured slices: born there, and grown by bytes behind an offset, as servers from 8.0 do."""

from __future__ import annotations

import bson
import pytest

from shared.mongodb.model import Timestamp
from tests.support.capture_world import CaptureWorld

BUCKETS = "system.buckets.weather"
Contents = dict[str, set[bytes]]


@pytest.fixture
def captures() -> CaptureWorld:
    made = CaptureWorld()
    made.database.write("rocketchat", "rocketchat_message", {"_id": 0})
    made.seal()
    made.capture()
    return made


def append(captures: CaptureWorld, offset: int, data: bytes) -> None:
    """A measurement, as src/mongo/db/timeseries/timeseries_write_util.cpp writes it into a column."""
    change = {"$v": 2, "diff": {"sdata": {"b": {"at": {"o": offset, "d": data}}}}}
    captures.database.update("rocketchat", BUCKETS, 1, change)


def grow(captures: CaptureWorld) -> dict[Timestamp, Contents]:
    """A series from its birth on, each step in a slice of its own; the true state after each."""
    database, states = captures.database, dict[Timestamp, Contents]()

    def remember() -> None:
        states[database.newest()] = database.contents()
        captures.capture()

    options = {"timeseries": {"timeField": "at", "metaField": "of"}, "clusteredIndex": True}
    database.log_command("rocketchat", {"create": BUCKETS, **options})
    captures.capture()
    # The face of it, a view over the buckets.
    view = {"_id": "rocketchat.weather", "viewOn": BUCKETS, "pipeline": []}
    database.write("rocketchat", "system.views", view)
    captures.capture()
    database.write("rocketchat", BUCKETS, {"_id": 1, "control": {}, "data": {"at": b"\nab"}})
    remember()
    append(captures, 1, b"xyz")
    remember()
    append(captures, 4, b"0123456789")
    remember()
    return states


def test_a_series_that_is_born_and_grows_in_slices_is_restored_at_each_moment(captures: CaptureWorld) -> None:
    columns = []
    for moment, state in grow(captures).items():
        result, target = captures.restore(moment)
        assert result.proven, result.problems
        assert target.contents() == state
        columns += [bson.decode(one)["data"]["at"] for one in target.contents()[f"rocketchat.{BUCKETS}"]]
    assert columns == [b"\nab", b"\nxyz", b"\nxyz0123456789"]


def test_nothing_of_a_series_breaks_the_chain_or_begins_a_backup(captures: CaptureWorld) -> None:
    last = max(grow(captures))
    assert captures.begun == []
    assert not captures.state.gap
    (_, *slices) = captures.slices.plan(last).slices
    assert len(slices) >= 4  # each step in one of its own, and all of them are replayed


def test_a_series_that_is_dropped_later_is_there_before_and_gone_after(captures: CaptureWorld) -> None:
    last = max(grow(captures))
    captures.database.drop("rocketchat", BUCKETS)
    dropped = captures.database.newest()
    captures.capture()
    assert f"rocketchat.{BUCKETS}" in captures.restore(last)[1].contents()
    assert f"rocketchat.{BUCKETS}" not in captures.restore(dropped)[1].contents()
