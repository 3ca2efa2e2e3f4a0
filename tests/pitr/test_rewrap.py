"""New keys for slices that were made before them: what opens then, what stays, and where it lies."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.rewrap import rewrap_set
from shared.backup.sets import read_manifest
from shared.formats.agekeys import Identity, generate_identity, parse_identities
from shared.kernel.errors import Corrupt, Refused
from shared.pitr.catalogue import SliceCatalogue
from shared.pitr.rewrap import group_by_day, is_keys_blob, rewrap_day
from shared.pitr.tail import OplogTail
from shared.restore.deps import RestoreDeps
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult
from tests.support.backup_world import SECRET
from tests.support.capture_world import CaptureWorld

OLD = parse_identities(SECRET)
NEW, NEW_PUBLIC = generate_identity(post_quantum=False)
NEXT, NEXT_PUBLIC = generate_identity(post_quantum=False)


@pytest.fixture
def captures() -> CaptureWorld:
    """A set, and two slices behind it."""
    made = CaptureWorld()
    made.database.write("rocketchat", "rocketchat_message", {"_id": 0})
    made.seal()
    made.capture()
    for number in (1, 2):
        made.database.write("rocketchat", "rocketchat_message", {"_id": number})
        made.capture()
    return made


def rewrap(captures: CaptureWorld, identities: list[Identity], recipient: str, blobs=None) -> list[bool]:
    """What the command does with sets and slices; by day whether it was written."""
    world = captures.world
    manifest = read_manifest(world.backups, world.catalogue.find("latest").info, world.catalogue.trusted)
    rewrap_set(world.backups, manifest.manifest, identities, [recipient])
    days = group_by_day(captures.slices.list_slices())
    return [rewrap_day(blobs or world.backups, slices, identities, [recipient]) for _, slices in days]


def restore(
    captures: CaptureWorld, secret: str, *, dry_run: bool = False
) -> tuple[RestoreResult, MemoryDatabase]:
    world, target = captures.world, MemoryDatabase("target:27017")
    identities, plan = parse_identities(secret), captures.slices.plan(captures.database.newest())
    tail = OplogTail(world.backups, plan, identities)
    deps = RestoreDeps(world.catalogue, target, identities, ListReporter(), world.clock, tail=tail)
    return restore_set(deps, plan.base.reference, dry_run=dry_run), target


def test_a_new_key_restores_a_moment_behind_a_set_and_no_slice_is_touched(captures: CaptureWorld) -> None:
    before = {name: captures.world.backups.read(name)[0] for name in captures.names()}
    assert rewrap(captures, OLD, NEW_PUBLIC) == [True]
    after = {name: captures.world.backups.read(name)[0] for name in captures.names()}
    assert {name: after[name] for name in before} == before
    (added,) = set(after) - set(before)
    assert is_keys_blob(added)
    catalogue = SliceCatalogue(captures.world.catalogue)
    assert len([*catalogue.list_slices()]) == len(before)  # each still signed for what it is
    assert (catalogue.ignored, catalogue.keys_blobs) == ([], [added])
    for secret in (NEW, SECRET):
        result, target = restore(captures, secret)
        assert result.proven, result.problems
        assert target.contents() == captures.database.contents()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_key_that_opens_the_set_only_is_refused_before_a_byte_is_written(
    captures: CaptureWorld, dry_run: bool
) -> None:
    world = captures.world
    manifest = read_manifest(world.backups, world.catalogue.find("latest").info, world.catalogue.trusted)
    rewrap_set(world.backups, manifest.manifest, OLD, [NEW_PUBLIC])
    with pytest.raises(Corrupt, match="not encrypted to the key given") as refused:
        restore(captures, NEW, dry_run=dry_run)
    assert "groundcrew keys rewrap --slices" in refused.value.hint


def test_slices_between_the_first_and_the_last_are_tried_before_a_byte_is_written(captures) -> None:
    plan = captures.slices.plan(captures.database.newest())
    assert len(plan.slices) >= 2
    tail = OplogTail(captures.world.backups, plan, parse_identities(NEW))
    with pytest.raises(Corrupt, match="not encrypted to the key given"):
        tail.check_stored(ListReporter())


def test_what_came_after_a_run_is_added_by_the_next_one(captures: CaptureWorld) -> None:
    assert rewrap(captures, OLD, NEW_PUBLIC) == [True]
    assert rewrap(captures, OLD, NEW_PUBLIC) == [False]
    captures.database.write("rocketchat", "rocketchat_message", {"_id": 3})
    captures.capture()
    assert rewrap(captures, OLD, NEW_PUBLIC) == [True]
    assert restore(captures, NEW)[0].proven


def test_the_new_key_can_hand_on_what_it_opens_by_file_keys_only(captures: CaptureWorld) -> None:
    rewrap(captures, OLD, NEW_PUBLIC)
    ((_, slices),) = group_by_day(captures.slices.list_slices())
    assert rewrap_day(captures.world.backups, slices, parse_identities(NEW), [NEXT_PUBLIC])
    tail = OplogTail(
        captures.world.backups, captures.slices.plan(captures.database.newest()), parse_identities(NEXT)
    )
    tail.check_stored(ListReporter())


def test_killed_at_any_step_a_repetition_does_the_rest(captures: CaptureWorld) -> None:
    ((_, slices),) = group_by_day(captures.slices.list_slices())
    moment = captures.slices.plan(captures.database.newest())
    for step in itertools.count():
        secret, public = generate_identity(post_quantum=False)
        plan = FaultPlan(Fault(Killed(), step=step, when="after"))
        with suppress(Killed):
            rewrap_day(with_faults(captures.world.backups, plan, "backups"), slices, OLD, [public])
        rewrap_day(captures.world.backups, slices, OLD, [public])
        OplogTail(captures.world.backups, moment, parse_identities(secret)).check_stored(ListReporter())
        for blob in [one for one in captures.world.backups.list("pitr/") if is_keys_blob(one.name)]:
            captures.world.backups.delete(blob.name)
        if len(plan.steps) <= step:
            break
    assert step > 7


def test_a_slice_that_cannot_be_read_keeps_no_other_from_being_opened(captures: CaptureWorld) -> None:
    ((folder, slices),) = group_by_day(captures.slices.list_slices())
    bad, good = slices[0], slices[1:]
    size = len(captures.world.backups.read(bad.name)[0])
    captures.world.backups.replace(bad.name, b"x" * size, etag=None)
    for _ in range(2):
        with pytest.raises(Corrupt, match="not an age file"):
            rewrap_day(captures.world.backups, slices, OLD, [NEW_PUBLIC])
    assert len([blob for blob in captures.world.backups.list(folder) if is_keys_blob(blob.name)]) == 1
    assert not rewrap_day(captures.world.backups, good, OLD, [NEW_PUBLIC])


def test_a_storage_that_takes_no_new_blobs_is_told(captures: CaptureWorld) -> None:
    plan = FaultPlan(Fault(Refused("403"), operation="backups.create", times=9))
    with pytest.raises(Refused):
        rewrap(captures, OLD, NEW_PUBLIC, with_faults(captures.world.backups, plan, "backups"))


def test_what_strangers_put_beside_slices_opens_nothing_and_hides_nothing(captures: CaptureWorld) -> None:
    ((folder, _),) = group_by_day(captures.slices.list_slices())
    captures.world.backups.create(f"{folder}rewrapped.{'0' * 16}.{'1' * 16}.age", b"no age file")
    captures.world.backups.create(f"{folder}rewrapped.age", b"of another form")
    rewrap(captures, OLD, NEW_PUBLIC)
    assert restore(captures, NEW)[0].proven
    catalogue = SliceCatalogue(captures.world.catalogue)
    assert [*catalogue.list_slices()]
    assert catalogue.ignored == [f"{folder}rewrapped.age"]
