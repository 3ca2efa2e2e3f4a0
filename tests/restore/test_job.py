"""The restore: what it refuses before a byte is written, and what it says of what came out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup import sets, verify
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.manifest import Signer, verify_manifest
from shared.formats.strict_json import decode_record
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.mongodb.model import InsertResult, Namespace, ReplayResult
from shared.restore import job as restore


@pytest.fixture
def sealed(world):
    """A world with one good set, and the set's folder."""
    backup.run_nightly(world.job())
    world.work(world.job())
    return world


def parts_of(world) -> list[str]:
    return [b.name for b in world.backups.list() if b.name.endswith(".age")]


def rewrite(world, name: str, data: bytes) -> None:
    world.backups.replace(name, data, etag=None)


def flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def manifest_name(world) -> str:
    return world.sealed()[-1].folder + sets.MANIFEST


def test_everything_comes_back_and_is_proven(sealed) -> None:
    target = MemoryDatabase("target:27017")
    result = sealed.restore(target)
    assert result.proven
    assert [v.name for v in result.verdicts] == ["rocketchat.c0", "rocketchat.c1", "rocketchat.c2"]
    assert target.contents() == sealed.database.contents()


def test_a_dry_run_writes_nothing_and_says_why_it_may(sealed) -> None:
    target = MemoryDatabase("target:27017")
    result = sealed.restore(target, dry_run=True)
    assert target.contents() == {}
    assert result.plan.reasons[0] == "the target target:27017 is empty"
    assert not result.proven


def test_only_what_was_asked_for_is_restored(sealed) -> None:
    target = MemoryDatabase("target:27017")
    assert sealed.restore(target, only=["rocketchat.c1"]).proven
    assert set(target.contents()) == {"rocketchat.c1"}


def test_an_unknown_namespace_is_named(sealed) -> None:
    with pytest.raises(UsageError, match=r"rocketchat\.cx"):
        sealed.restore(MemoryDatabase("target:27017"), only=["rocketchat.cx"])


def test_a_target_that_is_not_empty_is_refused_unless_asked_for(sealed) -> None:
    target = MemoryDatabase("target:27017")
    target.write("other", "things", {"_id": 1})
    with pytest.raises(Refused, match="not empty"):
        sealed.restore(target)
    assert sealed.restore(target, into_non_empty=True).proven
    assert "other.things" in target.contents()


def test_documents_are_never_mixed_even_if_asked_for(sealed) -> None:
    target = MemoryDatabase("target:27017")
    target.write("rocketchat", "c1", {"_id": "mine"})
    before = target.contents()
    with pytest.raises(Refused, match="already has"):
        sealed.restore(target, into_non_empty=True)
    assert target.contents() == before


@pytest.mark.parametrize("asked", [False, True], ids=["plain", "into-non-empty"])
def test_the_source_itself_is_never_written_to(sealed, asked: bool) -> None:
    before = sealed.database.contents()
    with pytest.raises(Refused, match="the database that was backed up"):
        sealed.restore(sealed.database, into_non_empty=asked)
    assert sealed.database.contents() == before


def test_the_source_that_was_emptied_may_be_restored_in_place(sealed) -> None:
    wanted = sealed.database.contents()
    for name in list(wanted):
        sealed.database.drop(*name.split("."))
    assert sealed.restore(sealed.database).proven
    assert sealed.database.contents() == wanted


def damage(world, how: str) -> str:
    """Damage the set and return the blob that must be named."""
    part = parts_of(world)[0]
    data = world.backups.read(part)[0]
    if how == "a flipped bit in the middle":
        rewrite(world, part, flip(data, len(data) // 2))
    elif how == "a flipped bit at the end":
        rewrite(world, part, flip(data, -1))
    elif how == "cut short":
        rewrite(world, part, data[:-40])
    elif how == "longer":
        rewrite(world, part, data + b"more")
    elif how == "missing":
        world.backups.delete(part)
    elif how == "swapped with a part of another night":
        world.clock.advance(timedelta(days=1))
        world.database.write("rocketchat", "c0", {"_id": 77})
        backup.run_nightly(world.job())
        world.work(world.job())
        other = next(name for name in parts_of(world) if name != part)
        rewrite(world, part, world.backups.read(other)[0])
    return part


HARMS = [
    "a flipped bit in the middle",
    "a flipped bit at the end",
    "cut short",
    "longer",
    "missing",
    "swapped with a part of another night",
]


@pytest.mark.parametrize("how", HARMS)
def test_a_damaged_part_is_named_and_nothing_is_written(sealed, how: str) -> None:
    reference = sealed.sealed()[0].id
    part = damage(sealed, how)
    target = MemoryDatabase("target:27017")
    with pytest.raises(Corrupt) as caught:
        sealed.restore(target, reference)
    assert part in str(caught.value)
    assert target.contents() == {}


@pytest.mark.parametrize("how", HARMS)
def test_verify_names_a_damaged_part_without_any_key(sealed, how: str) -> None:
    info = sealed.sealed()[0]
    part = damage(sealed, how)
    manifest = sealed.manifest(info)
    with pytest.raises(Corrupt) as caught:
        verify.verify_stored(sealed.backups, manifest, manifest.parts, ListReporter())
    assert part in str(caught.value)


def test_a_wrong_key_is_named_before_anything_is_downloaded_whole(sealed) -> None:
    stranger = parse_identities(generate_identity(post_quantum=False)[0])
    target = MemoryDatabase("target:27017")
    job = restore.RestoreDeps(sealed.catalogue, target, stranger, ListReporter(), sealed.clock)
    with pytest.raises(Corrupt, match="not encrypted to the key given"):
        restore.restore_set(job, "latest")
    assert target.contents() == {}


def test_no_key_at_all_is_a_mistake_of_use(sealed) -> None:
    job = restore.RestoreDeps(sealed.catalogue, MemoryDatabase("t:1"), (), ListReporter(), sealed.clock)
    with pytest.raises(UsageError, match="no key"):
        restore.restore_set(job, "latest")


def test_a_changed_manifest_is_noticed(sealed) -> None:
    name = manifest_name(sealed)
    blob = json.loads(sealed.backups.read(name)[0])
    blob["namespaces"][0]["documents"] += 1
    rewrite(sealed, name, json.dumps(blob).encode())
    with pytest.raises(Corrupt, match="signature") as caught:
        sealed.restore(MemoryDatabase("t:1"), sets.list_sets(sealed.backups)[0].id)
    assert name in str(caught.value)
    with pytest.raises(NotFound, match="there is no backup"):
        sealed.restore(MemoryDatabase("t:1"))


def test_a_manifest_signed_by_somebody_else_is_refused(sealed) -> None:
    name = manifest_name(sealed)
    blob = sealed.backups.read(name)[0]
    forged = Signer.generate().sign(verify_manifest(blob, name="m", trusted=()).manifest)
    rewrite(sealed, name, forged)
    with pytest.raises(Refused, match="unknown signer"):
        sealed.restore(MemoryDatabase("t:1"), sets.list_sets(sealed.backups)[0].id)


def test_a_manifest_of_another_set_is_refused(sealed) -> None:
    first = manifest_name(sealed)
    sealed.clock.advance(timedelta(days=1))
    backup.run_nightly(sealed.job())
    sealed.work(sealed.job())
    rewrite(sealed, manifest_name(sealed), sealed.backups.read(first)[0])
    with pytest.raises(Corrupt, match="belongs to another set"):
        sealed.restore(MemoryDatabase("t:1"), sets.list_sets(sealed.backups)[-1].id)


def test_the_latest_good_set_is_restored_and_newer_ones_that_are_not_good_are_named(sealed) -> None:
    first = sealed.sealed()[0]
    sealed.clock.advance(timedelta(days=1))
    backup.run_nightly(sealed.job())
    sealed.work(sealed.job())
    second = sealed.sealed()[-1]
    sealed.backups.replace(second.folder + sets.MANIFEST, b"x", etag=None)
    reporter = ListReporter()
    deps = restore.RestoreDeps(
        sealed.catalogue, MemoryDatabase("t:1"), sealed.identities, reporter, sealed.clock
    )
    assert restore.restore_set(deps, "latest").manifest.set == first.id
    assert any(f"{second.folder} is damaged" in note for note in reporter.notes)


def test_a_set_that_was_never_sealed_is_no_backup(world) -> None:
    backup.run_nightly(world.job())
    with pytest.raises(NotFound, match="never sealed"):
        world.restore(MemoryDatabase("t:1"), sets.list_sets(world.backups)[0].id)
    with pytest.raises(NotFound, match="there is no backup"):
        world.restore(MemoryDatabase("t:1"))


def test_the_chain_tells_a_replaced_manifest_from_an_expired_one(sealed) -> None:
    for _ in range(2):
        sealed.clock.advance(timedelta(days=1))
        backup.run_nightly(sealed.job())
        sealed.work(sealed.job())
    first, second, third = sealed.sealed()
    for blob in list(sealed.backups.list(first.folder)):
        sealed.backups.delete(blob.name)
    sealed.verify()  # an expired set leaves a link to nowhere, which is in order
    name = second.folder + sets.MANIFEST
    manifest = verify_manifest(sealed.backups.read(name)[0], name=name, trusted=()).manifest
    other = decode_record(type(manifest), {**_plain(manifest), "reason": "history rewritten"}, name=name)
    later = sealed.backups.read(third.folder + sets.MANIFEST)[0]
    rewrite(sealed, name, sealed.job().signer.sign(other))
    rewrite(sealed, third.folder + sets.MANIFEST, later)
    (problem,) = verify.verify_chain(sealed.catalogue, sealed.catalogue.entries(), {})
    assert problem.folder == second.folder
    assert "its manifest is another" in problem.problem
    elsewhere = replace(sealed.catalogue, seals=None)  # without the seal log, the chain tells
    problems = verify.verify_chain(elsewhere, elsewhere.entries(), {})
    assert [p.folder for p in problems] == [third.folder]


def _plain(manifest) -> dict[str, object]:
    from shared.formats.strict_json import record_to_json

    return record_to_json(manifest)


class Forgetful(MemoryDatabase):
    """A target that does not keep what it is given."""

    def __init__(self, what: str) -> None:
        super().__init__("target:27017")
        self._what = what

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        if self._what == "loses a document":
            documents = documents[:-1]
        if self._what == "changes a document":
            documents = [*documents[:-1], bson.encode({**bson.decode(documents[-1]), "msg": "x" * 14})]
        if self._what == "refuses a document":
            result = super().insert_documents(db, collection, documents[:-1])
            return InsertResult(result.inserted, ("document 7 of the batch: too odd (code 2)",))
        return super().insert_documents(db, collection, documents)

    def create_indexes(self, db, collection, indexes) -> list[str]:
        if self._what == "forgets an index":
            return []
        return super().create_indexes(db, collection, indexes)

    def create_collection(self, namespace: Namespace) -> None:
        if self._what == "forgets an option":
            namespace = Namespace(namespace.db, namespace.collection, namespace.kind)
        super().create_collection(namespace)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("loses a document", "documents instead of"),
        ("changes a document", "instead of"),
        ("refuses a document", "too odd"),
        ("forgets an index", "index msg_1 is missing"),
        ("forgets an option", "option capped is 'absent' instead of True"),
    ],
)
def test_a_target_that_loses_anything_is_not_proven(world, what: str, message: str) -> None:
    world.database.create_collection(
        Namespace("rocketchat", "capped", options={"capped": True, "size": 4096})
    )
    world.database.write("rocketchat", "capped", {"_id": 1, "msg": "0123456789abcd"})
    world.database.create_indexes("rocketchat", "c0", [{"v": 2, "key": {"msg": 1}, "name": "msg_1"}])
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(Forgetful(what))
    assert not result.proven
    assert message in str([v.differences for v in result.verdicts])


class LosingChunks(MemoryDatabase):
    """A target whose replay loses the chunks of a bucket."""

    def replay_oplog(self, entries, *, scope=None, rename=None) -> ReplayResult:
        result = super().replay_oplog(entries, scope=scope, rename=rename)
        self._documents["rocketchat.rocketchat_uploads.chunks"].clear()
        return result


def upload(database: MemoryDatabase, identity: str, *, chunks: int) -> None:
    bucket = "rocketchat_uploads"
    database.write("rocketchat", f"{bucket}.files", {"_id": identity, "length": 3, "chunkSize": 3})
    for number in range(chunks):
        chunk = {"_id": f"{identity}{number}", "files_id": identity, "n": number}
        database.write("rocketchat", f"{bucket}.chunks", chunk)


def test_a_file_that_lacks_its_chunks_after_the_restore_is_not_proven(world) -> None:
    upload(world.database, "f", chunks=1)
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(LosingChunks("target:27017"))
    assert [v.name for v in result.verdicts if "file f has no chunks" in v.differences] == [
        "rocketchat.rocketchat_uploads.files"
    ]
    assert not result.proven


def test_a_file_that_lacks_its_chunks_in_the_source_too_is_noted_and_proven(world) -> None:
    upload(world.database, "broken", chunks=0)
    upload(world.database, "whole", chunks=1)
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(MemoryDatabase("target:27017"))
    assert result.proven
    assert result.notes == [
        "rocketchat.rocketchat_uploads.files: file broken has no chunks; so it is in the source"
    ]


class LosingDocuments(MemoryDatabase):
    """A target that keeps no chunk that it is given."""

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        result = super().insert_documents(db, collection, documents)
        if collection.endswith(".chunks"):
            self._documents[f"{db}.{collection}"].clear()
        return result


def test_chunks_that_the_target_lost_before_the_replay_are_not_blamed_on_the_source(world) -> None:
    upload(world.database, "f", chunks=1)
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(LosingDocuments("target:27017"))
    assert not result.proven
    assert result.notes == []
    differing = {v.name for v in result.verdicts if not v.equal}
    assert differing == {"rocketchat.rocketchat_uploads.files", "rocketchat.rocketchat_uploads.chunks"}


@pytest.mark.parametrize("only", ["rocketchat_uploads.chunks", "rocketchat_uploads.files", "c0"])
def test_a_verdict_names_only_what_was_asked_for(world, only: str) -> None:
    upload(world.database, "f", chunks=1)
    backup.run_nightly(world.job())
    world.work(world.job())
    target = MemoryDatabase("target:27017")
    # Another database's bucket, and this one's other half, both in disorder.
    for name in ("fs.files", "fs.chunks"):
        target.write("elsewhere", name, {"_id": "mine", "files_id": "none"})
    if only.endswith("chunks"):
        target.write("rocketchat", "rocketchat_uploads.files", {"_id": "no such upload"})
    result = world.restore(target, only=[f"rocketchat.{only}"], into_non_empty=True)
    assert [v.name for v in result.verdicts] == [f"rocketchat.{only}"]
    assert result.proven


def test_views_are_restored_as_views(world) -> None:
    view = Namespace("rocketchat", "v", "view", options={"viewOn": "c0", "pipeline": []})
    world.database.create_collection(view)
    backup.run_nightly(world.job())
    world.work(world.job())
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert next(n for n in target.list_namespaces() if n.name == "rocketchat.v").options == view.options


def test_every_phase_reports_until_it_is_done(sealed) -> None:
    reporter = ListReporter()
    job = restore.RestoreDeps(
        sealed.catalogue, MemoryDatabase("target:27017"), sealed.identities, reporter, sealed.clock
    )
    restore.restore_set(job, "latest")
    names = [name for name, _ in reporter.phases]
    assert names[0] == "Verifying stored bytes"
    assert names.index("Verifying documents") < names.index("Replaying the oplog") < len(names) - 1
    totals = [total for _, total in reporter.phases]
    assert reporter.done == totals


def test_what_policy_left_out_is_not_half_restored_from_the_oplog(world) -> None:
    job = world.job()
    job.__dict__["policy"] = job.policy.model_copy(update={"exclude": ("c1",)})
    backup.run_nightly(job)
    world.database.write("rocketchat", "c1", {"_id": "written during the dump"})
    world.database.write("rocketchat", "born", {"_id": "during the dump too"})
    world.work(job)
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert set(target.contents()) == {"rocketchat.c0", "rocketchat.c2", "rocketchat.born"}


def test_the_chain_is_judged_whatever_the_order_of_the_listing(sealed) -> None:
    for _ in range(2):
        sealed.clock.advance(timedelta(days=1))
        backup.run_nightly(sealed.job())
        sealed.work(sealed.job())
    _, second, third = sealed.sealed()
    name = second.folder + sets.MANIFEST
    manifest = verify_manifest(sealed.backups.read(name)[0], name=name, trusted=()).manifest
    other = decode_record(type(manifest), {**_plain(manifest), "reason": "history rewritten"}, name=name)
    rewrite(sealed, name, sealed.job().signer.sign(other))  # now the newest by its time
    (problem,) = verify.verify_chain(sealed.catalogue, sealed.catalogue.entries(), {})
    assert problem.folder == second.folder
    assert "its manifest is another" in problem.problem
    elsewhere = replace(sealed.catalogue, seals=None)  # without the seal log, the chain tells
    problems = verify.verify_chain(elsewhere, elsewhere.entries(), {})
    assert [p.folder for p in problems] == [third.folder]


def test_a_set_that_is_gone_before_its_time_is_missed(sealed) -> None:
    for _ in range(2):
        sealed.clock.advance(timedelta(days=1))
        backup.run_nightly(sealed.job())
        sealed.work(sealed.job())
    _, second, third = sealed.sealed()
    for blob in list(sealed.backups.list(second.folder)):
        sealed.backups.delete(blob.name)
    kept = {"daily": sealed.clock.now() - timedelta(days=14)}
    problems = verify.verify_chain(sealed.catalogue, sealed.catalogue.entries(), kept)
    assert [p.folder for p in problems] == [third.folder, ""]
    assert "missing although policy still keeps it" in problems[0].problem
    assert "was sealed at 2026-11-24 01:00Z and is missing" in problems[1].problem


def test_users_and_what_the_oplog_brought_are_not_said_to_be_compared(world) -> None:
    world.database.write("admin", "system.users", {"_id": "rocketchat.rc"})
    backup.run_nightly(world.job())
    world.database.write("rocketchat", "born", {"_id": 1})
    world.work(world.job())
    result = world.restore(MemoryDatabase("target:27017"))
    basis = {v.name: v.basis for v in result.verdicts}
    assert basis["admin.system.users"] == "restored"
    assert basis["rocketchat.c0"] == "compared"
    assert basis.get("rocketchat.born", "from the oplog") == "from the oplog"


class WithoutUsers(MemoryDatabase):
    """A target that has no way to take users."""

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:  # noqa: ARG002
        raise NotFound(f"merging {kind}: the server has no such command")


def test_users_that_the_server_has_no_way_to_take_are_noted_and_the_rest_is_proven(world) -> None:
    world.database.write("admin", "system.users", {"_id": "rocketchat.rc"})
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(WithoutUsers("target:27017"))
    assert result.proven
    assert [v.name for v in result.verdicts if v.basis == "not restored"] == ["admin.system.users"]
    assert result.notes == [
        "admin.system.users was not restored: merging users: the server has no such command"
    ]


class RecordingBuckets(MemoryDatabase):
    def insert_buckets(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        self.bucketed = f"{db}.{collection}"
        return super().insert_buckets(db, collection, documents)


def test_a_time_series_is_restored_by_its_buckets(world) -> None:
    series = {"timeseries": {"timeField": "ts"}}
    world.database.create_collection(Namespace("rocketchat", "weather", "timeseries", options=series))
    world.database.write("rocketchat", "weather", {"_id": 1, "control": {}, "data": {}})
    backup.run_nightly(world.job())
    world.work(world.job())
    target = RecordingBuckets("target:27017")
    assert world.restore(target).proven
    assert target.bucketed == "rocketchat.weather"
    assert target.contents() == world.database.contents()


def test_an_index_option_that_the_target_does_not_know_is_noted(world) -> None:
    class Modern(MemoryDatabase):
        def create_indexes(self, db, collection, indexes) -> list[str]:
            known = [{k: v for k, v in index.items() if k != "dropDups"} for index in indexes]
            return super().create_indexes(db, collection, known)

    world.database.create_indexes(
        "rocketchat", "c0", [{"v": 2, "key": {"msg": 1}, "name": "msg_1", "dropDups": True}]
    )
    backup.run_nightly(world.job())
    world.work(world.job())
    result = world.restore(Modern("target:27017"))
    assert result.proven
    assert result.notes == ["rocketchat.c0: index msg_1 was built without dropDups, unknown to the target"]
