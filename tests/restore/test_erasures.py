"""What was erased on purpose is deleted again by every restore, counted, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import bson
import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.job import run_nightly
from shared.formats.erasures import ERASURE_KINDS, Erasure
from shared.formats.manifest import Signer
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Unavailable, UsageError
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.erasures import ErasedAgain, LedgerReading
from shared.restore.job import RestoreDeps, RestoreResult, restore_set
from shared.wiring.restore import parse_erasure
from tests.support.backup_world import SIGNER, World
from tests.support.drill_world import DrillWorld

AT = datetime(2026, 11, 20, tzinfo=UTC)
TRUSTED = (SIGNER.public_text(),)


def erasure(kind: str, subject: str) -> Erasure:
    return Erasure(FORMAT, kind, subject, AT, AT)


def put_file(database: MemoryDatabase, bucket: str, identity: str, **fields: object) -> None:
    database.write("rocketchat", bucket, {"_id": identity, **fields})
    database.write("rocketchat", f"{bucket}.files", {"_id": identity, "length": 2, "chunkSize": 1})
    for n in range(2):
        chunk = {"_id": f"{identity}-{n}", "files_id": identity, "n": n, "data": b"x"}
        database.write("rocketchat", f"{bucket}.chunks", chunk)


def fill_chat(database: MemoryDatabase) -> None:
    """Two users in two rooms, a message of each with a file, an edited version, receipts and an avatar."""

    def write(collection: str, **document: object) -> None:
        database.write("rocketchat", collection, document)

    for user in ("ann", "bob"):
        write("users", _id=user, username=user)
        write("rocketchat_sessions", _id=f"s-{user}", userId=user)
        put_file(database, "rocketchat_avatars", f"a-{user}", userId=user)
        for room in ("r1", "r2"):
            message, upload = f"m-{user}-{room}", f"f-{user}-{room}"
            write("rocketchat_subscription", _id=f"{user}-{room}", rid=room, u={"_id": user})
            write("rocketchat_message", _id=message, rid=room, u={"_id": user}, file={"_id": upload},
                  files=[{"_id": upload}, {"_id": f"thumb-{upload}"}])  # fmt: skip
            write(
                "rocketchat_message_read_receipt",
                _id=f"rr-{message}",
                roomId=room,
                userId=user,
                messageId=message,
            )
            put_file(database, "rocketchat_uploads", upload, rid=room, userId=user)
            put_file(database, "rocketchat_uploads", f"thumb-{upload}", rid=room, userId=user)
    put_file(database, "rocketchat_avatars", "f-bob-r2", userId="somebody")  # ids are of their bucket only
    write("rocketchat_message", _id="old", rid="r1", parent="m-ann-r1", u={"_id": "ann"}, _hidden=True)
    for room in ("r1", "r2"):
        last = {"_id": f"m-ann-{room}", "u": {"_id": "ann"}, "msg": "the words"}
        write("rocketchat_room", _id=room, lastMessage=last)
    write("rocketchat__trash", _id="m-ann-r1", rid="r1", u={"_id": "ann"})


def ids_of(database: MemoryDatabase) -> dict[str, set[str]]:
    return {
        name.removeprefix("rocketchat."): {bson.decode(raw)["_id"] for raw in documents}
        for name, documents in database.contents().items()
    }


@pytest.fixture
def chat() -> World:
    world = World()
    fill_chat(world.database)
    run_nightly(world.job())
    world.work(world.job())
    return world


def restore(
    world: World, *entries: Erasure, target: MemoryDatabase | None = None, **options: object
) -> tuple[RestoreResult, MemoryDatabase]:
    target = target or MemoryDatabase("target:27017")
    deps = RestoreDeps(world.catalogue, target, world.identities, ListReporter(), world.clock)
    deps = replace(deps, erasures=lambda: LedgerReading(entries))
    return restore_set(deps, "latest", **options), target  # type: ignore[arg-type]


def gone(world: World, target: MemoryDatabase) -> dict[str, set[str]]:
    before, after = ids_of(world.database), ids_of(target)
    return {
        name: ids - after.get(name, set()) for name, ids in before.items() if ids - after.get(name, set())
    }


UPLOADS_OF_MESSAGE = {
    "rocketchat_uploads": {"f-ann-r1", "thumb-f-ann-r1"},
    "rocketchat_uploads.files": {"f-ann-r1", "thumb-f-ann-r1"},
    "rocketchat_uploads.chunks": {"f-ann-r1-0", "f-ann-r1-1", "thumb-f-ann-r1-0", "thumb-f-ann-r1-1"},
}


def test_a_message_goes_with_its_versions_receipts_files_and_copies(chat: World) -> None:
    result, target = restore(chat, erasure("message", "m-ann-r1"))
    assert gone(chat, target) == {
        "rocketchat_message": {"m-ann-r1", "old"},
        "rocketchat_message_read_receipt": {"rr-m-ann-r1"},
        "rocketchat__trash": {"m-ann-r1"},
        **UPLOADS_OF_MESSAGE,
    }
    rooms = {d["_id"]: d for d in map(bson.decode, target.contents()["rocketchat.rocketchat_room"])}
    assert "lastMessage" not in rooms["r1"]
    assert "lastMessage" in rooms["r2"]
    assert result.proven  # it was compared before
    assert result.erased.unset == 1
    assert result.erased.deleted["rocketchat.rocketchat_uploads.chunks"] == 4
    assert result.notes[-1] == (
        "deleted again by 1 entries of the erasure ledger: 8 documents, 4 chunks of files, 1 copies in rooms"
    )


def test_an_upload_goes_with_its_chunks_and_nothing_else(chat: World) -> None:
    _, target = restore(chat, erasure("upload", "f-bob-r2"))
    assert gone(chat, target) == {
        "rocketchat_uploads": {"f-bob-r2"},
        "rocketchat_uploads.files": {"f-bob-r2"},
        "rocketchat_uploads.chunks": {"f-bob-r2-0", "f-bob-r2-1"},
    }


def test_a_room_goes_with_all_that_is_in_it(chat: World) -> None:
    _, target = restore(chat, erasure("room", "r1"))
    after = ids_of(target)
    assert after["rocketchat_room"] == {"r2"}
    assert after["rocketchat_message"] == {"m-ann-r2", "m-bob-r2"}
    assert after["rocketchat_subscription"] == {"ann-r2", "bob-r2"}
    assert after["rocketchat_uploads.files"] == {
        f"{kind}f-{user}-r2" for kind in ("", "thumb-") for user in ("ann", "bob")
    }
    assert after["users"] == {"ann", "bob"}
    assert after["rocketchat__trash"] == set()


def test_a_user_goes_without_the_messages_which_are_said_separately(chat: World) -> None:
    _, target = restore(chat, erasure("user", "ann"))
    after = ids_of(target)
    assert after["users"] == {"bob"}
    assert after["rocketchat_avatars.files"] == {"a-bob", "f-bob-r2"}
    assert not any("ann" in identity for identity in after["rocketchat_avatars.chunks"])
    assert after["rocketchat_sessions"] == {"s-bob"}
    assert after["rocketchat_subscription"] == {"bob-r1", "bob-r2"}
    assert after["rocketchat_message"] == ids_of(chat.database)["rocketchat_message"]
    _, target = restore(chat, erasure("messages", "ann"))
    after = ids_of(target)
    assert after["users"] == {"ann", "bob"}
    assert after["rocketchat_message"] == {"m-bob-r1", "m-bob-r2"}
    assert not any("ann" in identity for identity in after["rocketchat_uploads.chunks"])
    rooms = map(bson.decode, target.contents()["rocketchat.rocketchat_room"])
    assert not any("lastMessage" in room for room in rooms)


@pytest.mark.parametrize("kind", ERASURE_KINDS)
def test_an_id_that_the_backup_does_not_hold_deletes_nothing(chat: World, kind: str) -> None:
    result, target = restore(chat, erasure(kind, "7vGkYm3qXn2Zr5TdW"))
    assert gone(chat, target) == {}
    assert result.erased == ErasedAgain(1)


def test_what_the_target_held_before_keeps_what_was_erased_elsewhere(chat: World) -> None:
    target = MemoryDatabase("target:27017")
    target.write("other", "users", {"_id": "ann"})
    target.write("rocketchat", "mine", {"_id": "ann"})
    _, target = restore(chat, erasure("user", "ann"), target=target, into_non_empty=True)
    assert {"other.users", "rocketchat.mine"} <= {
        n for n, held in target.contents().items() if len(held) == 1
    }


def test_collections_of_the_target_lose_nothing_and_name_no_file_of_the_backup(chat: World) -> None:
    target = MemoryDatabase("target:27017")
    own = {"_id": "mine", "u": {"_id": "ann"}, "file": {"_id": "f-bob-r1"}}
    target.write("rocketchat", "rocketchat_message", own)
    _, target = restore(
        chat, erasure("messages", "ann"), target=target, into_non_empty=True,
        only=["rocketchat.rocketchat_uploads*"],
    )  # fmt: skip
    after = ids_of(target)
    assert after["rocketchat_message"] == {"mine"}
    assert "f-bob-r1" in after["rocketchat_uploads"]
    assert "f-ann-r1" not in after["rocketchat_uploads"]


def test_of_a_database_that_is_restored_under_another_name_it_is_deleted_too(chat: World) -> None:
    _, target = restore(chat, erasure("room", "r1"), renames=[("rocketchat", "rescued")])
    rooms = target.contents()["rescued.rocketchat_room"]
    assert [bson.decode(one)["_id"] for one in rooms] == ["r2"]


def test_without_a_ledger_it_is_said_that_what_was_erased_is_back(chat: World) -> None:
    deps = RestoreDeps(
        chat.catalogue, MemoryDatabase("target:27017"), chat.identities, ListReporter(), chat.clock,
        erasures=lambda: LedgerReading(reason="no setting names it"),
    )  # fmt: skip
    result = restore_set(deps, "latest")
    assert "what was erased on purpose comes back: no setting names it" in result.plan.reasons
    assert "what was erased on purpose comes back: no setting names it" in result.notes


def test_the_plan_says_what_will_be_deleted_again_and_a_dry_run_deletes_nothing(chat: World) -> None:
    result, target = restore(chat, erasure("room", "r1"), erasure("user", "ann"), dry_run=True)
    assert "deleted again afterwards, by the erasure ledger: 1 user, 1 room" in result.plan.reasons
    assert target.contents() == {}


@pytest.fixture
def ledger(world: World) -> ErasureLedger:
    return ErasureLedger(world.state, TRUSTED)


def test_an_erasure_is_noted_once(ledger: ErasureLedger) -> None:
    assert ledger.add(erasure("room", "r1"), SIGNER)
    assert not ledger.add(replace(erasure("room", "r1"), noted=AT + timedelta(days=1)), SIGNER)
    assert ledger.add(erasure("user", "r1"), SIGNER)
    assert ledger.read() == LedgerReading((erasure("room", "r1"), erasure("user", "r1")))


def put_unsigned(state: MemoryBlobs) -> None:
    state.create("erasures/room.r1.json", b'{"kind": "room"}')


def put_strangers(state: MemoryBlobs) -> None:
    state.create("erasures/room.r1.json", Signer.generate().sign(erasure("room", "r1")))


def put_renamed(state: MemoryBlobs) -> None:
    state.create("erasures/room.r1.json", SIGNER.sign(erasure("room", "r2")))


def put_elsewhere(state: MemoryBlobs) -> None:
    state.create("erasures/everything.json", SIGNER.sign(erasure("room", "r1")))


@pytest.mark.parametrize("put", [put_unsigned, put_strangers, put_renamed, put_elsewhere])
def test_what_a_stranger_puts_into_the_ledger_deletes_nothing_and_is_named(
    world: World, ledger: ErasureLedger, put: Callable[[MemoryBlobs], None]
) -> None:
    put(world.state)
    reading = ledger.read_for_restore()
    assert reading.entries == ()
    assert [name.partition("/")[0] for name, _ in reading.ignored] == ["erasures"]


def test_without_a_trusted_signer_no_entry_is_believed(world: World, ledger: ErasureLedger) -> None:
    ledger.add(erasure("room", "r1"), SIGNER)
    assert ErasureLedger(world.state, ()).read().entries == ()


def test_a_ledger_that_cannot_be_read_ends_no_restore(world: World) -> None:
    class Silent:
        def list(self, *_: object) -> None:
            raise Unavailable("cannot reach container groundcrew")

    reading = ErasureLedger(Silent(), TRUSTED).read_for_restore()  # type: ignore[arg-type]
    assert "the erasure ledger cannot be read" in reading.describe()


@pytest.mark.parametrize("subject", ["ann@example.org", "Ann Example", "ann.example", "", "x" * 81])
def test_what_may_be_a_name_or_an_address_is_no_id(subject: str) -> None:
    with pytest.raises(UsageError, match="not an id"):
        parse_erasure("user", subject, AT, AT)


def test_an_erasure_of_tomorrow_is_refused() -> None:
    with pytest.raises(UsageError, match="in the future"):
        parse_erasure("user", "ann", AT + timedelta(days=1), AT)


def test_a_drill_deletes_it_again_on_its_scratch_server_and_says_so() -> None:
    drills = DrillWorld()
    fill_chat(drills.world.database)
    drills.seal()
    ErasureLedger(drills.world.state, TRUSTED).add(erasure("upload", "f-ann-r1"), SIGNER)
    assert drills.drill().outcome == "proven"
    assert any("deleted again by 1 entries" in note and "2 chunks" in note for note in drills.reporter.notes)
