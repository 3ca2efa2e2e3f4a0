"""What a set is worth, clause by clause; what strangers do with it is in test_threats.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.backup import job as backup
from shared.backup.catalogue import CLOCK_SKEW, SetCatalogue, SetState
from shared.backup.seals import SealLog
from shared.backup.sets import MANIFEST, PLAN, list_sets, read_manifest
from shared.backup.verify import verify_chain
from shared.formats.backupset import ChainLink
from shared.kernel.errors import NotFound, UsageError
from tests.support.signed_sets import SIGNER, catalogue_of, put_failed, put_plan, put_sealed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Place:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.blobs, self.state = MemoryBlobs(self.clock), MemoryBlobs(self.clock)
        self.catalogue: SetCatalogue = catalogue_of(self.blobs, self.state, self.clock)

    def states(self) -> list[SetState]:
        return [entry.state for entry in self.catalogue.entries()]

    def seal(self, folder: str) -> None:
        """Put a set into the seal log."""
        info = next(info for info in list_sets(self.blobs, folder))
        SealLog(self.state, (SIGNER.public_text(),)).append(read_manifest(self.blobs, info, ()), SIGNER)


@pytest.fixture
def place() -> Place:
    return Place()


def test_each_kind_of_set_has_its_state(place: Place) -> None:
    put_sealed(place.blobs, NOW - 3 * HOUR)
    put_failed(place.blobs, NOW - 2 * HOUR)
    put_plan(place.blobs, NOW - HOUR)
    place.blobs.create("sets/daily/20261123T113000Z/x", b"")
    assert place.states() == [SetState.SEALED, SetState.FAILED, SetState.OPEN, SetState.FOREIGN]
    assert place.catalogue.entries(since=NOW - HOUR)[0].state is SetState.OPEN


@pytest.mark.parametrize("put", [put_sealed, put_plan])
@pytest.mark.parametrize(
    ("ahead", "misdated"), [(CLOCK_SKEW, False), (CLOCK_SKEW + timedelta(seconds=1), True)]
)
def test_a_set_dated_after_now_is_misdated(place: Place, put, ahead: timedelta, misdated: bool) -> None:
    place.clock.advance(ahead)  # the storage's clock is ahead, too
    put(place.blobs, NOW + ahead)
    place.clock.set(NOW)
    assert (place.states() == [SetState.MISDATED]) is misdated


@pytest.mark.parametrize("put", [put_sealed, put_plan])
def test_a_set_dated_after_it_was_stored_stays_misdated(place: Place, put) -> None:
    put(place.blobs, NOW + HOUR)
    place.clock.advance(2 * HOUR)
    assert place.states() == [SetState.MISDATED]


@pytest.mark.parametrize("off", [-2 * HOUR, 2 * HOUR])
def test_a_manifest_that_tells_another_time_than_its_folder_is_misdated(place: Place, off: timedelta) -> None:
    put_sealed(place.blobs, NOW - HOUR, created=NOW - HOUR + off)
    assert place.states() == [SetState.MISDATED]


@pytest.mark.parametrize("off", [-CLOCK_SKEW, CLOCK_SKEW])
def test_clocks_may_differ_by_as_much_as_they_do(place: Place, off: timedelta) -> None:
    put_sealed(place.blobs, NOW - HOUR, created=NOW - HOUR + off)
    assert place.states() == [SetState.SEALED]
    place.clock.advance(-CLOCK_SKEW)  # the storage's: it took the set before it was begun
    put_plan(place.blobs, NOW)
    place.clock.set(NOW)
    assert place.states() == [SetState.SEALED, SetState.OPEN]


@pytest.mark.parametrize("content", [b"short", b"as long!", None])
def test_a_part_that_is_not_stored_whole_makes_a_set_damaged_wherever_it_lies(place: Place, content) -> None:
    folder = put_sealed(place.blobs, NOW - HOUR)
    name = folder + "part-0000.a.archive.zst.age"
    if content is None:
        place.blobs.delete(name)
    else:
        place.blobs.replace(name, content, etag=None)
    elsewhere = replace(place.catalogue, seals=None)
    same = content is not None and len(content) == 8
    assert (elsewhere.entries()[0].state is SetState.SEALED) is same


def test_how_far_the_night_is(place: Place) -> None:
    assert place.catalogue.nightly_progress().begun is None
    put_sealed(place.blobs, NOW - 9 * HOUR)
    sealed = place.catalogue.nightly_progress()
    assert (sealed.begun, sealed.sealed_at) == (NOW - 9 * HOUR, NOW)
    put_failed(place.blobs, NOW - 3 * HOUR)
    put_sealed(place.blobs, NOW - 2 * HOUR, "manual")
    place.blobs.create("sets/daily/20261123T113000Z/plan.json", b"x")
    assert place.catalogue.nightly_progress() == sealed
    put_plan(place.blobs, NOW - HOUR)
    assert place.catalogue.nightly_progress().begun == NOW - HOUR
    assert place.catalogue.nightly_progress().sealed_at == NOW


def test_only_problems_of_newer_sets_are_told_with_the_latest(place: Place) -> None:
    for hours in (4, 2):
        place.blobs.create(put_sealed(place.blobs, NOW - hours * HOUR, reason=str(hours)) + "x", b"")
    older, newer = list_sets(place.blobs)
    place.blobs.replace(older.folder + MANIFEST, b"x", etag=None)
    latest = place.catalogue.find("latest")
    assert latest.info.id == newer.id
    assert place.catalogue.newer_problems(latest) == []
    put_sealed(place.blobs, NOW - HOUR)
    place.blobs.replace(list_sets(place.blobs)[-1].folder + MANIFEST, b"x", etag=None)
    assert len(place.catalogue.newer_problems(latest)) == 1


def test_a_set_of_the_seal_log_is_ours_even_without_its_plan(place: Place) -> None:
    folder = put_sealed(place.blobs, NOW - HOUR)
    place.seal(folder)
    place.blobs.replace(folder + MANIFEST, b"x", etag=None)
    assert place.states() == [SetState.DAMAGED]
    assert replace(place.catalogue, seals=None).entries()[0].state is SetState.FOREIGN


def test_the_head_of_the_log_is_what_was_sealed_last_not_what_was_begun_last(place: Place) -> None:
    slow = put_sealed(place.blobs, NOW - 3 * HOUR, "manual", sealed=NOW)
    quick = put_sealed(place.blobs, NOW - 2 * HOUR, sealed=NOW - HOUR)
    place.seal(slow)
    place.seal(quick)
    assert place.catalogue.seals is not None
    head = place.catalogue.seals.head()
    assert head is not None
    assert (head.klass, head.sealed) == ("manual", NOW)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("part-0000.b.archive.zst.age", SetState.DAMAGED),
        ("extra-cluster-state.b.json.zst.age", SetState.DAMAGED),
        ("part-0000.b.receipt.json", SetState.SEALED),
        ("note.age", SetState.SEALED),
    ],
)
def test_only_a_part_that_is_written_after_the_sealing_damages_a_set(
    place: Place, name: str, state: SetState
) -> None:
    folder = put_sealed(place.blobs, NOW - HOUR)
    place.seal(folder)
    place.clock.advance(timedelta(seconds=1))
    place.blobs.create(folder + name, b"x")
    (entry,) = place.catalogue.entries()
    assert entry.state is state
    assert (folder + name in entry.problem) is (state is SetState.DAMAGED)


def test_only_sets_that_policy_keeps_are_missed(place: Place) -> None:
    for klass, hours in (("daily", 3), ("daily", 2), ("weekly", 2), ("daily", 1)):
        folder = put_sealed(place.blobs, NOW - hours * HOUR, klass)
        place.seal(folder)
        if hours > 1:
            place.blobs.delete(folder + MANIFEST)
    assert place.catalogue.missing({}) == []
    assert len(place.catalogue.missing({"daily": NOW - 3 * HOUR})) == 2
    since = place.catalogue.missing({"daily": NOW - 2 * HOUR, "monthly": NOW - 9 * HOUR})
    assert [line.split()[0] for line in since] == ["sets/daily/20261123T100000Z/"]
    assert "has no manifest any more" in since[0]
    place.blobs.delete("sets/daily/20261123T100000Z/part-0000.a.archive.zst.age")
    assert place.catalogue.missing({"daily": NOW - 2 * HOUR})[0].endswith(" and is missing")
    assert replace(place.catalogue, seals=None).missing({"daily": NOW - 9 * HOUR}) == []


def test_two_sets_that_follow_the_same_one_break_the_chain(place: Place) -> None:
    link = ChainLink("20261122T010000Z", "daily", "0" * 64)
    put_sealed(place.blobs, NOW - 2 * HOUR, previous=link)
    put_sealed(place.blobs, NOW - HOUR, previous=link)
    (problem,) = verify_chain(place.catalogue, place.catalogue.entries(), {})
    assert "both follow sets/daily/20261122T010000Z/" in problem.problem


def test_a_reference_is_an_id_a_class_and_id_a_folder_or_latest(place: Place) -> None:
    with pytest.raises(NotFound, match="there is no backup"):
        place.catalogue.find("latest")
    folder = put_sealed(place.blobs, NOW - HOUR)
    for reference in ("20261123T110000Z", "daily/20261123T110000Z", folder, folder.strip("/"), "latest"):
        assert place.catalogue.find(reference).info.folder == folder
    put_sealed(place.blobs, NOW - HOUR, "manual")
    with pytest.raises(UsageError, match="several"):
        place.catalogue.find("20261123T110000Z")
    with pytest.raises(NotFound, match="20261123T110000Z"):
        place.catalogue.find("20251123T110000Z")


# In the whole job.


def test_a_message_about_a_set_whose_manifest_was_deleted_neither_fails_nor_signs_it(world) -> None:
    backup.run_nightly(world.job())
    world.work(world.job())
    (info,) = world.sealed()
    world.backups.delete(info.folder + MANIFEST)
    assert "is damaged" in backup.run_part(world.job(), info.folder, 0)
    assert [entry.state for entry in world.catalogue.entries()] == [SetState.DAMAGED]
    assert not list(world.backups.list(info.folder + "failed"))


def test_a_receipt_under_another_parts_name_does_not_count(make_world) -> None:
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())
    folder = list_sets(world.backups)[0].folder
    backup.run_part(world.job(), folder, 0)
    (receipt,) = [blob.name for blob in world.backups.list(folder) if blob.name.endswith(".receipt.json")]
    data = world.backups.read(receipt)[0]
    for number in ("0001", "0099"):
        world.backups.create(receipt.replace("part-0000", f"part-{number}"), data)
    world.work(world.job())
    manifest = world.manifest(world.sealed()[0])
    assert len({part.blob for part in manifest.parts}) == len(manifest.parts)
    world.verify()


def test_the_state_container_that_was_made_anew_begins_the_log_again(world) -> None:
    backup.run_nightly(world.job())
    world.work(world.job())
    for blob in list(world.state.list("seals/")):
        world.state.delete(blob.name)
    world.clock.advance(timedelta(days=1))
    backup.run_nightly(world.job())
    world.work(world.job())
    first, second = world.sealed()
    previous = world.manifest(second).previous
    assert previous is not None
    assert previous.set == first.id
    assert (PLAN in first.files, len(list(world.state.list("seals/")))) == (True, 1)
