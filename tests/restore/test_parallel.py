"""Several parts at once: the same result, and the first failure ends the others."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Event, get_ident

import pytest

from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.job import run_nightly
from shared.kernel.errors import Unavailable
from shared.mongodb.model import InsertResult, Namespace
from shared.restore.job import RestoreDeps, restore_set
from shared.restore.parallel import run_parallel
from tests.support.backup_world import World


@pytest.fixture
def parts() -> World:
    """A set of several parts, of which two hold ranges of one collection."""
    world = World(part_bytes=300)
    world.seed(4, 12)
    world.database.create_indexes("rocketchat", "c0", [{"v": 2, "key": {"msg": 1}, "name": "msg_1"}])
    run_nightly(world.job())
    world.work(world.job())
    return world


def deps_of(world: World, target: MemoryDatabase) -> RestoreDeps:
    return RestoreDeps(world.catalogue, target, world.identities, ListReporter(), world.clock, jobs=4)


def test_parts_that_are_restored_at_once_give_the_same_database(parts: World) -> None:
    target = MemoryDatabase("target:27017")
    deps = deps_of(parts, target)
    result = restore_set(deps, "latest")
    assert len(result.plan.parts) > 4
    assert result.proven
    assert target.contents() == parts.database.contents()
    assert deps.reporter.done == [total for _, total in deps.reporter.phases]  # type: ignore[attr-defined]


class Refusing(MemoryDatabase):
    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        if collection == "c2":
            raise Unavailable("inserting failed", value=collection)
        return super().insert_documents(db, collection, documents)


def test_the_first_failure_of_one_part_is_the_one_that_is_raised(parts: World) -> None:
    with pytest.raises(Unavailable, match="c2"):
        restore_set(deps_of(parts, Refusing("target:27017")), "latest")
    single = replace(deps_of(parts, Refusing("target:27017")), jobs=1)
    with pytest.raises(Unavailable, match="c2"):
        restore_set(single, "latest")


@pytest.mark.parametrize("jobs", [1, 3])
def test_everything_is_done_once_and_a_failure_stops_what_waits(jobs: int) -> None:
    done: list[int] = []
    stop = Event()
    run_parallel(done.append, range(20), jobs, stop)
    assert sorted(done) == list(range(20))
    assert not stop.is_set()
    begun: list[int] = []

    def act(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError(item)
        stop.wait(timeout=10)

    with pytest.raises(ValueError, match="0"):
        run_parallel(act, range(20), jobs, stop)
    assert len(begun) <= jobs + 1
    assert stop.is_set() or jobs == 1


class Rendezvous(MemoryDatabase):
    """Two batches of `c0` are inserted at once, or none is."""

    barrier = Barrier(2, timeout=60)

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        if collection == "c0":
            self.barrier.wait()
        return super().insert_documents(db, collection, documents)


def seal_single_part(world: World) -> None:
    run_nightly(world.job())
    world.work(world.job())
    assert len(world.manifest(world.sealed()[-1]).parts) == 1


def test_a_set_of_one_part_is_written_over_several_connections() -> None:
    world = World(part_bytes=1 << 30)
    # Two batches of the archive's reader, which cuts at 4 MiB.
    world.database.create_collection(Namespace("rocketchat", "c0"))
    for number in range(6):
        world.database.write("rocketchat", "c0", {"_id": number, "msg": "x" * 1_300_000})
    seal_single_part(world)
    target = Rendezvous("target:27017")
    result = restore_set(deps_of(world, target), "latest")
    assert result.proven
    assert target.contents() == world.database.contents()


def test_a_capped_collection_is_written_in_its_order_whatever_the_number_of_connections() -> None:
    writers: set[int] = set()

    class Ordered(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if collection == "log":
                writers.add(get_ident())
            return super().insert_documents(db, collection, documents)

    world = World(part_bytes=1 << 30)
    log = Namespace("rocketchat", "log", options={"capped": True, "size": 5_000_000})
    world.database.create_collection(log)
    for number in range(6):
        world.database.write("rocketchat", "log", {"_id": number, "msg": "x" * 1_300_000})
    world.seed(2, 4)
    seal_single_part(world)
    target = Ordered("target:27017")
    assert restore_set(deps_of(world, target), "latest").proven
    assert target.contents() == world.database.contents()
    assert writers == {get_ident()}  # by the reader itself, one batch after the other


def test_the_failure_of_a_batch_ends_the_part_it_is_of() -> None:
    world = World(part_bytes=1 << 30)
    world.seed(4, 12)
    seal_single_part(world)
    deps = deps_of(world, Refusing("target:27017"))
    with pytest.raises(Unavailable, match="c2"):
        restore_set(deps, "latest")
    (note,) = [note for note in deps.reporter.notes if "interrupted" in note]  # type: ignore[attr-defined]
    assert note.startswith("interrupted while restoring documents")
