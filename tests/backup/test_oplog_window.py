"""What of the oplog gets into a set, and what begins the set again: read at dump time as a restore does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup import job as backup
from shared.backup.catalogue import SetState
from shared.backup.decide import includes_namespace
from shared.backup.oplog_window import select_entries, strip_excluded
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import MAX_OPLOG_ENTRY_BYTES, split_documents
from shared.formats.envelope import read_part
from shared.kernel.errors import Corrupt, Inconsistent
from shared.mongodb.model import Namespace, Timestamp
from shared.mongodb.oplog import unpack_operations
from shared.policy import BackupPolicy

START = Timestamp(100, 1)
NULL_OPTIME = {"ts": bson.Timestamp(0, 0), "t": bson.Int64(-1)}


def only_chat(db: str, collection: str) -> bool:
    return db in ("rocketchat", "admin", "config") and collection != "secrets"


def entry(at: int, op: str, ns: str, o: dict[str, Any], **more: Any) -> bytes:
    return bson.encode({"op": op, "ns": ns, "o": o, "ts": bson.Timestamp(at, 1), **more})


def insert(at: int, ns: str, value: object = 1) -> bytes:
    return entry(at, "i", ns, {"_id": value})


def inner(ns: str, value: object = 1) -> dict[str, Any]:
    return {"op": "i", "ns": ns, "o": {"_id": value}}


def transaction(at: int, operations: list[dict[str, Any]], previous: int = 0, **flags: bool) -> bytes:
    before = {"ts": bson.Timestamp(previous, 1), "t": bson.Int64(1)} if previous else NULL_OPTIME
    lsid = {"id": bson.Binary(b"1" * 16, 4)}
    body = {"applyOps": operations, **flags}
    return entry(at, "c", "admin.$cmd", body, lsid=lsid, txnNumber=bson.Int64(1), prevOpTime=before)


def stored(*entries: bytes) -> list[bytes]:
    return list(select_entries([b"".join(entries[:2]), *entries[2:]], START, only_chat))


def test_entries_of_what_policy_includes_are_stored_as_they_are() -> None:
    entries = [insert(100, "rocketchat.a"), insert(101, "rocketchat.b"), insert(102, "rocketchat.a", 2)]
    assert stored(*entries) == entries


@pytest.mark.parametrize(
    "foreign",
    [
        insert(101, "billing.cards"),
        insert(101, "rocketchat.secrets"),
        entry(101, "u", "billing.cards", {"$v": 2}, o2={"_id": 1}),
        entry(101, "d", "billing.cards", {"_id": 1}),
        entry(101, "n", "billing.cards", {"_id": 1, "card": "4111"}),
        entry(101, "c", "billing.$cmd", {"create": "new"}),
        entry(101, "c", "rocketchat.$cmd", {"create": "secrets"}),
        entry(101, "c", "billing.$cmd", {"dropDatabase": 1}),
        entry(101, "c", "billing.$cmd", {"renameCollection": "billing.tmp", "to": "billing.report"}),
        entry(101, "c", "billing.$cmd", {"importCollection": "billing.x"}),
        entry(101, "i", "billing.system.views", {"_id": "billing.v", "viewOn": "cards"}),
        entry(101, "i", "rocketchat.system.views", {"_id": "rocketchat.secrets", "viewOn": "a"}),
        entry(101, "i", "billing.system.buckets.weather", {"_id": 1}),
        entry(101, "i", "rocketchat.system.buckets.secrets", {"_id": 1}),
        entry(101, "c", "admin.$cmd", {"applyOps": [inner("billing.cards")]}),
        entry(101, "c", "admin.$cmd", {"applyOps": [inner("billing.a"), inner("rocketchat.secrets")]}),
    ],
)
def test_entries_of_what_policy_leaves_out_are_not_stored_and_spoil_nothing(foreign: bytes) -> None:
    ours = [insert(100, "rocketchat.a"), insert(102, "rocketchat.b")]
    assert stored(ours[0], foreign, ours[1]) == ours


def test_what_a_server_says_of_itself_is_stored() -> None:
    idle = entry(101, "n", "", {"msg": "periodic noop"})
    assert stored(insert(100, "rocketchat.a"), idle) == [insert(100, "rocketchat.a"), idle]


@pytest.mark.parametrize(
    ("db", "collection", "included"),
    [
        ("rocketchat", "users", True),
        ("rocketchat", "", True),
        ("rocketchat", "cache_a", False),
        ("billing", "users", False),
        ("billing", "", False),
        ("admin", "system.users", True),
        ("config", "transactions", True),
    ],
)
def test_policy_says_whose_entries_are_included(db: str, collection: str, included: bool) -> None:
    policy = BackupPolicy(databases=["rocketchat"], exclude=("cache_*",))
    assert includes_namespace(policy, db, collection) is included


def test_of_a_transaction_only_our_part_is_stored_and_it_still_belongs_together() -> None:
    first = transaction(100, [inner("billing.cards"), inner("rocketchat.a", "x")], partialTxn=True)
    middle = transaction(101, [inner("billing.cards", 2)], 100, partialTxn=True)
    last = transaction(102, [inner("rocketchat.b", "y"), inner("rocketchat.secrets", "z")], 101)
    found = stored(first, middle, last)
    assert len(found) == 3
    assert b"billing" not in b"".join(found)
    assert b"secrets" not in b"".join(found)
    operations = [op for op in unpack_operations(found) if op is not None]
    assert [op.name for op in operations] == ["rocketchat.a", "rocketchat.b"]


def test_a_nested_command_is_stripped_too() -> None:
    nested = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [inner("billing.a"), inner("rocketchat.b")]}}
    (found,) = stored(entry(100, "c", "admin.$cmd", {"applyOps": [nested]}))
    assert b"billing" not in found
    assert b"rocketchat.b" in found


@pytest.mark.parametrize(
    ("ns", "source", "to"),
    [
        ("rocketchat.$cmd", "rocketchat.a", "rocketchat.b"),
        ("billing.$cmd", "billing.a", "rocketchat.b"),
        ("rocketchat.$cmd", "rocketchat.a", "billing.b"),
    ],
    ids=["within", "into ours", "out of ours"],
)
def test_a_rename_that_touches_what_the_set_holds_spoils_it(ns: str, source: str, to: str) -> None:
    rename = entry(101, "c", ns, {"renameCollection": source, "to": to})
    with pytest.raises(Inconsistent, match="renameCollection"):
        stored(insert(100, "rocketchat.a"), rename)


def test_a_hazard_right_at_the_start_is_in_the_catalogue_and_is_left_out() -> None:
    rename = entry(100, "c", "rocketchat.$cmd", {"renameCollection": "rocketchat.a", "to": "rocketchat.b"})
    assert stored(rename, insert(101, "rocketchat.a")) == [insert(101, "rocketchat.a")]


def test_resharding_spoils_a_dump_whatever_policy_includes() -> None:
    with pytest.raises(Inconsistent, match="resharding"):
        stored(
            insert(100, "rocketchat.a"), entry(101, "c", "config.$cmd", {"create": "localReshardingOps.x"})
        )


def test_a_transaction_that_ends_at_the_start_is_in_the_dump_and_is_left_out() -> None:
    ends = transaction(100, [inner("rocketchat.a")], 99)
    assert stored(ends, insert(101, "rocketchat.b")) == [insert(101, "rocketchat.b")]


@pytest.mark.parametrize(
    "later",
    [
        [transaction(101, [inner("rocketchat.a")], 99)],
        [transaction(101, [inner("rocketchat.a")], 99, partialTxn=True), transaction(102, [], 101)],
        [entry(101, "c", "admin.$cmd", {"commitTransaction": 1}, lsid={}, txnNumber=bson.Int64(1))],
    ],
    ids=["its end", "its middle and its end", "the commit of a prepared one"],
)
def test_a_transaction_that_began_before_the_window_spoils_it(later: list[bytes]) -> None:
    with pytest.raises(Inconsistent, match="transaction"):
        stored(insert(100, "rocketchat.b"), *later)


def test_a_command_that_no_restore_can_replay_spoils_the_dump() -> None:
    with pytest.raises(Inconsistent, match="importCollection"):
        stored(
            insert(100, "rocketchat.a"),
            entry(101, "c", "rocketchat.$cmd", {"importCollection": "rocketchat.x"}),
        )
    with pytest.raises(Inconsistent, match="mergeWorlds"):
        stored(insert(100, "rocketchat.a"), entry(101, "c", "rocketchat.$cmd", {"mergeWorlds": "a"}))


def test_an_entry_of_the_largest_document_is_stored_and_a_larger_one_spoils_the_dump() -> None:
    frame = len(entry(101, "i", "rocketchat.a", {"_id": 1, "data": b""}))
    largest = entry(101, "i", "rocketchat.a", {"_id": 1, "data": bytes(MAX_OPLOG_ENTRY_BYTES - frame)})
    assert len(largest) == MAX_OPLOG_ENTRY_BYTES
    assert stored(largest) == [largest]
    with pytest.raises(Inconsistent, match="bytes"):
        stored(entry(101, "i", "rocketchat.a", {"_id": 1, "data": bytes(MAX_OPLOG_ENTRY_BYTES - frame + 1)}))


def test_a_malformed_entry_spoils_the_dump_by_name() -> None:
    with pytest.raises(Inconsistent, match="malformed"):
        stored(bson.encode({"op": "i", "ns": "rocketchat.a", "ts": bson.Timestamp(101, 1)}))


def test_what_is_not_stripped_is_the_very_same_bytes() -> None:
    odd = entry(101, "c", "admin.$cmd", {"applyOps": [inner("rocketchat.a")], "x": bson.Int64(3)})
    assert strip_excluded(odd, only_chat) is odd


# Through the whole job.


class Racing(MemoryDatabase):
    """A transaction of two entries begins between the look at the oplog and the look at open transactions."""

    armed = False

    def log_part(self, value: str, previous: Timestamp | None, **flags: bool) -> Timestamp:
        before = bson.Timestamp(previous.seconds, previous.ordinal) if previous else bson.Timestamp(0, 0)
        self._log_entry(
            {
                "op": "c",
                "ns": "admin.$cmd",
                "o": {"applyOps": [inner("rocketchat.c0", value)], **flags},
                "lsid": {"id": bson.Binary(b"1" * 16, 4)},
                "txnNumber": bson.Int64(1),
                "prevOpTime": {"ts": before, "t": bson.Int64(1)},
            }
        )
        self._documents["rocketchat.c0"][bson.encode({"_id": value})] = bson.encode({"_id": value})
        return self._oplog[-1][0]


def test_a_torn_transaction_begins_the_set_again(make_world) -> None:
    world = make_world(400, database=Racing())
    world.seed()
    first = world.database.log_part("a", None, partialTxn=True)
    backup.run_nightly(world.job())  # the window begins at the first part; as if it began a moment later:
    torn = world.catalogue.entries()[0].info
    world.database._oplog = [(at, raw) for at, raw in world.database._oplog if at != first]
    second = world.database.log_part("b", first, partialTxn=True)
    world.database._oplog.insert(
        0,
        (
            first,
            bson.encode({"op": "n", "ns": "", "o": {}, "ts": bson.Timestamp(first.seconds, first.ordinal)}),
        ),
    )
    world.database.log_part("c", second)
    done = world.work(world.job(), between=lambda: world.clock.advance(timedelta(seconds=5)))
    assert "a transaction began before" in " ".join(done)
    assert [info.id for info in world.in_state(SetState.FAILED)] == [torn.id]
    assert len(world.sealed()) == 1
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert target.contents() == world.database.contents()


def test_a_dump_begins_where_the_oldest_open_transaction_began(world) -> None:
    class Open(MemoryDatabase):
        def find_oldest_open_transaction(self) -> Timestamp | None:
            return self._oplog[0][0]

    world.database.__class__ = Open
    oldest, newest = world.database.read_oplog_window()
    assert oldest < newest
    backup.run_nightly(world.job())
    world.work(world.job())
    assert world.manifest(world.sealed()[0]).oplog.start == str(oldest)


def test_a_set_holds_nothing_of_a_database_that_policy_leaves_out(world) -> None:
    job = world.job()
    job.__dict__["policy"] = job.policy.model_copy(update={"databases": ("rocketchat",)})
    world.database.write("billing", "cards", {"_id": "4111"})
    backup.run_nightly(job)
    world.database.write("billing", "cards", {"_id": "4222"})
    world.database.create_collection(Namespace("billing", "tmp"))
    world.database.rename("billing", "tmp", "report")
    world.work(job)
    (info,) = world.sealed()
    manifest = world.manifest(info)
    blob = info.folder + manifest.parts[0].blob
    plain = read_part(world.backups.stream(blob), world.identities, name=blob)
    entries = [
        raw
        for event in ArchiveReader(plain, name=blob)
        if isinstance(event, DocumentBatch) and (event.db, event.collection) == OPLOG
        for raw in split_documents(event.batch)
    ]
    assert not [raw for raw in entries if b"billing" in raw or b"4222" in raw]
    assert world.restore(MemoryDatabase("target:27017")).proven


@pytest.mark.parametrize("body", [{}, {"o": 5}, {"o": "drop"}, {"o": [1]}, {"o": None}])
def test_a_command_whose_body_is_no_document_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="an oplog entry is malformed"):
        strip_excluded(bson.encode({"op": "c", "ns": "rocketchat.$cmd", **body}), lambda _db, _name: True)
