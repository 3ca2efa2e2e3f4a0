"""What a replay does with the entries of servers newer, older or stranger than ours: skip, apply or stop."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.binary import Binary

from shared.adapters.mongodb.client import Client
from shared.adapters.mongodb.inserting import Inserter
from shared.adapters.mongodb.replay import replay_entries
from shared.formats.documents import MAX_DOCUMENT_BYTES
from shared.kernel.errors import Corrupt
from shared.mongodb.indexes import apply_index_changes
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import (
    extract_index_change,
    find_hazard,
    skip_torn_start,
    unpack_operations,
)
from shared.mongodb.scope import OperationFilter, ReplayScope

ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}


def entry(op: str, ns: str, o: dict[str, Any], at: int = 1, **more: Any) -> bytes:
    return bson.encode({"op": op, "ns": ns, "o": o, "ts": bson.Timestamp(1_700_000_000, at), **more})


def command(o: dict[str, Any], db: str = "db", **more: Any) -> bytes:
    return entry("c", f"{db}.$cmd", o, **more)


class RecordingServer:
    """Takes every command and writes it down; has `applyOps` like a mongod."""

    def __init__(self, db: str = "") -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self._db = db

    def __getitem__(self, db: str) -> RecordingServer:
        server = RecordingServer(db)
        server.commands = self.commands
        return server

    def get_database(self, db: str, **_: object) -> RecordingServer:
        return self[db]

    @property
    def admin(self) -> RecordingServer:
        return self["admin"]

    def command(self, body: dict[str, Any]) -> dict[str, Any]:
        self.commands.append((self._db, body))
        return {"n": len(body.get("documents", [])), "ok": 1}


def replay(*entries: bytes, scope: ReplayScope | None = None) -> list[tuple[str, list[dict[str, Any]]]]:
    """The commands that reach the server: `applyOps` as what it holds."""
    server = RecordingServer()
    client: Client = server  # type: ignore[assignment]
    replay_entries(client, iter(entries), OperationFilter(scope), Inserter(client))
    return [
        (
            db,
            [{**op, "o": bson.decode(op["o"].raw)} for op in body["applyOps"]]
            if "applyOps" in body
            else [body],
        )
        for db, body in server.commands
    ]


nested = pytest.mark.parametrize("inside", [False, True], ids=["alone", "in applyOps"])


def wrapped(raw: bytes, inside: bool) -> bytes:
    if not inside:
        return raw
    inner = {k: v for k, v in bson.decode(raw).items() if k != "ts"}
    return command({"applyOps": [inner]}, "admin")


@nested
@pytest.mark.parametrize(
    "name", ["dropIdent", "startIndexBuild", "abortIndexBuild", "setMultikeyMetadata", "dbCheck"]
)
def test_what_a_server_does_for_itself_is_skipped(name: str, inside: bool) -> None:
    raw = wrapped(command({name: "c", "indexes": []}), inside)
    assert replay(raw) == []
    assert find_hazard(raw) is None


STOPPING = [
    ("truncateRange", command({"truncateRange": "db.c", "minRecordId": b"1", "maxRecordId": b"2"})),
    ("importCollection", command({"importCollection": "db.c"})),
    ("upgradeDowngradeViewlessTimeseries", command({"upgradeDowngradeViewlessTimeseries": "c"})),
    ("splitTheMoon", command({"splitTheMoon": "c"})),
    ("xi", entry("xi", "db.c", {"_id": 1})),
]


@nested
@pytest.mark.parametrize(("name", "raw"), STOPPING, ids=[name for name, _ in STOPPING])
def test_what_no_replay_can_do_stops_with_its_name_and_reaches_no_server(
    name: str, raw: bytes, inside: bool
) -> None:
    with pytest.raises(Corrupt, match=rf"{name} in db\.c at 1700000000\.1"):
        replay(wrapped(raw, inside))
    assert name in (find_hazard(wrapped(raw, inside)) or "")


@pytest.mark.parametrize(("name", "raw"), STOPPING, ids=[name for name, _ in STOPPING])
def test_what_no_replay_can_do_is_skipped_in_somebody_elses_database(name: str, raw: bytes) -> None:
    assert name
    assert replay(raw, scope=ReplayScope(frozenset({"rc.c"}), frozenset({"rc"}))) == []
    with pytest.raises(Corrupt):
        replay(raw, scope=ReplayScope(frozenset({"db.c"})))


@pytest.mark.parametrize("names", [("db.c", "rc.d"), ("rc.d", "db.c")])
def test_a_rename_into_or_out_of_the_scope_stops(names: tuple[str, str]) -> None:
    scope = ReplayScope(frozenset({"rc.c"}), frozenset({"rc"}))
    with pytest.raises(Corrupt, match="renameCollection"):
        replay(command({"renameCollection": names[0], "to": names[1]}), scope=scope)


def test_a_rename_within_the_scope_is_replayed_in_place_of_what_has_the_new_name() -> None:
    scope = ReplayScope(frozenset({"rc.c"}), frozenset({"rc"}))
    raw = command({"renameCollection": "rc.c", "to": "rc.d", "dropTarget": bson.Binary(b"0" * 16, 4)})
    (name, (entry_,)) = replay(raw, scope=scope)[0]
    assert name == "admin"
    assert entry_["o"] == {"renameCollection": "rc.c", "to": "rc.d", "dropTarget": True}
    assert find_hazard(raw, renames=True) is None
    assert "renameCollection" in (find_hazard(raw) or ""), "in the window of a dump it still is one"


def test_options_of_the_sources_cluster_are_not_replayed() -> None:
    raw = command({"create": "c", "recordIdsReplicated": True, "capped": True, "size": 5})
    assert replay(raw) == [
        ("admin", [{"op": "c", "ns": "db.$cmd", "o": {"create": "c", "capped": True, "size": 5}}])
    ]


def test_modifiers_of_old_storage_engines_are_dropped() -> None:
    assert replay(command({"collMod": "c", "noPadding": True, "usePowerOf2Sizes": True})) == []
    mixed = replay(command({"collMod": "c", "noPadding": True, "validationLevel": "off"}))
    assert mixed[0][1][0]["o"] == {"collMod": "c", "validationLevel": "off"}


def final(before: list[dict[str, Any]], *bodies: dict[str, Any]) -> Any:
    operations = [one for one in unpack_operations(map(command, bodies)) if one is not None]
    changes = [change for one in operations if (change := extract_index_change(one))]
    return apply_index_changes({"db.c": before}, changes)["db.c"]


A = {"v": 2, "key": {"a": 1, "b": 1}, "name": "a_1_b_1"}
B = {"v": 2, "key": {"b": 1, "a": 1}, "name": "b_1_a_1"}


def modify(**index: object) -> dict[str, Any]:
    return {"collMod": "c", "index": index}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ([ID, A, B], modify(keyPattern={"a": 1, "b": 1}, hidden=True), [ID, {**A, "hidden": True}, B]),
        ([ID, A, B], modify(keyPattern={"b": 1, "a": 1}, hidden=True), [ID, A, {**B, "hidden": True}]),
        ([ID, A], modify(keyPattern={"z": 1}, hidden=True), [ID, A]),
        ([ID, {**A, "unique": True}], modify(name="a_1_b_1", forceNonUnique=True), [ID, A]),
        (
            [ID, {**A, "unique": True}],
            modify(name="a_1_b_1", forceNonUnique=False),
            [ID, {**A, "unique": True}],
        ),
        (
            [ID, {**A, "prepareUnique": True}],
            modify(name="a_1_b_1", unique=True),
            [ID, {**A, "unique": True}],
        ),
    ],
)
def test_an_index_is_modified_by_name_or_by_its_fields(before: list, change: dict, after: list) -> None:
    assert final(before, change) == after


def test_a_single_write_that_is_longer_than_a_command_may_be_goes_as_an_insert() -> None:
    large = {"_id": 1, "data": bytes(MAX_DOCUMENT_BYTES - 40)}
    (db, (body,)), *rest = replay(entry("i", "db.c", large))
    assert (db, body["insert"], rest) == ("db", "c", [])
    ((db, operations),) = replay(entry("i", "db.c", {"_id": 1, "data": bytes(1000)}))
    assert (db, operations[0]["op"]) == ("admin", "i")


LSID = {"lsid": {"id": Binary(b"s" * 16, 4)}, "txnNumber": bson.Int64(7)}


def linked(inner: int, before: int, at: int, **o: object) -> bytes:
    body = {"applyOps": [{"op": "i", "ns": "db.c", "o": {"_id": inner}}], **o}
    previous = {"ts": bson.Timestamp(5, 5) if before else bson.Timestamp(0, 0), "t": bson.Int64(1)}
    return command(body, "admin", at=at, prevOpTime=previous, **LSID)


COMMIT = command({"commitTransaction": 1}, "admin", at=1, **LSID)
ABORT = command({"abortTransaction": 1}, "admin", at=1, prevOpTime={"ts": bson.Timestamp(5, 5)}, **LSID)
WRITE = entry("i", "db.c", {"_id": 9}, at=2)
START = Timestamp(1_700_000_000, 1)


@pytest.mark.parametrize("first", [linked(1, before=1, at=1), COMMIT], ids=["chain", "prepared"])
def test_the_end_of_an_earlier_transaction_at_the_start_of_the_window_is_in_the_dump(first: bytes) -> None:
    assert list(skip_torn_start([first, WRITE], START)) == [WRITE]
    with pytest.raises(Corrupt):
        list(unpack_operations([first, WRITE]))


@pytest.mark.parametrize(
    "entries",
    [
        [WRITE],
        [linked(1, before=0, at=1), WRITE],
        [linked(1, before=1, at=1, partialTxn=True), WRITE],
        [linked(1, before=1, at=1, prepare=True), WRITE],
        [ABORT, WRITE],
        [linked(1, before=1, at=3), WRITE],
        [entry("n", "", {"msg": "x"}), linked(1, before=1, at=1)],
    ],
    ids=[
        "a write",
        "a whole one",
        "its middle",
        "prepared",
        "its abort",
        "later than the start",
        "not the first",
    ],
)
def test_nothing_else_is_left_out_at_the_start_of_the_window(entries: list[bytes]) -> None:
    assert list(skip_torn_start(entries, START)) == entries
