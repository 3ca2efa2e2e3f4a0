"""The end of a set: sealed once, failed once, and released in any case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.backup import job as backup
from shared.backup import sets
from shared.backup.begin import read_open_set
from shared.backup.catalogue import CatalogueEntry, SetState
from shared.backup.deps import JOB, BackupDeps
from shared.backup.seal import end_of, fail_set, seal_set
from shared.formats.backupset import ChainLink
from shared.kernel.errors import Inconsistent, Locked, Unavailable
from shared.kernel.ports import BlobInfo
from shared.records.audit import AuditTrail
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


def seals_on_record(world: World) -> list[str]:
    """The sets that the audit trail says were sealed, one entry each."""
    trail = AuditTrail(world.state, world.clock)
    return [entry.subject for entry in trail.verify() if entry.action == "backup.seal"]


def seal_again(job: BackupDeps, info: sets.SetInfo) -> str:
    """What a second worker does that read the same receipts."""
    open_set = read_open_set(job, info.folder)
    return seal_set(job, open_set.plan, open_set.receipts)


class Behind:
    """The container of sets with something in between."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.backups, name)


def test_a_set_that_two_workers_seal_is_on_record_and_told_once(world: World) -> None:
    told: list[ChainLink] = []
    job = replace(world.job(), tell_head=lambda head, _extra: told.append(head))
    info = begin(world).info
    (*_, summary) = world.work(job)
    assert seal_again(job, info) == summary
    (entry,) = world.catalogue.entries()
    assert end_of(job, entry) == "sealed"
    assert seals_on_record(world) == [info.folder]
    assert told == [entry.link]


def test_a_set_whose_sealing_was_not_recorded_is_recorded_by_the_next_who_looks(world: World) -> None:
    info = begin(world).info
    world.work(world.job())
    for blob in [*world.state.list("seals/"), *world.state.list("runs/"), *world.state.list("audit")]:
        world.state.delete(blob.name)
    (entry,) = world.catalogue.entries()
    assert end_of(world.job(), entry) == "sealed"
    assert seals_on_record(world) == [info.folder]
    head = world.job().seals.head()
    assert head is not None
    assert head.sha256 == entry.link.sha256


def test_a_sealed_set_whose_manifest_was_deleted_is_not_signed_anew(world: World) -> None:
    info = begin(world).info
    world.work(world.job())
    world.backups.delete(info.folder + sets.MANIFEST)
    with pytest.raises(Inconsistent, match="cannot be sealed"):
        seal_again(world.job(), info)
    assert sets.MANIFEST not in names(world, info.folder)


def test_each_set_names_the_one_that_was_sealed_before_it(world: World) -> None:
    nights: list[CatalogueEntry] = []
    for _ in range(3):
        backup.run_nightly(world.job())
        world.work(world.job())
        nights = world.catalogue.entries()
        world.clock.advance(timedelta(days=1))
    assert [night.manifest.previous for night in nights] == [None, nights[0].link, nights[1].link]


def test_a_worker_that_lost_the_chain_while_it_read_the_list_writes_no_manifest(world: World) -> None:
    class Slow(Behind):
        def list(self, prefix: str = "") -> Iterator[BlobInfo]:
            yield from world.backups.list(prefix)
            world.state.break_lease("locks/chain")

    info = begin(world).info
    with pytest.raises(Locked, match="locks/chain"):
        world.work(replace(world.job(), backups=Slow(world)))
    assert sets.MANIFEST not in names(world, info.folder)
    world.work(world.job())
    assert [entry.state for entry in world.catalogue.entries()] == [SetState.SEALED]


def test_a_manifest_that_cannot_be_read_just_now_does_not_fail_the_set(world: World) -> None:
    class Unreadable(Behind):
        def stream(self, name: str, **options: Any) -> Iterator[bytes]:
            if name.endswith(sets.MANIFEST):
                raise Unavailable("the storage does not answer")
            return world.backups.stream(name, **options)

    info = begin(world).info
    with pytest.raises(Unavailable, match="does not answer"):
        world.work(replace(world.job(), backups=Unreadable(world)))
    world.work(world.job())
    assert [entry.state for entry in world.catalogue.entries()] == [SetState.SEALED]
    assert seals_on_record(world) == [info.folder]


def test_a_part_that_was_deleted_before_the_sealing_fails_the_set_by_its_name() -> None:
    world = World(part_bytes=400)
    world.seed()
    folder = begin(world).info.folder

    def delete_parts() -> None:
        for name in names(world, folder):
            if name.endswith(".archive.zst.age"):
                world.backups.delete(folder + name)

    done = world.work(world.job(), between=delete_parts)
    (failed,) = [line for line in done if line.startswith(f"{folder} failed")]
    assert "part-0000" in failed
    assert "is not stored as it was written: it is missing" in failed
