"""What strangers and thieves can do to backups, and what is said of it; docs/threat-model.md has the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup import job as backup
from shared.backup import sets
from shared.backup.catalogue import SetState
from shared.backup.deps import QUEUE
from shared.backup.health import check_newest_backup
from shared.backup.verify import retention_start, verify_chain
from shared.formats import envelope
from shared.formats.agekeys import generate_identity, parse_recipient
from shared.formats.archive import ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.backupset import (
    BackupPlan,
    NamespaceCount,
    OplogSlice,
    Piece,
    PlannedPart,
    Receipt,
    SealRecord,
)
from shared.formats.documents import tally_documents
from shared.formats.manifest import Signer, verify_record
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt, GroundcrewError, NotFound, Refused, Unavailable
from shared.policy import BackupPolicy

ALARM = timedelta(hours=36)
STRANGER = Signer.generate()


def night(world) -> list[str]:
    return [backup.run_nightly(world.job()), *world.work(world.job())]


def health(world) -> str:
    now = world.clock.now()
    return check_newest_backup(world.catalogue, now, ALARM, retention_start(BackupPolicy().keep, now))


def problems(world) -> list[str]:
    """What `groundcrew backups verify` says of the sets as a whole."""
    since = retention_start(BackupPolicy().keep, world.clock.now())
    return [p.problem for p in verify_chain(world.catalogue, world.catalogue.entries(), since)]


def files(world, folder: str) -> dict[str, bytes]:
    names = [blob.name for blob in world.backups.list(folder)]
    return {name.removeprefix(folder): world.backups.read(name)[0] for name in names}


def delete(world, folder: str) -> None:
    for file in files(world, folder):
        world.backups.delete(folder + file)


def open_set(world) -> sets.SetInfo:
    (info,) = world.in_state(SetState.OPEN)
    return info


def plan_of(world, folder: str) -> BackupPlan:
    data = world.backups.read(folder + sets.PLAN)[0]
    return verify_record(BackupPlan, data, name="plan", trusted=()).record


def put_forged_set(world, sign: Signer | None) -> str:
    """A set that is complete but for its manifest, made from what everybody can read of an honest one."""
    honest = plan_of(world, world.sealed()[0].folder)
    when = world.clock.advance(timedelta(hours=1))
    folder, set_id = f"sets/daily/{sets.format_set_id(when)}/", sets.format_set_id(when)
    metadata = '{"indexes":[],"collectionName":"users","type":"collection"}'
    piece = Piece("rocketchat", "users", "collection", "ab" * 16, metadata)
    parts = (PlannedPart((piece,), oplog=True),)
    plan = replace(honest, set=set_id, klass="daily", created=when, reason="schedule", parts=parts)
    stored: list[bytes] = []
    writer = envelope.PartWriter(
        stored.append, [parse_recipient(r) for r in plan.recipients], level=1, threads=0
    )
    archive = ArchiveWriter(
        writer.write,
        ArchiveHeader("8.0.4", "x"),
        [PreludeEntry("rocketchat", "users", metadata), PreludeEntry("", "oplog", "")],
    )
    evil = bson.encode({"_id": "mallory", "roles": ["admin"]})
    archive.documents("rocketchat", "users", evil)
    archive.end("rocketchat", "users")
    archive.end("", "oplog")
    archive.finish()
    part, counted = writer.finish(), tally_documents(evil)
    signed = sign.sign(plan) if sign else json.dumps({"format": 1, "set": set_id}).encode()
    blob = world.backups.create(folder + "part-0000.x.archive.zst.age", b"".join(stored))
    receipt = Receipt(
        FORMAT,
        set_id,
        "daily",
        0,
        _sha256(signed),
        "part-0000.x.archive.zst.age",
        blob.etag,
        part.stored_bytes,
        part.plain_bytes,
        part.sha256,
        (NamespaceCount("rocketchat", "users", 1, counted.data_bytes, f"{counted.content_hash:032x}"),),
        OplogSlice(plan.oplog_start, plan.oplog_start, 0, 0, "0" * 32),
        (),
        when,
        when,
    )
    world.backups.create(folder + sets.PLAN, signed)
    world.backups.create(folder + "part-0000.x.receipt.json", (sign or STRANGER).sign(receipt))
    return folder


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


# Who can create blobs in the container `backups`, and nothing more.


@pytest.mark.parametrize("sign", [None, STRANGER], ids=["unsigned", "signed by a stranger"])
def test_a_strangers_complete_set_is_never_sealed_and_never_the_latest(world, sign) -> None:
    night(world)
    honest = world.sealed()
    forged = put_forged_set(world, sign)
    world.clock.advance(timedelta(hours=2))
    assert "nothing to do" in backup.run_overdue(world.job())
    with pytest.raises((Corrupt, Refused)):
        backup.run_part(world.job(), forged, 0)
    assert world.sealed() == honest
    assert [info.folder for info in world.in_state(SetState.FOREIGN)] == [forged]
    assert "mallory" not in str(world_contents(world))
    assert "the newest is" in health(world)


def world_contents(world) -> dict[str, object]:
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    return {name: [bson.decode(d) for d in documents] for name, documents in target.contents().items()}


def test_the_same_set_signed_by_our_own_key_is_sealed_so_the_forgery_above_was_complete(world) -> None:
    night(world)
    forged = put_forged_set(world, world.job().signer)
    world.clock.advance(timedelta(hours=2))
    backup.run_overdue(world.job())
    assert forged in [info.folder for info in world.sealed()]


def test_an_old_sets_files_under_a_new_id_are_not_signed_again(world) -> None:
    night(world)
    old, world.clock = world.sealed()[0], world.clock
    world.clock.advance(timedelta(hours=20))
    new_id = sets.format_set_id(world.clock.now())
    for file, data in files(world, old.folder).items():
        if file != sets.MANIFEST:
            world.backups.create(
                f"sets/daily/{new_id}/{file}", data.replace(old.id.encode(), new_id.encode())
            )
    world.clock.advance(timedelta(hours=1))
    backup.run_overdue(world.job())
    assert [info.id for info in world.sealed()] == [old.id]
    assert [info.id for info in world.in_state(SetState.FOREIGN)] == [new_id]


def test_a_signed_manifest_copied_into_another_folder_is_no_backup(world) -> None:
    night(world)
    old = world.sealed()[0]
    world.clock.advance(timedelta(hours=20))
    copy = f"sets/daily/{sets.format_set_id(world.clock.now())}/"
    for file, data in files(world, old.folder).items():
        world.backups.create(copy + file, data)
    assert world.sealed() == [old]
    assert world.catalogue.find("latest").info == old
    assert any(copy in problem for problem in problems(world))


@pytest.mark.parametrize("edit", ["as it is", "relabelled", "signed by a stranger"])
def test_yesterdays_part_does_not_get_into_tonights_set_by_a_receipt(world, edit: str) -> None:
    night(world)
    yesterday = world.sealed()[0]
    world.clock.advance(timedelta(days=1))
    world.database.write("rocketchat", "c0", {"_id": 999, "day": "today"})
    backup.run_nightly(world.job())
    tonight = open_set(world)
    for file, data in files(world, yesterday.folder).items():
        if file.endswith(".receipt.json"):
            receipt = json.loads(data)
            if edit != "as it is":
                receipt |= {"set": tonight.id, "class": tonight.klass}
                receipt["plan_sha256"] = _sha256(world.backups.read(tonight.folder + sets.PLAN)[0])
            if edit == "signed by a stranger":
                del receipt["signer"], receipt["signature"]
                from shared.formats.strict_json import decode_record

                data = STRANGER.sign(decode_record(Receipt, receipt, name="r"))
            else:
                data = json.dumps(receipt).encode() if edit == "relabelled" else data
        if file.startswith("part-"):
            world.backups.create(tonight.folder + file, data)
    world.work(world.job())
    assert world.sealed()[-1].id == tonight.id
    assert {"_id": 999, "day": "today"} in world_contents(world)["rocketchat.c0"]


def test_a_part_encrypted_to_other_keys_does_not_get_into_a_set(world) -> None:
    night(world)
    _, other = generate_identity(post_quantum=False)
    manifest = world.manifest(world.sealed()[0])
    assert other not in manifest.recipients
    forged = put_forged_set(world, STRANGER)
    assert plan_of(world, forged).recipients == manifest.recipients  # what it says is not what counts
    assert forged not in [info.folder for info in world.sealed()]


@pytest.mark.parametrize("file", [sets.MANIFEST, sets.PLAN, "x", "failed.json"])
@pytest.mark.parametrize("year", ["2099", "9999"])
def test_a_folder_dated_in_the_future_stops_nothing_and_is_reported(world, year: str, file: str) -> None:
    night(world)
    world.backups.create(f"sets/daily/{year}1231T010000Z/{file}", b"x")
    for _ in range(3):
        world.clock.advance(timedelta(days=1))
        assert "began" in night(world)[0]
    assert len(world.sealed()) == 4
    assert health(world) == "the newest is 0 s old"
    assert world.catalogue.find("latest").info.created == world.clock.now()
    (foreign,) = world.in_state(SetState.FOREIGN)
    assert foreign.id.startswith(year)


def test_a_set_of_ours_dated_by_a_clock_that_jumped_never_becomes_the_latest(world) -> None:
    night(world)
    world.clock.advance(timedelta(days=30))
    plan = plan_of(world, world.sealed()[0].folder)
    ahead = replace(plan, set=sets.format_set_id(world.clock.now()), klass="daily", created=world.clock.now())
    world.clock.advance(timedelta(days=-30))
    world.backups.create(f"sets/daily/{ahead.set}/plan.json", world.job().signer.sign(ahead))
    for _ in range(2):
        world.clock.advance(timedelta(days=1))
        assert "began" in night(world)[0]
        assert [info.id for info in world.in_state(SetState.MISDATED)] == [ahead.set]
    world.clock.advance(timedelta(days=35))
    assert [info.id for info in world.in_state(SetState.MISDATED)] == [ahead.set]


@pytest.mark.parametrize("dated", [timedelta(hours=-1), timedelta(0)], ids=["an hour ago", "now"])
def test_a_file_named_manifest_does_not_make_a_backup(world, dated: timedelta) -> None:
    world.backups.create(f"sets/daily/{sets.format_set_id(world.clock.now() + dated)}/manifest.json", b"x")
    with pytest.raises(Unavailable, match="no good backup"):
        health(world)
    assert "began" in backup.run_nightly(world.job())
    with pytest.raises(NotFound, match="there is no backup"):
        world.catalogue.find("latest")


def test_a_file_named_manifest_in_tonights_set_fails_it_with_the_reason_and_another_is_begun(world) -> None:
    backup.run_nightly(world.job())
    taken = open_set(world)
    world.backups.create(taken.folder + sets.MANIFEST, b"x")
    world.clock.advance(timedelta(seconds=5))
    done = world.work(world.job())
    assert "cannot be sealed" in done[0]
    assert [info.id for info in world.in_state(SetState.FAILED)] == [taken.id]
    (sealed,) = world.sealed()
    assert sealed.id != taken.id


def test_a_manifest_that_comes_just_before_the_sealing_is_not_taken_for_ours(world) -> None:
    class Racing:
        def __init__(self, inner) -> None:
            self.inner, self.raced = inner, False

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def create(self, name: str, data: bytes):
            if name.endswith(sets.MANIFEST) and not self.raced:
                self.raced = True
                self.inner.create(name, STRANGER.sign(verify_manifest_of(data)))
            return self.inner.create(name, data)

    def verify_manifest_of(data: bytes):
        from shared.formats.manifest import verify_manifest

        return verify_manifest(data, name="m", trusted=()).manifest

    backup.run_nightly(world.job())
    job = replace(world.job(), backups=Racing(world.backups))
    done = world.work(job, between=lambda: world.clock.advance(timedelta(seconds=5)))
    assert "cannot be sealed" in done[0]
    assert len(world.in_state(SetState.FAILED)) == 1
    assert len(world.sealed()) == 1


def test_a_strangers_record_of_failure_does_not_end_tonights_set(world) -> None:
    backup.run_nightly(world.job())
    tonight = open_set(world)
    world.backups.create(tonight.folder + sets.FAILED, b'{"error": "give up"}')
    world.work(world.job())
    assert [info.id for info in world.sealed()] == [tonight.id]


def test_a_failure_is_on_record_even_if_its_name_is_taken(world) -> None:
    backup.run_nightly(world.job())
    tonight = open_set(world)
    world.backups.create(tonight.folder + sets.FAILED, b"{}")
    world.queues.take(QUEUE)
    world.clock.advance(timedelta(hours=21))
    backup.run_overdue(world.job())
    entry = world.catalogue.find(tonight.reference)
    assert (entry.state, "timed out" in entry.problem) == (SetState.FAILED, True)


def test_ids_that_are_taken_end_with_a_reason(world) -> None:
    begun = world.clock.now()
    for second in range(600):
        set_id = sets.format_set_id(begun + timedelta(seconds=second))
        world.backups.create(f"sets/monthly/{set_id}/plan.json", b"x")
    with pytest.raises(Unavailable, match="no id is free"):
        backup.run_nightly(world.job())


def test_a_record_that_would_fill_the_memory_is_not_read_to_its_end(world, monkeypatch) -> None:
    monkeypatch.setattr(sets, "MAX_RECORD_BYTES", 1000)
    world.backups.create("sets/daily/20261122T010000Z/manifest.json", b"[" * 2000)
    (foreign,) = [e for e in world.catalogue.entries() if e.state is SetState.FOREIGN]
    assert "too large" in foreign.problem


# Who can also write over and delete blobs there.


def test_a_part_replaced_by_as_many_bytes_before_the_sealing_is_noticed(make_world) -> None:
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())
    first = open_set(world)

    def swap() -> None:
        world.clock.advance(timedelta(seconds=5))
        for file, data in files(world, first.folder).items():
            if file.endswith(".age"):
                world.backups.replace(first.folder + file, bytes(len(data)), etag=None)

    done = world.work(world.job(), between=swap)
    assert any("is not stored as it was written" in sentence for sentence in done)
    assert first.id in [info.id for info in world.in_state(SetState.FAILED)]


def four_nights(world) -> list[sets.SetInfo]:
    for _ in range(4):
        night(world)
        world.clock.advance(timedelta(days=1))
    return world.sealed()


def test_deleting_the_newest_set_is_seen_at_once_and_after_more_nights(world) -> None:
    newest = four_nights(world)[-1]
    delete(world, newest.folder)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"missing"):
            health(world)
        assert any(newest.folder in problem for problem in problems(world))
        night(world)
        world.clock.advance(timedelta(hours=23))
    assert any(f"follows {newest.folder}, which is missing" in p for p in chain_alone(world))


def chain_alone(world) -> list[str]:
    """What the chain says to whoever has not the seal log."""
    elsewhere = replace(world.catalogue, seals=None)
    since = retention_start(BackupPolicy().keep, world.clock.now())
    return [p.problem for p in verify_chain(elsewhere, elsewhere.entries(), since)]


def test_deleting_the_newest_manifest_is_seen_and_the_set_is_not_signed_again(world) -> None:
    newest = four_nights(world)[-1]
    world.backups.delete(newest.folder + sets.MANIFEST)
    world.clock.advance(timedelta(hours=-1))
    assert "nothing to do" in backup.run_overdue(world.job()) or world.queues.length(QUEUE)
    world.work(world.job())
    assert newest.id in [info.id for info in world.in_state(SetState.DAMAGED)]
    assert any("has no manifest any more" in problem for problem in problems(world))
    with pytest.raises(Unavailable):
        health(world)


def test_deleting_a_middle_set_is_seen_by_health_and_verify(world) -> None:
    middle = four_nights(world)[2]
    delete(world, middle.folder)
    with pytest.raises(Unavailable, match="a backup that policy keeps is missing"):
        health(world)
    assert any(middle.folder in problem for problem in problems(world))


def test_a_set_that_expired_by_policy_is_not_missed(world) -> None:
    first = four_nights(world)[1]
    world.clock.advance(timedelta(days=15))
    night(world)
    delete(world, first.folder)
    assert problems(world) == []
    assert "the newest is" in health(world)


def test_a_part_that_is_missing_or_shorter_makes_the_set_no_backup_without_reading_it(world) -> None:
    *_, newest = four_nights(world)
    part = newest.folder + world.manifest(newest).parts[0].blob
    world.backups.replace(part, b"short", etag=None)
    assert world.catalogue.find(newest.reference).state is SetState.DAMAGED
    world.backups.delete(part)
    entry = world.catalogue.find(newest.reference)
    assert (entry.state, "is missing" in entry.problem) == (SetState.DAMAGED, True)
    assert world.catalogue.find("latest").info != newest


def test_a_part_written_after_the_sealing_makes_the_set_no_backup(world) -> None:
    *_, newest = four_nights(world)
    part = newest.folder + world.manifest(newest).parts[0].blob
    world.backups.replace(part, bytes(len(world.backups.read(part)[0])), etag=None)
    entry = world.catalogue.find(newest.reference)
    assert (entry.state, "was written after" in entry.problem) == (SetState.DAMAGED, True)
    with pytest.raises(Unavailable):
        health(world)
    elsewhere = replace(world.catalogue, seals=None)  # a copy in another account, whose times say nothing
    assert elsewhere.find(newest.reference).state is SetState.SEALED


# Who can send messages to the queue.


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("sets/daily/20200101T000000Z/", 0),
        ("../../etc/", 0),
        ("sets/daily/../../x/", 0),
        ("sets/daily/20261123T010000Z/../20261122T010000Z/", 0),
        ("sets/hourly/20261123T010000Z/", 0),
        ("sets/daily/20261399T010000Z/", 0),
        ("", 0),
        (5, 0),
        (None, 0),
        ("TONIGHT", 99),
        ("TONIGHT", -1),
        ("TONIGHT", "0"),
        ("TONIGHT", True),
        ("TONIGHT", None),
        ("TONIGHT", 0.0),
    ],
)
def test_a_message_about_no_part_of_ours_is_refused_by_name_and_changes_nothing(world, where, index) -> None:
    backup.run_nightly(world.job())
    where = open_set(world).folder if where == "TONIGHT" else where
    before = [blob.name for blob in world.backups.list()]
    with pytest.raises(GroundcrewError) as caught:
        backup.run_part(world.job(), where, index)
    assert caught.value.permanent
    assert [blob.name for blob in world.backups.list()] == before


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"null", b"5", b"[]", b"[1, 2]", b"{}", b'{"set": "x"}', b'{"part": 0}', b"\xff",
     b"[" * 100_000,
     b'{"set": [], "part": {}}', b'{"set": "sets/daily/20261123T010000Z/", "part": 1e999}'],
    ids=range(13),
)  # fmt: skip
def test_a_message_that_asks_for_nothing_is_refused_by_name(world, body: bytes) -> None:
    before = [blob.name for blob in world.backups.list()]
    with pytest.raises(GroundcrewError):
        backup.handle_message(world.job(), body)
    assert [blob.name for blob in world.backups.list()] == before


def test_the_message_that_was_queued_is_understood(world) -> None:
    backup.run_nightly(world.job())
    body = world.queues.take(QUEUE)
    assert "sealed" in backup.handle_message(world.job(), body.encode())


def test_the_oplog_that_is_asked_for_before_the_others_waits_for_them(make_world) -> None:
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())
    tonight = open_set(world)
    last = len(plan_of(world, tonight.folder).parts) - 1
    assert "waits for" in backup.run_part(world.job(), tonight.folder, last)
    world.database.write("rocketchat", "c0", {"_id": 3, "msg": "LATER"})
    world.work(world.job())
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert target.contents() == world.database.contents()


# Who has the signing key: only then is a forgery believed.


def test_what_a_stolen_signing_key_signs_is_believed_until_the_key_is_no_longer_trusted(world) -> None:
    night(world)
    forged = put_forged_set(world, world.job().signer)
    world.clock.advance(timedelta(hours=1))
    backup.run_overdue(world.job())
    assert world.catalogue.find("latest").info.folder == forged
    rotated = replace(world.catalogue, trusted=(STRANGER.public_text(),))
    assert rotated.newest_good() is None
    assert all("unknown signer" in entry.problem for entry in rotated.entries())


def test_an_unsigned_entry_of_the_seal_log_says_nothing(world) -> None:
    night(world)
    forged = STRANGER.sign(SealRecord(FORMAT, "20261123T003000Z", "daily", world.clock.now(), "0" * 64, None))
    for name, data in (("20261123T003000Z.daily", forged), ("20261123T004000Z.daily", b"x")):
        world.state.create(f"seals/{name}.{'0' * 16}.json", data)
    assert problems(world) == []
    assert "the newest is" in health(world)


def test_an_entry_of_the_seal_log_under_another_name_says_nothing(world) -> None:
    four_nights(world)
    (entry, *_) = [blob.name for blob in world.state.list("seals/")]
    data = world.state.read(entry)[0]
    world.state.create("seals/20261126T113000Z.daily.0000000000000000.json", data)
    assert problems(world) == []
    assert "the newest is" in health(world)


def test_a_set_deleted_with_its_entry_is_seen_in_the_chain(world) -> None:
    middle = four_nights(world)[2]
    delete(world, middle.folder)
    for blob in list(world.state.list(f"seals/{middle.id}")):
        world.state.delete(blob.name)
    assert "the newest is" in health(world)
    assert any(f"follows {middle.folder}, which is missing" in problem for problem in problems(world))
