"""The end of a set: sealed once, failed once, and released in any case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.backup import job as backup
from shared.backup import sets
from shared.backup.catalogue import CatalogueEntry, SetState
from shared.backup.deps import JOB
from shared.backup.seal import end_of, fail_set
from shared.kernel.errors import Inconsistent
from shared.records.holds import Holds
from tests.support.backup_world import World


def begin(world: World) -> CatalogueEntry:
    """A set that was begun, and is open."""
    backup.run_nightly(world.job())
    (entry,) = world.catalogue.entries()
    return entry


def is_held(world: World) -> bool:
    return any(blob.name.startswith("holds/") for blob in world.state.list())


def names(world: World, folder: str) -> list[str]:
    return [blob.name.removeprefix(folder) for blob in world.backups.list(folder)]


def test_a_set_fails_once_and_the_first_reason_stays(world: World) -> None:
    job, info = world.job(), begin(world).info
    assert fail_set(job, info.klass, info.id, Inconsistent("the oplog overflowed")) is True
    assert not is_held(world), "the machine may be stopped"
    assert job.runs.load(JOB, info.id).state == "failed"
    before = names(world, info.folder)
    assert fail_set(job, info.klass, info.id, Inconsistent("another reason")) is False
    assert names(world, info.folder) == before
    assert job.runs.load(JOB, info.id).error == "the oplog overflowed"
    (entry,) = world.catalogue.entries()
    assert (entry.state, "the oplog overflowed" in entry.problem) == (SetState.FAILED, True)


def test_a_reason_that_somebody_else_took_the_name_of_is_on_record_beside_it(world: World) -> None:
    job, info = world.job(), begin(world).info
    world.backups.create(info.folder + sets.FAILED, b'{"error": "give up"}')
    assert fail_set(job, info.klass, info.id, Inconsistent("the oplog overflowed")) is True
    written = [name for name in names(world, info.folder) if name.startswith("failed.")]
    (beside,) = {*written} - {sets.FAILED}
    assert beside.endswith(".json")
    (entry,) = world.catalogue.entries()
    assert (entry.state, "the oplog overflowed" in entry.problem) == (SetState.FAILED, True)


def test_a_set_that_is_being_made_has_no_end_and_keeps_its_hold(world: World) -> None:
    entry = begin(world)
    assert end_of(world.job(), entry) == ""
    assert is_held(world)


@pytest.mark.parametrize("end", ["sealed", "failed"])
def test_a_hold_that_a_killed_worker_left_on_a_set_that_ended_is_released(world: World, end: str) -> None:
    job, info = world.job(), begin(world).info
    if end == "sealed":
        world.work(job)
    else:
        fail_set(job, info.klass, info.id, Inconsistent("the oplog overflowed"))
    assert not is_held(world)
    Holds(world.state, world.clock).add_hold(f"backup/{info.id}", "a part is dumped", timedelta(hours=1))
    (entry,) = world.catalogue.entries()
    assert end_of(job, entry) == end
    assert not is_held(world)
