"""How long a restore is expected to take: beforehand by a drill or a named assumption, and meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.proofs import write_proof
from shared.formats.proofs import FAILED
from shared.kernel.errors import Unavailable
from shared.mongodb.model import InsertResult
from shared.restore.estimate import (
    ASSUMED_BYTES_PER_SECOND,
    RestoreSize,
    TimedRestore,
    TimingRecord,
    describe_progress,
    estimate_restore,
)
from shared.restore.job import RestoreDeps, RestoreResult, restore_set
from shared.restore.timing import EstimateReporter, read_timing
from tests.support.backup_world import SIGNER, World
from tests.support.drill_world import DrillWorld

SIZE = RestoreSize(
    namespaces=4, documents=1000, data_bytes=40_000_000, stored_bytes=8_000_000, oplog_bytes=5000
)
SECONDS = {
    "Verifying stored bytes": 1.0,
    "Creating collections": 2.0,
    "Restoring documents": 10.0,
    "Verifying documents": 5.0,
    "Replaying the oplog": 1.0,
    "Building indexes": 20.0,
    "Validating collections": 500.0,  # a drill's own step: no restore does it
}
TIMED = TimedRestore("daily/20261120T010000Z", datetime(2026, 11, 20, 2, tzinfo=UTC), SIZE, SECONDS)


def double(size: RestoreSize) -> RestoreSize:
    return RestoreSize(*(2 * getattr(size, name) for name in RestoreSize.__slots__))


def test_each_step_is_scaled_from_the_drill_and_the_basis_is_named() -> None:
    estimate = estimate_restore(double(SIZE), TimingRecord(TIMED), has_tail=False)
    assert estimate.steps == {
        name: timedelta(seconds=2 * seconds) for name, seconds in SECONDS.items() if "Validating" not in name
    }
    assert estimate.describe() == (
        "expected duration: about 1 min 18 s, at the pace of the drill of daily/20261120T010000Z"
        " on 2026-11-20 (40.0 MB of documents in 39 s; another server may differ)"
    )


def test_without_a_drill_the_assumption_is_named_and_the_rest_is_unknown() -> None:
    size = replace(SIZE, data_bytes=60 * ASSUMED_BYTES_PER_SECOND)
    estimate = estimate_restore(size, TimingRecord(reason="no proven drill is on record"), has_tail=False)
    assert estimate.known == timedelta(minutes=1)
    assert estimate.describe() == (
        "expected duration: at least about 1 min, if 10 MB of documents are restored a second, which is"
        " assumed: no proven drill is on record; unknown: verifying stored bytes, creating collections,"
        " replaying the oplog, building indexes"
    )


@pytest.mark.parametrize(
    ("timed", "step"),
    [
        (replace(TIMED, size=replace(SIZE, oplog_bytes=0)), "replaying the oplog"),
        (replace(TIMED, seconds={"Restoring documents": 1.0}), "building indexes"),
    ],
    ids=["nothing of it was there", "the drill did not time it"],
)
def test_a_step_that_no_drill_has_timed_stays_unknown(timed: TimedRestore, step: str) -> None:
    estimate = estimate_restore(SIZE, TimingRecord(timed), has_tail=False)
    assert step in estimate.describe().partition("unknown: ")[2]
    assert "at least about" in estimate.describe()


def test_captured_slices_are_replayed_for_an_unknown_time() -> None:
    estimate = estimate_restore(SIZE, TimingRecord(TIMED), has_tail=True)
    assert estimate.unknown == ("Verifying slices", "Replaying the oplog")
    assert "Replaying the oplog" not in estimate.steps


@given(st.integers(1, 10**6), st.floats(0.01, 10**6))
def test_an_estimate_grows_with_the_size_and_with_the_seconds(factor: int, seconds: float) -> None:
    record = TimingRecord(replace(TIMED, seconds={**SECONDS, "Building indexes": seconds}))
    once = estimate_restore(SIZE, record, has_tail=False).known
    larger = replace(SIZE, data_bytes=SIZE.data_bytes * factor)
    assert estimate_restore(larger, record, has_tail=False).known >= once


def test_meanwhile_the_step_goes_by_its_own_pace_and_the_later_ones_by_the_estimate() -> None:
    estimate = estimate_restore(SIZE, TimingRecord(TIMED), has_tail=False)
    ended = ["Verifying stored bytes", "Creating collections"]
    text = describe_progress("Restoring documents", 1, 4, timedelta(minutes=2), estimate, ended)
    assert text == "Restoring documents: 25% after 2 min, about 6 min left; the steps after it: about 26 s"
    assumed = estimate_restore(SIZE, TimingRecord(), has_tail=False)
    text = describe_progress("Verifying documents", 0, 4, timedelta(minutes=2), assumed, [*ended])
    assert "0% after 2 min, time left unknown; the steps after it: about 2 s, and replaying the oplog" in text
    assert text.endswith("building indexes, unknown")
    ended += ["Restoring documents", "Verifying documents", "Replaying the oplog"]
    text = describe_progress("Building indexes", 5, 4, timedelta(minutes=2), estimate, ended)
    assert text == "Building indexes: 100% after 2 min, about 1 s left"


def restore(world: World, timing: TimingRecord, target: MemoryDatabase) -> tuple[RestoreResult, list[str]]:
    reporter = ListReporter()
    deps = RestoreDeps(
        world.catalogue, target, world.identities, reporter, world.clock, timing=lambda: timing
    )
    return restore_set(deps, "latest"), reporter.notes


class SlowTarget(MemoryDatabase):
    """Each batch takes 40 seconds."""

    world: World

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        self.world.clock.advance(timedelta(seconds=40))
        return super().insert_documents(db, collection, documents)


def test_a_drill_on_record_makes_the_estimate_of_the_next_restore_and_each_step_of_it_is_known() -> None:
    drills = DrillWorld()
    drills.world.seed()
    drills.seal()
    drills.scratch = SlowTarget("scratch:27017")
    drills.scratch.world = drills.world
    drills.drill()
    timing = read_timing(drills.world.state, drills.world.catalogue)
    assert timing.timed is not None
    target = SlowTarget("target:27017")
    target.world = drills.world
    result, notes = restore(drills.world, timing, target)
    assert result.estimate.unknown == ()
    assert result.estimate.known >= timedelta(minutes=6)
    assert notes[0].startswith("to restore: 24 documents, 0.0 MB; expected duration: about 6 min, at")
    assert notes[2].startswith("Restoring documents: 25% after 1 min 20 s, about 4 min left; the steps")
    assert result.estimate.describe() in result.plan.reasons


@pytest.mark.parametrize("change", [{"slices": 3}, {"manifest_sha256": "0" * 64}, {"outcome": FAILED}])
def test_a_drill_that_replayed_slices_failed_or_was_of_another_manifest_times_nothing(
    change: dict[str, object],
) -> None:
    drills = DrillWorld()
    drills.world.seed()
    drills.seal()
    drills.drill()
    (proof,) = drills.records.proofs
    drills.world.state.delete(f"proofs/{proof.run}.{proof.set}.{proof.klass}.json")
    write_proof(drills.world.state, replace(proof, **change), SIGNER)
    assert read_timing(drills.world.state, drills.world.catalogue).timed is None


def test_a_drill_of_a_set_that_is_gone_or_another_by_now_times_nothing(world: World) -> None:
    assert read_timing(world.state, world.catalogue) == TimingRecord()
    drills = DrillWorld()
    drills.world.seed()
    drills.seal()
    drills.drill()
    for blob in list(drills.world.backups.list()):
        drills.world.backups.delete(blob.name)
    assert read_timing(drills.world.state, drills.world.catalogue).timed is None


def test_drills_that_cannot_be_read_keep_nobody_from_restoring(world: World) -> None:
    class Silent:
        def list(self, *_: object) -> None:
            raise Unavailable("cannot reach container groundcrew")

    record = read_timing(Silent(), world.catalogue)  # type: ignore[arg-type]
    assert record == TimingRecord(reason="the drills on record cannot be read")


def test_a_step_that_reports_nothing_is_told_all_the_same_and_renews_the_hold_on_the_machine() -> None:
    told, renewed = Event(), Event()

    class Waiting(ListReporter):
        def note(self, text: str) -> None:
            assert text.startswith("Building indexes: 0% after")
            told.set()

        def advance(self, amount: int) -> None:
            if amount == 0:
                renewed.set()

    estimate = estimate_restore(SIZE, TimingRecord(), has_tail=False)
    reporter = EstimateReporter(
        Waiting(), lambda: datetime.now(UTC), estimate, every=timedelta(milliseconds=1)
    )
    with reporter:
        reporter.phase("Building indexes", 4)
        assert told.wait(60)
        assert renewed.wait(60)
