"""Each part is read from what its feature's job really wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Corrupt
from shared.policy import BackupPolicy, DeployPolicy, PowerPolicy, SnapshotPolicy, parse_policy
from shared.power.last_tick import run_recorded_tick
from shared.snapshots import job as snapshots
from shared.status import readers
from shared.status.model import KeyDrillFacts, NotSetUp
from shared.status.view import list_rows
from tests.support.power_world import World as PowerWorld
from tests.support.power_world import berlin
from tests.support.signed_sets import catalogue_of, put_failed, put_sealed
from tests.support.snapshot_world import World as SnapshotWorld
from tests.support.status_world import NOW as YEAR_END
from tests.support.status_world import StatusWorld

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def test_the_newest_good_set_and_the_newest_failure_are_told(clock) -> None:
    backups, state = MemoryBlobs(clock), MemoryBlobs(clock)
    for days in (9, 5, 1):
        put_sealed(backups, NOW - days * DAY)
    put_failed(backups, NOW - 7 * DAY)
    put_failed(backups, NOW - 3 * DAY)
    backups.create("sets/daily/20261123T080000Z/failed.json", b"somebody else's")
    facts = readers.read_backup(catalogue_of(backups, state, clock), BackupPolicy())
    assert (facts.reference, facts.begun) == ("daily/20261122T090000Z", NOW - DAY)
    assert facts.sealed == NOW
    assert (facts.failed_at, facts.failure) == (NOW - 3 * DAY, "the oplog overflowed")
    assert facts.stored_bytes > 0
    assert facts.alarm_after == BackupPolicy().alarm_after


def test_without_any_good_set_nothing_is_made_up(clock) -> None:
    facts = readers.read_backup(catalogue_of(MemoryBlobs(clock), MemoryBlobs(clock), clock), BackupPolicy())
    assert (facts.begun, facts.sealed, facts.failed_at, facts.stored_bytes) == (None, None, None, 0)


def test_the_snapshots_of_each_chosen_disk_are_counted_when_a_cycle_has_seen_them() -> None:
    world = SnapshotWorld()
    world.add_disk("data")
    world.add_disk("other", tagged=False)
    rules = world.policy.snapshots
    with pytest.raises(NotSetUp, match="no snapshot cycle"):
        readers.read_snapshots(world.state, rules)
    snapshots.run_tick(world.job())
    facts = readers.read_snapshots(world.state, rules)
    assert {name: disk.count for name, disk in facts.disks.items()} == {"data": 0}  # not complete yet
    world.clock.advance(HOUR)
    snapshots.run_tick(world.job())
    facts = readers.read_snapshots(world.state, rules)
    assert (facts.disks["data"].count, facts.disks["data"].newest) == (1, world.clock.now() - HOUR)
    assert (facts.seen, facts.alarm_after) == (world.clock.now(), 36 * HOUR)
    with pytest.raises(NotSetUp, match="names no disks"):
        readers.read_snapshots(world.state, SnapshotPolicy())


def test_a_cycle_that_an_earlier_version_wrote_says_nothing_of_disks(clock) -> None:
    state = MemoryBlobs(clock)
    state.create(
        "snapshots/last.json", b'{"at": "2026-11-23T08:00:00Z", "taken": [], "removed": 1, "problems": []}'
    )
    rules = parse_policy("snapshots: {disks: a=b}").snapshots
    assert readers.read_snapshots(state, rules).disks == {}
    state.replace("snapshots/last.json", b'{"at": 5}', etag=None)
    with pytest.raises(Corrupt, match=r"snapshots/last\.json"):
        readers.read_snapshots(state, rules)


def test_the_machines_are_told_as_the_newest_tick_saw_them() -> None:
    world = PowerWorld()
    world.add()
    rules = world.policy.power
    with pytest.raises(NotSetUp, match="no power tick"):
        readers.read_power(world.state, rules)
    world.clock.set(berlin("7:10"))
    run_recorded_tick(world.job())
    (machine,) = readers.read_power(world.state, rules).machines
    assert (machine.name, machine.planned_up, machine.seen) == ("rocketchat", True, world.clock.now())
    assert (machine.planned_since, machine.next_change) == (berlin("7:00"), berlin("19:00"))
    assert machine.problem == ""
    with pytest.raises(NotSetUp, match="no machines"):
        readers.read_power(world.state, PowerPolicy())


def test_a_deploy_that_is_off_is_not_set_up(clock) -> None:
    with pytest.raises(NotSetUp, match="no repository"):
        readers.read_deploy(MemoryBlobs(clock), clock, DeployPolicy())


def test_the_age_of_the_key_drill_and_whose_it_was_are_shown() -> None:
    world = StatusWorld()
    status = world.collect()
    assert status.key_drill.value == KeyDrillFacts(
        timedelta(days=180), YEAR_END - timedelta(days=40), "daily/20261018T010000Z", "alice"
    )
    row = next(one for one in list_rows(status, ()) if one.part == "key drill")
    assert row.text == "the offline key opened daily/20261018T010000Z 40 d ago, by alice"
    world.state.delete("keys/drill.json")
    status = world.collect()
    assert status.key_drill.value == KeyDrillFacts(timedelta(days=180))
    row = next(one for one in list_rows(status, ()) if one.part == "key drill")
    assert row.text == "no key drill is on note"
    world.state.replace("keys/drill.json", b"[]", etag=None)
    assert world.collect().key_drill.problem
