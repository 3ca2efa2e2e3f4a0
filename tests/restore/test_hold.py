"""The schedule does not stop the machine under a restore."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.job import run_nightly
from shared.kernel.errors import Unavailable
from shared.mongodb.model import InsertResult
from shared.records.holds import Holds
from shared.restore.hold import HOLD_LASTS, RENEW_AFTER, RestoreHold
from shared.restore.job import RestoreDeps, restore_set
from tests.support.backup_world import World


class Watching(MemoryDatabase):
    """Notes which holds are in force while documents are written."""

    def __init__(self, holds: Holds, *, fails: bool = False) -> None:
        super().__init__("target:27017")
        self.holds, self.fails, self.seen = holds, fails, set[str]()

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        self.seen |= {hold.what for hold in self.holds.list_in_force()}
        if self.fails:
            raise Unavailable("inserting failed")
        return super().insert_documents(db, collection, documents)


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_a_restore_holds_while_it_writes_and_lets_go_however_it_ends(world: World, fails: bool) -> None:
    run_nightly(world.job())
    world.work(world.job())
    holds = Holds(world.state, world.clock)
    target = Watching(holds, fails=fails)
    deps = RestoreDeps(
        world.catalogue,
        target,
        world.identities,
        ListReporter(),
        world.clock,
        holds=holds,
    )
    if fails:
        with pytest.raises(Unavailable):
            restore_set(deps, "latest")
    else:
        assert restore_set(deps, "latest").proven
    assert target.seen == {f"restore of {world.sealed()[0].id}"}
    assert holds.list_in_force() == ()


def test_a_hold_is_renewed_while_there_is_progress() -> None:
    clock = ManualClock()
    holds = Holds(MemoryBlobs(clock), clock)
    hold = RestoreHold(holds, clock, "s", ListReporter())
    hold.phase("Restoring documents", 10)
    first = holds.list_in_force()[0].until
    assert first == clock.now() + HOLD_LASTS
    clock.advance(RENEW_AFTER - timedelta(seconds=1))
    hold.advance(1)
    assert holds.list_in_force()[0].until == first
    clock.advance(timedelta(seconds=1))
    hold.advance(1)
    assert holds.list_in_force()[0].until == clock.now() + HOLD_LASTS
    assert not holds.list_in_force()[0].needs_up
    hold.release()
    assert holds.list_in_force() == ()


def test_a_hold_that_cannot_be_written_is_said_once_and_stops_nothing() -> None:
    clock, reporter = ManualClock(), ListReporter()
    plan = FaultPlan(Fault(Unavailable("no storage"), operation="state.replace"))
    hold = RestoreHold(Holds(with_faults(MemoryBlobs(clock), plan, "state"), clock), clock, "s", reporter)
    for _ in range(3):
        hold.phase("Restoring documents", 1)
        hold.advance(1)
    hold.release()
    assert len(reporter.notes) == 1
    assert reporter.notes[0].startswith("no hold: the schedule may stop the machine")
