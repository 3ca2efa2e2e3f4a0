"""The cluster's state in a backup set: encrypted, signed, and never in the way of the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fakes.cluster_state import MemoryState
from local.fakes.faults import Fault, FaultPlan, Killed
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup.catalogue import SetState
from shared.backup.extra import describe_state, ensure_extra_parts, find_unread
from shared.backup.health import check_newest_state
from shared.backup.key_drill import drill_keys
from shared.backup.notices import sealed_notice, state_notice
from shared.backup.sets import SetInfo, read_plan
from shared.backup.verify import read_state_part, verify_content, verify_stored
from shared.formats.backupset import FORMAT_WITH_EXTRA_PARTS, BackupPlan, ChainLink, Manifest
from shared.formats.extra_parts import ExtraPart, UnreadItem
from shared.formats.manifest import Signer, VerifiedRecord
from shared.formats.strict_json import FORMAT, decode_record
from shared.kernel.errors import Corrupt, NotFound, Unavailable, UsageError
from shared.restore.cluster_state import read_cluster_state
from tests.support.backup_world import SIGNER, World
from tests.support.cluster_objects import PASSWORD
from tests.support.state_world import StateWorld


@pytest.fixture
def world() -> StateWorld:
    made = StateWorld()
    made.seed()
    return made


def state_part(world: StateWorld, info: SetInfo) -> ExtraPart:
    (extra,) = world.manifest(info).extra_parts
    return extra


def test_a_set_holds_the_clusters_state_and_its_manifest_names_what_is_inside(world: StateWorld) -> None:
    info = world.seal()
    manifest = world.manifest(info)
    extra = state_part(world, info)
    assert (manifest.format, extra.kind, extra.unread) == (FORMAT_WITH_EXTRA_PARTS, "cluster-state", ())
    assert "Secret rocketchat/chat-tls" in extra.contents
    assert manifest.sealed >= manifest.created
    state = read_state_part(world.backups, manifest, extra, world.identities)
    assert state.contents == extra.contents
    assert state.set == info.reference
    stored = b"".join(b"".join(world.backups.stream(blob.name)) for blob in world.backups.list())
    assert PASSWORD.encode() not in stored
    assert "cluster state: 8 items" in world.job().runs.load("backup", info.id).summary
    world.verify()


def test_a_set_without_a_cluster_is_written_as_ever_and_every_older_reader_takes_it() -> None:
    world = World()
    world.seed()
    backup.run_nightly(world.job())
    world.work(world.job())
    (info,) = world.sealed()
    fields = json.loads(world.backups.read(f"{info.folder}manifest.json")[0])
    assert fields["format"] == FORMAT
    assert "extra_parts" not in fields
    with pytest.raises(NotFound, match="holds no cluster state"):
        read_cluster_state(world.catalogue, "latest", world.identities)


def test_a_later_format_is_said_to_be_later_and_an_odd_one_odd() -> None:
    with pytest.raises(Corrupt, match=r"is of a newer format: 3.*use that version") as caught:
        decode_record(Manifest, {"format": 3}, name="manifest.json")
    assert caught.value.value == 3
    for number in (0, True, "1", None):
        with pytest.raises(Corrupt, match="is of another format"):
            decode_record(Manifest, {"format": number}, name="manifest.json")


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda cluster: cluster.failures.update(version=Unavailable("no answer")), id="away"),
        pytest.param(lambda cluster: cluster.deny("secrets"), id="no right to Secrets"),
    ],
)
def test_the_set_is_good_if_the_cluster_cannot_be_read_and_says_what_is_unknown(
    world: StateWorld, break_it: Callable[[MemoryState], Any]
) -> None:
    break_it(world.cluster)
    info = world.seal()
    extra = state_part(world, info)
    assert extra.unread
    assert not any(name.startswith("Secret") for name in extra.contents)
    assert "unknown: " in describe_state([extra])
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    world.verify()


def test_people_are_told_what_is_unknown_and_warned_where_policy_requires_it(world: StateWorld) -> None:
    world.cluster.deny("clusterissuers")
    extra = world.manifest(world.seal()).extra_parts
    head = ChainLink("20261123T010000Z", "daily", "a" * 64)
    assert "unknown: ClusterIssuers: the cluster does not allow it" in sealed_notice(head, extra).text
    warned = state_notice(head, extra, required=True)
    assert warned is not None
    assert "ClusterIssuers" in warned.text
    assert "The database is in the backup" in warned.text
    assert state_notice(head, extra, required=False) is None
    assert "cluster" not in sealed_notice(head, ()).text
    missing = state_notice(head, (), required=True)
    assert missing is not None
    assert "all of it" in missing.text
    complete = replace(extra[0], unread=())
    assert state_notice(head, (complete,), required=True) is None


def test_health_says_what_is_unknown_and_fails_where_policy_requires_it(world: StateWorld) -> None:
    with pytest.raises(Unavailable, match="there is no good backup"):
        check_newest_state(world.catalogue, required=False)
    world.seal()
    assert check_newest_state(world.catalogue, required=True) == "cluster state: 8 items"
    world.clock.advance(timedelta(days=1))
    world.cluster.deny("clusterissuers")
    world.seal()
    text = check_newest_state(world.catalogue, required=False)
    assert text.startswith("cluster state: 5 items; unknown: ClusterIssuers: the cluster does not allow it")
    with pytest.raises(Unavailable, match="the newest backup lacks cluster state: ClusterIssuers"):
        check_newest_state(world.catalogue, required=True)


def run_all(world: StateWorld, plan: FaultPlan) -> None:
    job = world.job(plan)
    backup.run_nightly(job)
    world.work(job)


def seeded() -> StateWorld:
    made = StateWorld()
    made.seed(1, 2)
    return made


def test_a_worker_that_dies_at_any_step_of_sealing_leaves_one_state_in_a_good_set() -> None:
    plan = FaultPlan()
    run_all(seeded(), plan)
    begun = max(place for place, step in enumerate(plan.steps) if step == "backups.upload")
    assert len(plan.steps) - begun > 15
    for step in range(begun, len(plan.steps)):
        world = seeded()
        with pytest.raises(Killed):
            run_all(world, FaultPlan(Fault(Killed(), step=step, when="after")))
        world.die()
        world.work(world.job())
        backup.run_nightly(world.job())
        world.work(world.job())
        (info,) = world.sealed()
        world.verify()
        assert read_cluster_state(world.catalogue, info.reference, world.identities).contents


def read_signed_plan(world: StateWorld) -> VerifiedRecord[BackupPlan]:
    (folder,) = {blob.name.rpartition("/")[0] for blob in world.backups.list()}
    return read_plan(world.backups, f"{folder}/", (SIGNER.public_text(),))


def test_a_state_of_another_signer_is_not_taken(world: StateWorld) -> None:
    backup.run_nightly(world.job())
    evil = replace(world.job(), signer=Signer.generate())
    (forged,) = ensure_extra_parts(evil, read_signed_plan(world))
    world.work(world.job())
    assert state_part(world, world.sealed()[0]).blob != forged.extra.blob


def test_of_two_workers_attempts_the_first_to_finish_is_in_the_set(world: StateWorld) -> None:
    backup.run_nightly(world.job())
    (first,) = ensure_extra_parts(world.job(), read_signed_plan(world))
    world.clock.advance(timedelta(seconds=5))
    assert ensure_extra_parts(world.job(), read_signed_plan(world)) == [first]
    world.work(world.job())
    assert state_part(world, world.sealed()[0]) == first.extra


def test_a_part_that_was_replaced_before_the_seal_keeps_the_set_from_being_sealed(world: StateWorld) -> None:
    backup.run_nightly(world.job())
    plan = read_signed_plan(world)
    (receipt,) = ensure_extra_parts(world.job(), plan)
    name = f"sets/{plan.record.klass}/{plan.record.set}/{receipt.extra.blob}"
    world.backups.replace(name, world.backups.read(name)[0], etag=None)
    done = world.work(world.job())
    assert f"{name} is not stored as it was written" in done[0]
    # Begun again, since only its consistency was lost.
    (info,) = world.sealed()
    assert info.id != plan.record.set


def replace_blob(world: StateWorld, info: SetInfo, change: Callable[[bytes], bytes]) -> str:
    name = info.folder + state_part(world, info).blob
    world.backups.replace(name, change(world.backups.read(name)[0]), etag=None)
    return name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda data: data[:-1], "instead of", id="truncated"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), "was written after", id="changed"),
    ],
)
def test_a_part_that_was_changed_makes_the_set_damaged_and_is_named(
    world: StateWorld, change: Callable[[bytes], bytes], reason: str
) -> None:
    info = world.seal()
    world.clock.advance(timedelta(hours=1))
    name = replace_blob(world, info, change)
    (entry,) = world.catalogue.entries()
    assert entry.state is SetState.DAMAGED
    assert name in entry.problem
    assert reason in entry.problem
    with pytest.raises(Corrupt, match="extra-cluster-state"):
        read_cluster_state(world.catalogue, info.reference, world.identities)


def test_a_part_that_is_missing_makes_the_set_damaged(world: StateWorld) -> None:
    info = world.seal()
    name = info.folder + state_part(world, info).blob
    world.backups.delete(name)
    (entry,) = world.catalogue.entries()
    assert (entry.state, entry.problem) == (SetState.DAMAGED, f"{name} is missing")
    # The database is restored all the same, by the set's own name.
    assert world.restore(MemoryDatabase("target:27017"), info.reference).proven


def with_part(manifest: Manifest, **changes: Any) -> Manifest:
    return replace(manifest, extra_parts=(replace(manifest.extra_parts[0], **changes),))


def test_a_kind_that_this_version_does_not_know_is_verified_by_its_bytes_and_said(world: StateWorld) -> None:
    manifest = with_part(world.manifest(world.seal()), kind="from-the-future")
    reporter = ListReporter()
    verify_stored(world.backups, manifest, manifest.stored_parts, reporter)
    verify_content(world.backups, manifest, world.identities, reporter)
    assert [note for note in reporter.notes if "does not know parts of the kind from-the-future" in note]
    assert describe_state(manifest.extra_parts) == "cluster state: not in this set"
    with pytest.raises(Corrupt, match="was changed"):
        broken = with_part(manifest, sha256="0" * 64)
        verify_stored(world.backups, broken, broken.stored_parts, reporter)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contents": ("Secret rocketchat/more",)}, "holds something else"),
        ({"plain_bytes": 3}, "longer than its manifest says"),
        ({"sha256": "0" * 64}, "was changed"),
    ],
)
def test_a_manifest_that_says_something_else_than_the_part_is_corrupt(
    world: StateWorld, changes: dict[str, Any], reason: str
) -> None:
    manifest = with_part(world.manifest(world.seal()), **changes)
    with pytest.raises(Corrupt, match=reason):
        verify_content(world.backups, manifest, world.identities, ListReporter())


def test_the_state_of_another_set_is_corrupt(world: StateWorld) -> None:
    first = world.seal()
    world.clock.advance(timedelta(days=1))
    second = world.seal()
    foreign = state_part(world, first)
    data = world.backups.read(first.folder + foreign.blob)[0]
    world.backups.create(second.folder + foreign.blob, data)
    manifest = replace(world.manifest(second), extra_parts=(foreign,))
    with pytest.raises(Corrupt, match="belongs to another set"):
        read_state_part(world.backups, manifest, foreign, world.identities)


def test_the_key_drill_opens_the_state_too(world: StateWorld) -> None:
    info = world.seal()
    count = len(world.manifest(info).parts)
    assert drill_keys(world.catalogue, world.identities, (), by="alice").parts == count + 1


def test_without_a_key_nothing_of_the_state_is_shown(world: StateWorld) -> None:
    world.seal()
    with pytest.raises(UsageError, match="no key to decrypt with"):
        read_cluster_state(world.catalogue, "latest", [])


@pytest.mark.parametrize(
    ("unread", "told"),
    [
        (0, "cluster state: 2 items"),
        (1, "cluster state: 2 items; unknown: kind 0: denied"),
        (3, "cluster state: 2 items; unknown: kind 0: denied; kind 1: denied; kind 2: denied"),
        (5, "cluster state: 2 items; unknown: kind 0: denied; kind 1: denied; kind 2: denied; and 2 more"),
    ],
)
def test_what_a_set_holds_of_the_cluster_is_told_in_one_line(unread: int, told: str) -> None:
    items = tuple(UnreadItem(f"kind {number}", "denied") for number in range(unread))
    part = ExtraPart("cluster-state", "extra-cluster-state.a.json.zst.age", 1, 1, "0" * 64, ("a", "b"), items)
    later = replace(part, kind="files")
    assert describe_state([later, part]) == told
    assert len(find_unread([later, part])) == unread
    assert describe_state([later]) == "cluster state: not in this set"
    assert find_unread([later]) == find_unread([]) == ["all of it: the set was made without"]
