"""Drills of a moment: in turn with those of a set, from the slices between the last two sets."""

from __future__ import annotations

import pytest

from shared.formats.proofs import FAILED, PROVEN
from shared.kernel.errors import NotFound
from shared.mongodb.model import Timestamp
from shared.pitr.moment import LAST_ORDINAL
from tests.support.capture_world import CaptureWorld
from tests.support.drill_world import DrillWorld


@pytest.fixture
def captures() -> CaptureWorld:
    """Two sets with captured writes between them."""
    made = CaptureWorld()
    made.world.seed(collections=1, documents=2)
    made.seal()
    made.capture()
    for value in range(6):
        made.database.write("rocketchat", "c0", {"_id": 1, "v": value})
        if value % 2:
            made.capture()
    made.seal()
    made.database.tick()
    made.capture()
    return made


@pytest.fixture
def drills(captures: CaptureWorld) -> DrillWorld:
    return DrillWorld(captures.world)


def test_set_and_moment_take_turns(drills, captures) -> None:
    first = drills.drill()
    assert (first.outcome, first.slices) == (PROVEN, 0)
    captures.pass_second()
    second = drills.drill(pick=lambda low, high: (low + high) // 2)
    assert second.outcome == PROVEN, second.problem
    assert second.slices > 0
    assert second.set < first.set, "from the older of the two"
    assert Timestamp.parse(second.until).ordinal == LAST_ORDINAL
    captures.pass_second()
    assert drills.drill().slices == 0


def test_the_random_moment_lies_between_the_two_sets(drills, captures) -> None:
    drills.drill()
    captures.pass_second()
    asked: list[tuple[int, int]] = []

    def pick(low: int, high: int) -> int:
        asked.append((low, high))
        return high

    assert drills.drill(pick=pick).outcome == PROVEN
    ends = sorted(
        Timestamp.parse(captures.world.manifest(info).oplog.end).seconds for info in captures.world.sealed()
    )
    assert asked == [(ends[0], ends[1] - 1)]


def test_a_moment_that_was_asked_for_is_restored_or_said_to_be_out_of_reach(drills, captures) -> None:
    end = captures.database.newest()
    assert drills.drill(Timestamp(end.seconds - 3, LAST_ORDINAL)).outcome == PROVEN
    with pytest.raises(NotFound):
        drills.drill(Timestamp(end.seconds, LAST_ORDINAL))


def test_behind_a_gap_the_set_itself_is_restored(drills, captures) -> None:
    drills.drill()
    for name in captures.names():
        captures.world.backups.delete(name)
    captures.pass_second()
    proof = drills.drill()
    assert (proof.outcome, proof.slices) == (PROVEN, 0)
    assert any("restoring the set itself" in note for note in drills.reporter.notes)


def test_a_damaged_slice_fails_the_drill_of_its_moment(drills, captures) -> None:
    drills.drill()
    for name in captures.names():
        data = bytearray(captures.world.backups.read(name)[0])
        data[-1] ^= 1
        captures.world.backups.replace(name, bytes(data), etag=None)
    captures.pass_second()
    proof = drills.drill()
    assert proof.outcome == FAILED
    assert "pitr/" in proof.problem


def test_the_data_loss_is_counted_from_the_newest_captured_entry(drills, captures) -> None:
    proof = drills.drill()
    newest = captures.slices.newest_moment()
    assert newest == captures.database.newest()
    assert proof.data_loss_seconds == proof.started.timestamp() - newest.seconds
