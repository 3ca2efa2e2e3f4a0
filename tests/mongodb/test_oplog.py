"""What raw entries of the oplog amount to, in both dialects."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Binary, Int64
from bson.datetime_ms import DatetimeMS

from shared.adapters.mongodb.inserting import has_empty_timestamp
from shared.adapters.mongodb.replay import (
    BATCH_BYTES,
    BATCH_OPERATIONS,
    build_apply_ops_entry,
    group_operations,
)
from shared.kernel.errors import Corrupt
from shared.mongodb.indexes import apply_index_changes
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import (
    Operation,
    extract_index_change,
    find_hazard,
    read_timestamp,
    strip_index_changes,
    unpack_operations,
)

SESSION = {"id": Binary(b"s" * 16, 4), "uid": b"u" * 32}
OTHER = {"id": Binary(b"t" * 16, 4), "uid": b"u" * 32}
ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
A = {"v": 2, "key": {"a": 1}, "name": "a_1"}
B = {"v": 2, "key": {"b": -1}, "name": "b_-1", "unique": True}


def entry(op: str, ns: str, o: dict[str, Any], at: int = 1, **more: Any) -> bytes:
    """As a server writes it, with what does not matter here too."""
    head = {"op": op, "ns": ns, "ui": Binary(b"i" * 16, 4), "o": o}
    return bson.encode(
        {**head, **more, "ts": bson.Timestamp(1_700_000_000, at), "t": Int64(1), "v": Int64(2)}
    )


def command(ns: str, o: dict[str, Any], at: int = 1, **more: Any) -> bytes:
    return entry("c", f"{ns}.$cmd", o, at, **more)


def transaction(inner: list[dict[str, Any]], session: Any = SESSION, number: int = 7, **flags: Any) -> bytes:
    return command("admin", {"applyOps": inner, **flags}, lsid=session, txnNumber=Int64(number))


def linked(inner: list[dict[str, Any]], previous: bson.Timestamp, **more: Any) -> bytes:
    """A part of a transaction that says, as mongod's do, which entry came before it."""
    flags = {"partialTxn": True} if more.pop("partial", False) else {}
    link = {"ts": previous, "t": Int64(1)}
    body = {"applyOps": inner, **flags}
    return command("admin", body, lsid=SESSION, txnNumber=Int64(7), prevOpTime=link, **more)


def ending(name: str, session: Any = SESSION, number: int = 7) -> bytes:
    return command("admin", {name: 1}, lsid=session, txnNumber=Int64(number))


def insert(identity: int) -> dict[str, Any]:
    return {"op": "i", "ns": "db.c", "ui": Binary(b"i" * 16, 4), "o": {"_id": identity}}


def seen(*entries: bytes) -> list[Any]:
    """Each write as (op, name, its id), each command as its body, None as None."""
    result: list[Any] = []
    for operation in unpack_operations(entries):
        if operation is None:
            result.append(None)
        elif operation.op == "c":
            result.append((operation.name, bson.decode(operation.o)))
        else:
            body = bson.decode(operation.o2 or operation.o)
            result.append((operation.op, operation.name, body.get("_id")))
    return result


def one(raw: bytes) -> Operation:
    (operation,) = unpack_operations([raw])
    assert operation is not None
    return operation


# --- hazards ---


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(
            command("db", {"renameCollection": "db.a", "to": "db.b"}), "renameCollection of db.a", id="rename"
        ),
        pytest.param(command("db", {"importCollection": "db.a"}), "importCollection of db.a", id="import"),
        pytest.param(entry("u", "admin.system.version", {"_id": 1}), "version document", id="version"),
        pytest.param(
            command("config", {"create": "localReshardingOperations.donor"}), "resharding", id="reshard"
        ),
        pytest.param(
            command("db", {"upgradeDowngradeViewlessTimeseries": "x"}), "upgradeDowngrade", id="time series"
        ),
        pytest.param(
            transaction([{"op": "c", "ns": "db.$cmd", "o": {"renameCollection": "db.a", "to": "db.b"}}]),
            "renameCollection of db.a",
            id="rename within applyOps",
        ),
    ],
)
def test_what_spoils_a_dump_is_named(raw: bytes, said: str) -> None:
    assert said in (find_hazard(raw) or "")


@pytest.mark.parametrize("inside", [False, True])
def test_where_renames_are_replayed_the_other_commands_spoil_it_as_before(inside: bool) -> None:
    def found(body: dict[str, Any]) -> str:
        raw = transaction([{"op": "c", "ns": "db.$cmd", "o": body}]) if inside else command("db", body)
        return find_hazard(raw, renames=True) or ""

    assert found({"renameCollection": "db.a", "to": "db.b"}) == ""
    assert found({"importCollection": "db.a"}) == "importCollection of db.a"
    assert found({"reshardCollection": "db.a"}) == "reshardCollection of db.a"
    assert "which no restore can replay" in found({"madeUp": "a"})


@pytest.mark.parametrize(
    "raw",
    [
        entry("i", "db.c", {"_id": 1, "renameCollection": 1}),
        entry("n", "", {"msg": "renameCollection"}),
        entry("n", "admin.system.version", {"msg": "x"}),
        command("db", {"create": "resharding", "renameCollection": 1}),
        command("db", {"drop": "renameCollection"}),
        transaction([insert(1)]),
        transaction([]),
        ending("commitTransaction"),
        entry("u", "admin.system.users", {"_id": 1}),
        entry("i", "db.system.version", {"_id": 1}),
    ],
)
def test_everything_else_leaves_a_dump_whole(raw: bytes) -> None:
    assert find_hazard(raw) is None


# --- operations ---


def test_writes_keep_their_bytes_and_say_when_they_happened() -> None:
    o, o2 = {"$v": 2, "diff": {"u": {"x": DatetimeMS(2**62)}}}, {"_id": 5}
    operation = one(entry("u", "db.a.b.c", o, at=3, o2=o2))
    assert (operation.db, operation.collection, operation.at) == ("db", "a.b.c", "1700000000.3")
    assert (operation.o, operation.o2) == (bson.encode(o), bson.encode(o2))
    assert read_timestamp(entry("n", "", {}, at=3)) == Timestamp(1_700_000_000, 3)


@pytest.mark.parametrize(
    ("namespace", "kept"),
    [
        ("db.c", True),
        ("db.system.js", True),
        ("db.system.views", True),
        ("db.system.buckets.ts", True),
        ("admin.mine", True),
        ("configuration.c", True),
        ("locals.c", True),
        ("config.transactions", False),
        ("local.oplog.rs", False),
        ("admin.system.users", False),
        ("admin.system.keys", False),
        ("__mdb_internal_search.c", False),
        ("", False),
    ],
)
def test_the_servers_own_affairs_are_skipped_and_nothing_else(namespace: str, kept: bool) -> None:
    inner = {"op": "i", "ns": namespace, "o": {"_id": 1}}
    for raw in (entry("i", namespace, {"_id": 1}), transaction([inner])):
        assert seen(raw) == ([("i", namespace, 1)] if kept else [None])


@pytest.mark.parametrize("op", ["n", "km", "ci", "cd", "cu"])
def test_entries_that_change_no_document_are_skipped(op: str) -> None:
    assert seen(entry(op, "db.c", {"msg": "periodic noop"})) == [None]


@pytest.mark.parametrize("name", ["startIndexBuild", "abortIndexBuild", "dbCheck", "setMultikeyMetadata"])
def test_commands_that_a_server_does_for_itself_are_skipped(name: str) -> None:
    assert seen(command("db", {name: "c"})) == [None]


def test_a_transaction_in_one_entry_is_unpacked() -> None:
    update = {"op": "u", "ns": "db.c", "o": {"$v": 2, "diff": {"u": {"x": 1}}}, "o2": {"_id": 4}}
    create = {"op": "c", "ns": "db.$cmd", "o": {"create": "new", "idIndex": ID}}
    raw = transaction([insert(1), update, {"op": "d", "ns": "db.c", "o": {"_id": 5}}, create])
    assert seen(raw) == [
        ("i", "db.c", 1),
        ("u", "db.c", 4),
        ("d", "db.c", 5),
        ("db.new", {"create": "new", "idIndex": ID}),
    ]


def test_a_batch_of_inserts_without_a_session_is_unpacked() -> None:
    raw = command("admin", {"applyOps": [insert(1), insert(2)]}, multiOpType=1)
    assert seen(raw) == [("i", "db.c", 1), ("i", "db.c", 2)]


def test_apply_ops_within_apply_ops_is_unpacked() -> None:
    inner = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [insert(2), {"op": "n", "ns": "", "o": {}}]}}
    assert seen(transaction([insert(1), inner, insert(3)])) == [("i", "db.c", n) for n in (1, 2, 3)]


def test_the_parts_of_a_large_transaction_wait_for_the_last() -> None:
    entries = [
        transaction([insert(1)], partialTxn=True),
        transaction([insert(10)], OTHER, partialTxn=True),
        transaction([insert(20)], SESSION, 8, partialTxn=True),
        entry("i", "db.c", {"_id": 99}),
        transaction([insert(2)], partialTxn=True),
        transaction([insert(3)], count=Int64(3)),
        transaction([insert(11)], OTHER),
    ]
    expected = [None, None, None, 99, None, 1, 2, 3, 10, 11]
    assert [s and s[2] for s in seen(*entries)] == expected


def test_a_prepared_transaction_waits_for_its_commit() -> None:
    entries = [
        transaction([insert(1)], partialTxn=True),
        transaction([insert(2)], prepare=True),
        entry("i", "db.c", {"_id": 99}),
        ending("commitTransaction"),
    ]
    assert [s and s[2] for s in seen(*entries)] == [None, None, 99, 1, 2]


def test_an_aborted_transaction_never_happened() -> None:
    entries = [
        transaction([insert(1)], partialTxn=True),
        transaction([insert(2)], prepare=True),
        ending("abortTransaction"),
        ending("abortTransaction", OTHER),
        transaction([insert(3)], number=8),
    ]
    assert [s and s[2] for s in seen(*entries)] == [None, None, None, None, 3]


def test_a_transaction_that_is_not_complete_at_the_end_never_happened() -> None:
    assert seen(transaction([insert(1)], partialTxn=True)) == [None]
    assert seen(transaction([insert(1)], prepare=True)) == [None]


def test_a_commit_of_what_began_before_the_first_entry_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="never prepared"):
        seen(ending("commitTransaction"))


NOTHING_BEFORE, BEFORE = bson.Timestamp(0, 0), bson.Timestamp(3, 1)


def test_a_transaction_whose_first_part_is_before_the_first_entry_is_not_applied_in_part() -> None:
    torn = [linked([insert(2)], BEFORE, partial=True), linked([insert(3)], BEFORE, multiOpType=0)]
    for entries in (torn, torn[1:]):
        with pytest.raises(Corrupt, match=r"began before the first oplog entry: 1700000000\.1"):
            seen(*entries)


def test_a_transaction_that_is_torn_but_never_ends_never_happened() -> None:
    assert seen(linked([insert(2)], BEFORE, partial=True), ending("abortTransaction")) == [None, None]


def test_the_linked_parts_of_a_whole_transaction_are_unpacked() -> None:
    parts = [linked([insert(1)], NOTHING_BEFORE, partial=True), linked([insert(2)], BEFORE)]
    assert [s and s[2] for s in seen(*parts)] == [None, 1, 2]
    assert [s[2] for s in seen(linked([insert(1)], NOTHING_BEFORE))] == [1]


def test_retryable_writes_that_share_an_entry_stand_for_themselves_though_they_are_linked() -> None:
    assert [s[2] for s in seen(linked([insert(1)], BEFORE, multiOpType=1))] == [1]


def test_a_prepared_transaction_of_the_servers_own_affairs_may_be_committed() -> None:
    inner = {"op": "i", "ns": "config.x", "o": {"_id": 1}}
    assert seen(transaction([inner], prepare=True), ending("commitTransaction")) == [None, None]


@pytest.mark.parametrize(
    "raw",
    [
        bson.encode({"op": "i", "ns": "db.c", "o": {"_id": 1}}),
        bson.encode({"ts": 5, "op": "i", "ns": "db.c", "o": {"_id": 1}}),
        bson.encode({"ts": bson.Timestamp(1, 1), "op": "i", "ns": "db.c"}),
        entry("i", "db.c", {})[:-3],
        bson.encode({"ts": bson.Timestamp(1, 1), "op": "u", "ns": "db.c", "o": 5}),
        command("db", {}),
        command("admin", {"applyOps": 5}),
        command("admin", {"applyOps": [5]}),
        command("admin", {"applyOps": [{"op": "i", "ns": "db.c"}]}),
        command("admin", {"applyOps": [{"op": "c", "ns": "db.$cmd", "o": {}}]}),
        b"noise",
    ],
)
def test_a_malformed_entry_is_corrupt(raw: bytes) -> None:
    with pytest.raises(Corrupt):
        seen(raw)


@pytest.mark.parametrize(
    ("raw", "name", "subject"),
    [
        (entry("i", "db.c", {"_id": "x"}), "db.c", "db.c"),
        (entry("i", "db.system.views", {"_id": "db.v", "viewOn": "c"}), "db.system.views", "db.v"),
        (entry("u", "db.system.views", {"a": 1}, o2={"_id": "db.v"}), "db.system.views", "db.v"),
        (entry("d", "db.system.views", {"_id": "db.v"}), "db.system.views", "db.v"),
        (entry("i", "db.system.buckets.ts", {"_id": 1}), "db.system.buckets.ts", "db.ts"),
        (command("db", {"create": "system.buckets.ts"}), "db.system.buckets.ts", "db.ts"),
        (command("db", {"create": "system.views"}), "db.system.views", "db.system.views"),
        (command("db", {"drop": "c"}), "db.c", "db.c"),
        (command("db", {"dropDatabase": 1}), "db.", "db."),
    ],
)
def test_operations_know_what_they_are_about(raw: bytes, name: str, subject: str) -> None:
    assert (one(raw).name, one(raw).subject) == (name, subject)


# --- indexes ---

ON = "db.c"


def change(body: dict[str, Any]) -> Any:
    return extract_index_change(one(command("db", body)))


def final(before: list[dict[str, Any]], *bodies: dict[str, Any]) -> Any:
    """The indexes of db.c at the end."""
    changes = [c for body in bodies if (c := change(body))]
    return apply_index_changes({ON: before}, changes).get(ON)


FLAT = {"createIndexes": "c", **A}
LISTED = {"createIndexes": "c", "indexes": [{**A, "entryFormat": 4, "multikey": True}, {**B, "ns": "db.c"}]}
BUILT = {"commitIndexBuild": "c", "indexBuildUUID": Binary(b"b" * 16, 4), "indexes": [A, B]}


@pytest.mark.parametrize(
    ("before", "bodies", "after"),
    [
        pytest.param([ID], [FLAT], [ID, A], id="flat"),
        pytest.param([ID], [LISTED], [ID, A, B], id="listed"),
        pytest.param([ID], [BUILT], [ID, A, B], id="built"),
        pytest.param([ID, A], [FLAT], [ID, A], id="created before the catalogue was read"),
        pytest.param([ID, A, B], [{"dropIndexes": "c", "index": "a_1"}], [ID, B], id="drop by name"),
        pytest.param(
            [ID, A, B], [{"dropIndexes": "c", "index": "a_1", "key": {"a": 1}}], [ID, B], id="and key"
        ),
        pytest.param([ID, A, B], [{"dropIndexes": "c", "index": "*"}], [ID], id="drop all"),
        pytest.param([ID, A, B], [{"deleteIndexes": "c", "index": ["a_1", "b_-1"]}], [ID], id="drop a list"),
        pytest.param([ID, A], [{"deleteIndex": "c", "index": "none"}], [ID, A], id="dropped before"),
        pytest.param([ID], [FLAT, {"dropIndexes": "c", "index": "a_1"}], [ID], id="made and dropped"),
        pytest.param([ID, A], [{"dropIndexes": "c", "index": "*"}, FLAT], [ID, A], id="dropped and made"),
        pytest.param(
            [ID, A],
            [{"collMod": "c", "index": {"name": "a_1", "expireAfterSeconds": 5, "hidden": True}}],
            [ID, {**A, "expireAfterSeconds": 5, "hidden": True}],
            id="changed",
        ),
        pytest.param(
            [ID, {**A, "hidden": True}],
            [{"collMod": "c", "index": {"name": "a_1", "hidden": False}}],
            [ID, A],
            id="a catalogue does not say that an index is not hidden",
        ),
        pytest.param(
            [ID, A],
            [
                {"collMod": "c", "index": {"name": "a_1", "prepareUnique": True}},
                {"collMod": "c", "index": {"name": "a_1", "unique": True}},
            ],
            [ID, {**A, "unique": True}],
            id="made unique",
        ),
        pytest.param(
            [ID], [{"collMod": "c", "index": {"name": "x", "hidden": True}}], [ID], id="changed, gone"
        ),
        pytest.param([ID, A], [{"drop": "c"}], None, id="drop"),
        pytest.param([ID, A], [{"dropDatabase": 1}], None, id="database"),
        pytest.param([ID, A], [{"drop": "c"}, {"create": "c", "idIndex": ID}], [ID], id="made anew"),
        pytest.param(
            [ID, A], [{"drop": "c"}, {"create": "c", "idIndex": ID}, LISTED], [ID, A, B], id="and built"
        ),
        pytest.param([ID, A], [{"drop": "c"}, FLAT], [ID, A], id="made anew by an insert"),
        pytest.param(
            [ID, A], [{"drop": "c"}, {"dropIndexes": "c", "index": "*"}], None, id="drop what is gone"
        ),
        pytest.param([ID, A], [{"drop": "other"}, {"create": "other"}], [ID, A], id="another"),
        pytest.param([ID, A], [{"collMod": "c", "validator": {}}], [ID, A], id="no index meant"),
    ],
)
def test_the_indexes_at_the_end(before: Any, bodies: Any, after: Any) -> None:
    assert final(before, *bodies) == after
    assert final(before, *bodies, *bodies) == after, "replayed twice it came out otherwise"


def test_a_database_that_is_dropped_takes_only_its_own_indexes() -> None:
    dropped = change({"dropDatabase": 1})
    assert apply_index_changes({"db.c": [ID], "db2.c": [ID], "other.db.c": [ID]}, [dropped]).keys() == {
        "db2.c",
        "other.db.c",
    }


def test_a_clustered_collection_has_the_index_it_was_made_with() -> None:
    clustered = {"v": 2, "key": {"_id": 1}, "name": "mine", "unique": True}
    made = change({"create": "new", "clusteredIndex": clustered})
    every = change({"dropIndexes": "new", "index": "*"})
    assert apply_index_changes({}, [made, every]) == {"db.new": [{**clustered, "clustered": True}]}


@pytest.mark.parametrize(
    "body",
    [
        {"create": "v", "viewOn": "c", "pipeline": []},
        {"create": "t", "timeseries": {"timeField": "t"}},
        {"create": "system.buckets.t", "idIndex": ID},
        {"createIndexes": "system.buckets.t", **A},
        {"collMod": "c"},
        {"convertToCapped": "c", "size": 5},
    ],
)
def test_commands_about_something_else_change_no_index(body: dict[str, Any]) -> None:
    assert change(body) is None


@pytest.mark.parametrize(
    "body",
    [
        {"createIndexes": "c"},
        {"createIndexes": "c", "indexes": [5]},
        {"createIndexes": "c", "indexes": {"a": 1}},
        {"commitIndexBuild": "c", "indexes": [{"key": {"a": 1}}]},
        {"dropIndexes": "c", "index": {"a": 1}},
        {"dropIndexes": "c", "index": [1]},
        {"collMod": "c", "index": {"keyPattern": 5, "hidden": True}},
        {"collMod": "c", "index": 5},
    ],
)
def test_a_change_of_indexes_that_names_none_is_corrupt(body: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        change(body)


def test_an_index_over_dates_that_python_cannot_hold_is_read() -> None:
    spec = {**A, "partialFilterExpression": {"at": {"$lt": DatetimeMS(2**60)}}}
    assert change({"createIndexes": "c", **spec}).created == (spec,)


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        (FLAT, None),
        (BUILT, None),
        ({"dropIndexes": "c", "index": "*"}, None),
        ({"collMod": "c", "index": {"name": "a"}}, None),
        ({"collMod": "c"}, None),
        (
            {"collMod": "c", "index": {"name": "a"}, "validator": {"x": 1}, "validationLevel": "off"},
            {"collMod": "c", "validator": {"x": 1}, "validationLevel": "off"},
        ),
        ({"create": "c", "idIndex": ID}, {"create": "c", "idIndex": ID}),
        ({"drop": "c"}, {"drop": "c"}),
    ],
)
def test_what_remains_of_a_command_without_its_indexes(body: dict[str, Any], rest: Any) -> None:
    remains = strip_index_changes(one(command("db", body)))
    assert (remains and bson.decode(remains.o)) == rest


# --- applyOps ---


def test_apply_ops_is_given_neither_uuid_nor_time_nor_session() -> None:
    raw = entry("u", "db.c", {"$v": 2, "diff": {}}, o2={"_id": 1}, lsid=SESSION, txnNumber=Int64(1))
    assert bson.decode(bson.encode(build_apply_ops_entry(one(raw)))) == {
        "op": "u",
        "ns": "db.c",
        "o": {"$v": 2, "diff": {}},
        "o2": {"_id": 1},
    }
    assert "o2" not in build_apply_ops_entry(one(entry("d", "db.c", {"_id": 1})))


def test_commands_go_to_the_command_namespace_of_their_database() -> None:
    given = bson.decode(bson.encode(build_apply_ops_entry(one(command("db", {"drop": "c"})))))
    assert given == {"op": "c", "ns": "db.$cmd", "o": {"drop": "c"}}


def _writes(sizes: list[int]) -> list[Operation]:
    return [Operation("i", "db", "c", bytes(size), b"", str(n)) for n, size in enumerate(sizes)]


def test_batches_stay_below_what_a_command_may_weigh() -> None:
    mib = 1 << 20
    sizes = [7 * mib, 2 * mib, 5 * mib, 16 * mib, 1, 16 * mib, mib]
    found = list(group_operations(_writes(sizes)))
    assert [[op.at for op in batch] for batch in found] == [["0"], ["1", "2"], ["3"], ["4"], ["5"], ["6"]]
    assert all(len(b) == 1 or sum(len(o.o) for o in b) <= BATCH_BYTES for b in found)


def test_batches_hold_a_bounded_number_of_operations_and_lose_none() -> None:
    writes = _writes([1] * (2 * BATCH_OPERATIONS + 1))
    found = list(group_operations(writes))
    assert [len(b) for b in found] == [BATCH_OPERATIONS, BATCH_OPERATIONS, 1]
    assert [o for b in found for o in b] == writes
    assert list(group_operations([])) == []


def test_a_command_is_a_batch_of_its_own_in_its_place() -> None:
    drop = one(command("db", {"drop": "c"}))
    first, second, third = _writes([1, 1, 1])
    found = list(group_operations([first, drop, drop, second, third]))
    assert found == [[first], [drop], [drop], [second, third]]


@pytest.mark.parametrize(
    ("document", "changed"),
    [
        ({"_id": 1, "t": bson.Timestamp(0, 0)}, True),
        ({"_id": 1, "x": 5, "t": bson.Timestamp(0, 0)}, True),
        ({"_id": bson.Timestamp(0, 0)}, False),
        ({"_id": 1, "d": {"t": bson.Timestamp(0, 0)}}, False),
        ({"_id": 1, "t": bson.Timestamp(0, 1), "z": Int64(0), "f": 0.0}, False),
    ],
)
def test_empty_timestamps_on_the_top_level_are_what_a_server_may_replace(
    document: Any, changed: bool
) -> None:
    assert has_empty_timestamp(bson.encode(document)) is changed
