"""MongoDB as a source and as a target: the real server of MONGODB_URI, else the embedded one.

Databases have names of their own and are dropped afterwards.
"""

from __future__ import annotations

import itertools
import os
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import bson
import gridfs
import pymongo
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import errors, monitoring
from secantus import SecantusDBServer

from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_source, connect_target, parse_addresses
from shared.adapters.mongodb.batches import read_batches_of
from shared.adapters.mongodb.client import RAW
from shared.adapters.mongodb.inserting import Inserter
from shared.adapters.mongodb.reading import _is_dumped
from shared.adapters.mongodb.source import MongoSource, _round_trips
from shared.adapters.mongodb.target import MongoTarget
from shared.formats.documents import split_documents
from shared.formats.elements import Element, join_elements
from shared.kernel.errors import (
    AlreadyExists,
    Corrupt,
    Inconsistent,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)
from shared.mongodb.model import IdRange, Namespace, Timestamp
from shared.mongodb.scope import ReplayScope

WHOLE = IdRange()
# The embedded server decodes what it stores: Python's dates end with the year 9999, and duplicate names and
# deprecated types do not survive.
REAL = "MONGODB_URI" in os.environ
FAR = DatetimeMS(2**62 if REAL else 253_402_300_799_999)
Client = pymongo.MongoClient[dict[str, Any]]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("MONGODB_URI"):
        yield given
        return
    with MongoServer(tmp_path_factory.mktemp("mongodb"), ttl_monitor=False) as server:
        yield server.uri


@pytest.fixture(scope="module")
def client(uri: str) -> Iterator[Client]:
    """Another's connection to the same server."""
    with pymongo.MongoClient[dict[str, Any]](uri) as other:
        yield other


@pytest.fixture(scope="module")
def source(uri: str) -> Iterator[MongoSource]:
    made = connect_source(uri)
    yield made
    made.close()


@pytest.fixture(scope="module")
def target(uri: str) -> Iterator[MongoTarget]:
    made = connect_target(uri)
    yield made
    made.close()


@pytest.fixture
def new_db(client: Client) -> Iterator[Callable[[], str]]:
    """Names of databases, all of the same length, so that one can be put for the other in raw entries."""
    names: list[str] = []

    def name() -> str:
        names.append(f"groundcrew_{secrets.token_hex(6)}")
        return names[-1]

    yield name
    for made in names:
        client.drop_database(made)


@pytest.fixture
def db(new_db: Callable[[], str]) -> str:
    return new_db()


def listed(reader: MongoSource | MongoTarget, db: str) -> dict[str, Namespace]:
    return {n.collection: n for n in reader.list_namespaces() if n.db == db}


def contents(reader: MongoSource | MongoTarget, namespace: Namespace, within: IdRange = WHOLE) -> list[bytes]:
    return [
        document
        for batch in reader.read_batches(namespace, within)
        for document in split_documents(batch.documents)
    ]


def write(client: Client, db: str, collection: str, documents: list[bytes]) -> None:
    answer = client[db].command(
        {
            "insert": collection,
            "documents": [RawBSONDocument(d, RAW) for d in documents],
            "bypassEmptyTsReplacement": True,
        }
    )
    assert answer["n"] == len(documents), answer


def told(error: BaseException) -> str:
    """All that a log could show of it."""
    return "".join(traceback.format_exception(error)) + repr(error)


# --- connecting ---


@pytest.mark.parametrize(
    "options",
    ["readPreference=secondary", "readPreference=nearest&readPreferenceTags=dc:east&maxStalenessSeconds=120"],
    ids=["secondary", "tags and staleness"],
)
def test_a_uri_made_for_reading_from_secondaries_reads_from_the_primary(
    uri: str, client: Client, db: str, options: str
) -> None:
    client[db].c.insert_one({"_id": 1})
    joined = uri + ("&" if "?" in uri else "?") + options + "&serverSelectionTimeoutMS=2000"
    for connect in (connect_source, connect_target):
        with closing(connect(joined)) as reader:
            assert contents(reader, listed(reader, db)["c"]) == [bson.encode({"_id": 1})]


PASSWORD = "hunter2-s3cret"


@pytest.mark.parametrize(
    "bad",
    [
        f"mongodb://user:{PASSWORD}@host:port/",
        f"mongodb://user:{PASSWORD}@@host/",
        f"mongodb://us/er:{PASSWORD}@host/",
        f"http://user:{PASSWORD}@host/",
        f"mongodb://user:{PASSWORD}@host/?authMechanism=NONE&authSource={PASSWORD}",
        f"{PASSWORD}",
        "",
        "mongodb://host/?readPreference=fastest",
        "mongodb://host/?tls=yes",
    ],
)
def test_a_bad_uri_is_a_usage_error_that_does_not_repeat_the_password(bad: str) -> None:
    for connect in (connect_source, connect_target):
        with pytest.raises(UsageError) as caught:
            connect(bad)
        assert PASSWORD not in told(caught.value)
        assert "mongodb://" in caught.value.hint


def test_options_of_other_drivers_are_no_mistake(uri: str) -> None:
    connect_source(f"{uri}?useUnifiedTopology=true&ssl=false").close()


def test_a_server_that_is_not_there_is_unavailable_and_the_password_is_not_told(unused_port: int) -> None:
    with pytest.raises(Unavailable) as caught:
        connect_source(f"mongodb://user:{PASSWORD}@127.0.0.1:{unused_port}/?serverSelectionTimeoutMS=200")
    assert PASSWORD not in told(caught.value)
    assert str(unused_port) in str(caught.value)


@pytest.fixture
def unused_port() -> int:
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


def test_a_wrong_password_is_refused_and_not_told(tmp_path: Path) -> None:
    with SecantusDBServer(port=0, storage_path=str(tmp_path), require_auth=True, cache_size="64M") as server:
        host, port = server.address
        with pytest.raises(Refused) as caught:
            connect_source(f"mongodb://user:{PASSWORD}@{host}:{port}/?directConnection=true")
        assert PASSWORD not in told(caught.value)
        nameless = connect_source(f"mongodb://{host}:{port}/?directConnection=true")
        with closing(nameless), pytest.raises(Refused):
            nameless.list_namespaces()


def test_a_server_without_an_oplog_cannot_be_backed_up_consistently(tmp_path: Path) -> None:
    with SecantusDBServer(
        port=0, storage_path=str(tmp_path), replica_set_name=None, cache_size="64M"
    ) as server:
        host, port = server.address
        with closing(connect_source(f"mongodb://{host}:{port}/?directConnection=true")) as alone:
            assert alone.list_hosts()
            with pytest.raises(UsageError, match="no oplog"):
                alone.read_oplog_window()


def test_a_server_tells_who_it_is(source: MongoSource, target: MongoTarget, client: Client) -> None:
    version = source.read_server_version()
    assert [part.isdigit() for part in version.split(".")] == [True, True, True]
    assert version == target.read_server_version()
    # Empty on a server that does not tell it, or does not tell it to this user.
    assert source.read_feature_version() in ("", version.rpartition(".")[0])
    assert source.list_hosts() == target.list_hosts() == tuple(sorted(client.admin.command("hello")["hosts"]))


# --- the catalogue ---


@pytest.mark.parametrize(
    ("db", "collection", "dumped"),
    [
        ("db", "c", True),
        ("db", "system", True),
        ("db", "systems.x", True),
        ("db", "my.system.x", True),
        ("db", "system.js", True),
        ("db", "system.views", False),
        ("db", "system.profile", False),
        ("db", "system.buckets.ts", False),
        ("db", "system.users", False),
        ("db", "oplog.$main", False),
        ("db", "__mdb_internal_x", False),
        ("admin", "system.users", True),
        ("admin", "system.roles", True),
        ("admin", "system.version", True),
        ("admin", "system.keys", False),
        ("admin", "system.preimages", False),
        ("admin", "mine", True),
        ("config", "settings", True),
        ("config", "transactions", False),
        ("config", "system.sessions", False),
        ("config", "image_collection", False),
    ],
)
def test_what_mongodump_would_take_is_taken(db: str, collection: str, dumped: bool) -> None:
    assert _is_dumped(db, collection) is dumped


def test_namespaces_come_sorted_with_their_kind_counts_and_indexes(
    source: MongoSource, client: Client, db: str
) -> None:
    client[db]["b.c"].insert_many([{"_id": n, "pad": "x" * 50} for n in range(20)])
    client[db].create_collection("empty")
    client[db].create_collection("view", viewOn="b.c", pipeline=[{"$match": {"_id": {"$gt": 5}}}])
    client[db]["system.js"].insert_one({"_id": "f", "value": Code("function () {}")})
    found = listed(source, db)
    assert list(found) == ["b.c", "empty", "system.js", "view"]
    full, view = found["b.c"], found["view"]
    assert (full.kind, full.documents, len(full.uuid)) == ("collection", 20, 32)
    assert full.data_bytes == sum(map(len, contents(source, full)))
    assert [dict(i)["name"] for i in full.indexes] == ["_id_"]
    assert (view.kind, view.uuid, view.indexes) == ("view", "", ())
    assert view.options["viewOn"] == "b.c"
    assert [n for n in source.list_namespaces("b.c") if n.db == db] == [full]
    assert source.list_namespaces("no such") == []
    everything = source.list_namespaces()
    assert [n.name for n in everything if n.db == "local"] == []
    assert [n.db for n in everything if n.db == "admin"] == [n.db for n in everything][
        : sum(n.db == "admin" for n in everything)
    ]


def test_only_the_databases_that_were_asked_for_are_listed(uri: str, client: Client, new_db: Any) -> None:
    wanted, other = new_db(), new_db()
    for name in (wanted, other):
        client[name].c.insert_one({"_id": 1})
    some = connect_source(uri, databases=[wanted])
    assert {n.db for n in some.list_namespaces()} - {"admin"} == {wanted}
    some.close()


INDEXES: list[dict[str, Any]] = [
    {"v": 2, "key": {"a": 1, "b": -1}, "name": "ordered"},
    {"v": 2, "key": {"b": -1, "a": 1}, "name": "other_order"},
    {"v": 2, "key": {"u": 1}, "name": "unique", "unique": True, "sparse": True},
    {"v": 2, "key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 3600},
    {"v": 2, "key": {"p": 1}, "name": "partial", "partialFilterExpression": {"p": {"$gt": 5}}},
    {"v": 2, "key": {"$**": 1}, "name": "wild", "wildcardProjection": {"secret": 0}},
    {"v": 2, "key": {"place": "2dsphere"}, "name": "geo", "2dsphereIndexVersion": 3},
    {"v": 2, "key": {"h": 1}, "name": "hidden", "hidden": True},
]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "capped": {"capped": True, "size": 65536, "max": 100},
    "validated": {
        "validator": {"$jsonSchema": {"required": ["must"], "properties": {"must": {"bsonType": "long"}}}},
        "validationLevel": "strict",
        "validationAction": "error",
    },
    "collated": {"collation": {"locale": "de", "strength": 2}},
    "images": {"changeStreamPreAndPostImages": {"enabled": True}},
    "view": {"viewOn": "plain", "pipeline": [{"$match": {"at": {"$lt": FAR}}}]},
}


def test_options_and_indexes_of_a_source_are_those_of_the_target_made_from_it(
    source: MongoSource, target: MongoTarget, client: Client, new_db: Any
) -> None:
    here, there = new_db(), new_db()
    for name, options in OPTIONS.items():
        client[here].command({"create": name, **options})
    client[here].command({"createIndexes": "plain", "indexes": INDEXES})
    before = listed(source, here)
    assert sorted(before) == sorted(OPTIONS)
    for namespace in before.values():
        target.create_collection(
            Namespace(there, namespace.collection, namespace.kind, options=namespace.options)
        )
        if namespace.kind != "view":
            assert target.create_indexes(there, namespace.collection, list(namespace.indexes)) == []
    after = listed(target, there)
    for name, namespace in before.items():
        assert (after[name].kind, after[name].options) == (namespace.kind, namespace.options), name
        assert [bson.encode(dict(i)) for i in after[name].indexes] == [
            bson.encode(dict(i)) for i in namespace.indexes
        ], name
        assert after[name].uuid != namespace.uuid or namespace.kind == "view"


def test_what_is_there_is_not_made_again(target: MongoTarget, db: str) -> None:
    for namespace in (
        Namespace(db, "c", options={"validator": {"a": 1}}),
        Namespace(db, "v", "view", options={"viewOn": "c", "pipeline": []}),
    ):
        target.create_collection(namespace)
        with pytest.raises(AlreadyExists, match=namespace.name):
            target.create_collection(namespace)


def test_an_index_that_is_refused_does_not_prevent_the_others_and_tells_no_content(
    target: MongoTarget, db: str
) -> None:
    target.insert_documents(
        db, "c", [bson.encode({"_id": n, "mail": "bob@example.org", "a": n}) for n in range(2)]
    )
    unique = {"v": 2, "key": {"mail": 1}, "name": "mail_1", "unique": True}
    refusals = target.create_indexes(db, "c", [INDEXES[0], unique, INDEXES[3]])
    assert [r.split(" was refused")[0] for r in refusals] == ["index mail_1"]
    assert "bob" not in refusals[0]
    assert [dict(i)["name"] for i in listed(target, db)["c"].indexes] == ["_id_", "ordered", "ttl"]


# --- reading ---

MIXED: list[Any] = [
    None,
    -5,
    7,
    2.5,
    Int64(2**40),
    Decimal128("8.25"),
    "a",
    "ä",
    "",
    {"x": 1},
    {"x": FAR},
    Binary(b"\x00\x01", 5),
    b"bytes",
    ObjectId("0123456789abcdef01234567"),
    True,
    False,
    DatetimeMS(0),
    FAR,
    bson.Timestamp(5, 5),
    Code("f()"),
    MinKey(),
    MaxKey(),
    *range(100, 220),
    *(f"s{n}" for n in range(60)),
    *(ObjectId(n.to_bytes(12, "big")) for n in range(60)),
]


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
def test_the_ranges_between_split_points_hold_every_document_once_whatever_the_types_of_ids(
    source: MongoSource, client: Client, db: str, pieces: int
) -> None:
    documents = [bson.encode({"_id": identity, "n": n}) for n, identity in enumerate(MIXED)]
    write(client, db, "mixed", documents)
    namespace = listed(source, db)["mixed"]
    points = source.sample_split_points(namespace, pieces)
    assert len(points) <= pieces - 1
    assert len(set(points)) == len(points)
    assert pieces == 1 or points, "a collection of many types was not split"
    bounds = [None, *points, None]
    ranges = [IdRange(low, high) for low, high in itertools.pairwise(bounds)]
    parts = [contents(source, namespace, within) for within in ranges]
    assert sorted(d for part in parts for d in part) == sorted(documents)
    assert sorted(contents(source, namespace)) == sorted(documents)
    for point, part in zip(points, parts[1:], strict=True):
        assert bson.encode({"_id": RawBSONDocument(part[0], RAW)["_id"]}) == point, "inclusive"


NOT_UTF8 = join_elements([Element(0x02, b"_id", b"\x03\0\0\0\xff\xfe\0")])
DEPRECATED = join_elements([Element(0x0E, b"_id", b"\x02\0\0\0s\0")])


@pytest.mark.parametrize(
    ("bound", "sayable"),
    [(NOT_UTF8, False), (DEPRECATED, False), *((bson.encode({"_id": i}), True) for i in MIXED[:22])],
)
def test_an_id_that_the_driver_would_not_send_as_it_came_is_no_split_point(
    bound: bytes, sayable: bool
) -> None:
    assert _round_trips(bound) is sayable


def test_an_empty_collection_has_neither_documents_nor_split_points(
    source: MongoSource, client: Client, db: str
) -> None:
    client[db].create_collection("empty")
    namespace = listed(source, db)["empty"]
    assert contents(source, namespace) == []
    assert source.sample_split_points(namespace, 4) == []


def odd_documents() -> list[bytes]:
    """What a driver's own way of writing would refuse, change or lose."""
    twice = [Element(0x10, b"twice", b"\1\0\0\0"), Element(0x10, b"twice", b"\2\0\0\0")]
    symbol = Element(0x0E, b"symbol", b"\2\0\0\0s\0")
    undefined = Element(0x06, b"undefined", b"")
    pointer = Element(0x0C, b"pointer", b"\2\0\0\0c\0" + bytes(12))
    identity = Element(0x10, b"_id", b"\x63\0\0\0")
    return [
        bson.encode({"_id": 1, "$set": {"$inc": 1}, "a.b": 2, "": {"": 3}, "$": 4}),
        bson.encode({"_id": 2, "ts": bson.Timestamp(0, 0), "in": {"ts": bson.Timestamp(0, 0)}}),
        bson.encode({"_id": 3, "nan": float("nan"), "zero": -0.0, "far": FAR}),
        bson.encode({"_id": 4, "old": Binary(b"abc", 2), "re": Regex("a/b", "imx"), "c": Code("x", {})}),
        *([join_elements([identity, *twice, symbol, undefined, pointer])] if REAL else []),
    ]


def test_documents_come_back_byte_for_byte(source: MongoSource, target: MongoTarget, db: str) -> None:
    documents = odd_documents()
    result = target.insert_documents(db, "odd", documents)
    assert (result.inserted, result.failures) == (len(documents), ())
    assert sorted(contents(source, listed(source, db)["odd"])) == sorted(documents)


def test_a_document_of_16_mib_comes_back_byte_for_byte(
    source: MongoSource, target: MongoTarget, db: str
) -> None:
    small = bson.encode({"_id": 0})
    frame = len(bson.encode({"_id": 1, "data": b""}))
    large = bson.encode({"_id": 1, "data": bytes(16 * 1024 * 1024 - frame)})
    assert len(large) == 16 * 1024 * 1024
    assert target.insert_documents(db, "large", [small, large]).inserted == 2
    batches = [batch.documents for batch in source.read_batches(listed(source, db)["large"], WHOLE)]
    assert b"".join(batches) == small + large
    assert max(map(len, batches)) <= 17 << 20


def test_the_messages_of_refused_documents_say_which_but_not_what(target: MongoTarget, db: str) -> None:
    first = [bson.encode({"_id": f"bob{n}@example.org"}) for n in range(3)]
    assert target.insert_documents(db, "c", first).inserted == 3
    again = target.insert_documents(db, "c", [bson.encode({"_id": "eve"}), *first])
    assert again.inserted == 1
    assert (again.failures, again.duplicates) == ((), (1, 2, 3))


def test_validation_does_not_stop_a_restore(target: MongoTarget, db: str) -> None:
    target.create_collection(Namespace(db, "c", options=OPTIONS["validated"]))
    assert target.insert_documents(db, "c", [bson.encode({"_id": 1})]).failures == ()


def test_nothing_to_insert_is_nothing_done(target: MongoTarget, db: str) -> None:
    assert target.insert_documents(db, "c", []).inserted == 0


class OldServer:
    """Answers as a server that has not heard of `bypassEmptyTsReplacement`."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def __getitem__(self, db: str) -> OldServer:
        return self

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        if "bypassEmptyTsReplacement" in command:
            said = "BSON field 'insert.bypassEmptyTsReplacement' is an unknown field."
            raise errors.OperationFailure(said, 40415)
        self.commands.append(command)
        return {"n": len(command["documents"])}


def test_a_server_that_cannot_keep_empty_timestamps_gets_the_documents_all_the_same() -> None:
    server = OldServer()
    inserter = Inserter(server)  # type: ignore[arg-type]
    for _ in range(2):
        assert inserter.insert("db", "c", [bson.encode({"_id": 1})]) == {"n": 1}
    assert not inserter.keeps_timestamps
    assert len(server.commands) == 2


def test_documents_that_such_a_server_changes_are_told(target: MongoTarget) -> None:
    old = MongoTarget(OldServer())  # type: ignore[arg-type]
    documents = [bson.encode({"_id": n, "at": bson.Timestamp(0, n % 2)}) for n in range(3)]
    result = old.insert_documents("db", "c", documents)
    assert result.inserted == 3
    assert [f.split(" of ")[0] for f in result.failures] == [
        "document 0",
        "document 2",
    ]


class OtherServer(OldServer):
    """Answers as FerretDB 1.24, which knows neither cursors without a limit nor versions of indexes."""

    @contextmanager
    def start_session(self, **_options: Any) -> Iterator[None]:
        yield None

    def get_database(self, *_names: Any, **_options: Any) -> OtherServer:
        return self

    def command(self, command: dict[str, Any], **_options: Any) -> Any:
        if "noCursorTimeout" in command:
            raise errors.OperationFailure('support for field "noCursorTimeout" is not implemented yet', 238)
        if command.get("filter") == {"denied": 1}:
            raise errors.OperationFailure("not authorized", 13)
        if any(index.get("v") == 2 for index in command.get("indexes", ())):
            raise errors.OperationFailure('Index option "v" is unknown', 2)
        self.commands.append(command)
        reply = {"cursor": {"id": Int64(0), "firstBatch": [{"_id": 1}]}, "ok": 1.0}
        return RawBSONDocument(bson.encode(reply), RAW)


def test_a_server_without_endless_cursors_is_read_all_the_same_and_other_refusals_are_told() -> None:
    server: Any = OtherServer()
    (batch,) = read_batches_of(server, "db", {"find": "c", "filter": {}, "noCursorTimeout": True})
    assert list(split_documents(batch.documents)) == [bson.encode({"_id": 1})]
    assert server.commands == [{"find": "c", "filter": {}}]
    with pytest.raises(errors.OperationFailure, match="not authorized"):
        list(read_batches_of(server, "db", {"find": "c", "filter": {"denied": 1}}))


def test_the_usual_version_of_an_index_is_not_sent_and_an_older_one_is() -> None:
    server: Any = OtherServer()
    indexes = [{"name": "a_1", "key": {"a": 1}, "v": 2}, {"name": "b_1", "key": {"b": 1}, "v": 1}]
    assert MongoTarget(server).create_indexes("db", "c", [*map(dict, indexes)]) == []  # type: ignore[arg-type]
    assert [index.get("v") for index in server.commands[0]["indexes"]] == [None, 1]


def _drop_(client: Client, db: str) -> None:
    client[db].drop_collection("c")


def _rename(client: Client, db: str) -> None:
    client[db].c.rename("d")


def _anew(client: Client, db: str) -> None:
    client[db].drop_collection("c")
    client[db].c.insert_many([{"_id": n} for n in range(300)])


@pytest.mark.parametrize("happening", [_drop_, _rename, _anew], ids=["dropped", "renamed", "made anew"])
@pytest.mark.parametrize("midway", [False, True], ids=["before", "midway"])
def test_a_collection_that_is_no_longer_the_same_spoils_the_dump(
    source: MongoSource, client: Client, db: str, happening: Any, midway: bool
) -> None:
    client[db].c.insert_many([{"_id": n} for n in range(300)])
    namespace = listed(source, db)["c"]
    reading = source.read_batches(namespace, WHOLE)
    if midway:
        assert next(reading)
    happening(client, db)
    with pytest.raises((Inconsistent, Unavailable)) as caught:
        list(reading)
    assert midway or isinstance(caught.value, Inconsistent)
    # Whatever the cursor died of, the next attempt says why there is no point.
    with pytest.raises(Inconsistent, match="dropped"):
        list(source.read_batches(namespace, WHOLE))


class _Commands(monitoring.CommandListener):
    """What a connection says, the cursors it was given, and somebody who acts right before a command."""

    def __init__(self, before: Callable[[monitoring.CommandStartedEvent], object] = bool) -> None:
        self.ids: list[int] = []
        self.said: list[Any] = []
        self._before = before

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Remember, and let the other act."""
        self.said.append(event.command)
        self._before(event)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Remember the cursor of a find."""
        if event.command_name == "find":
            self.ids.append(int(event.reply["cursor"]["id"]))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to remember."""


def test_a_killed_cursor_is_worth_another_attempt(uri: str, client: Client, db: str) -> None:
    client[db].c.insert_many([{"_id": n} for n in range(300)])
    cursors = _Commands()
    with pymongo.MongoClient[dict[str, Any]](uri, event_listeners=[cursors]) as watched:
        source = MongoSource(watched)
        namespace = listed(source, db)["c"]
        cursors.ids.clear()
        reading = source.read_batches(namespace, WHOLE)
        assert next(reading)
        client[db].command({"killCursors": "c", "cursors": cursors.ids})
        with pytest.raises(Unavailable) as caught:
            list(reading)
        assert not caught.value.permanent
        assert len(contents(source, namespace)) == 300


def test_what_is_dropped_while_the_catalogue_is_read_is_left_out(uri: str, client: Client, db: str) -> None:
    def drop(event: monitoring.CommandStartedEvent) -> None:
        if event.command.get("collStats") == "b":
            client[db].drop_collection("b")

    for name in ("a", "b", "c"):
        client[db][name].insert_one({})
    with pymongo.MongoClient[dict[str, Any]](uri, event_listeners=[_Commands(drop)]) as watched:
        assert sorted(listed(MongoSource(watched), db)) == ["a", "c"]


def test_a_source_reads_what_a_majority_has_from_cursors_that_do_not_idle_out(
    uri: str, client: Client, db: str
) -> None:
    client[db].c.insert_one({})
    heard = _Commands()
    with pymongo.MongoClient[dict[str, Any]](uri, event_listeners=[heard]) as watched:
        source = MongoSource(watched)
        namespace = listed(source, db)["c"]
        heard.said.clear()
        list(source.read_batches(namespace, WHOLE))
        list(source.read_oplog(*source.read_oplog_window()))
    finds = [said for said in heard.said if "find" in said]
    assert {said["find"] for said in finds} == {"c", "oplog.rs"}
    assert [said["readConcern"]["level"] for said in finds] == ["majority"] * len(finds)
    assert [said.get("noCursorTimeout", False) for said in finds if "limit" not in said] == [True, True]


@pytest.mark.parametrize("end", [False, True], ids=["closed midway", "read to the end"])
def test_reading_leaves_no_cursor_behind(uri: str, client: Client, db: str, end: bool) -> None:
    client[db].c.insert_many([{"_id": n} for n in range(300)])
    cursors = _Commands()
    with pymongo.MongoClient[dict[str, Any]](uri, event_listeners=[cursors]) as watched:
        source = MongoSource(watched)
        namespace = listed(source, db)["c"]
        cursors.ids.clear()
        reading = source.read_batches(namespace, WHOLE)
        assert next(reading)
        if end:
            list(reading)
        reading.close()  # type: ignore[attr-defined]
        answer = client[db].command({"killCursors": "c", "cursors": cursors.ids})
    assert answer["cursorsNotFound"] == cursors.ids
    assert len(cursors.ids) == 1


def test_a_server_that_dies_midway_is_unavailable_for_readers_and_writers(tmp_path: Path) -> None:
    with MongoServer(tmp_path / "dies", cache="64M", ttl_monitor=False) as server:
        uri = f"{server.uri}?serverSelectionTimeoutMS=50&directConnection=true"
        source, target = connect_source(uri), connect_target(uri, pause=lambda _: None)
        target.insert_documents("db", "c", [bson.encode({"_id": n}) for n in range(300)])
        namespace = listed(source, "db")["c"]
        reading = source.read_batches(namespace, WHOLE)
        assert next(reading)
        start, end = source.read_oplog_window()
        entries = [e for batch in source.read_oplog(start, end) for e in split_documents(batch)]
        server.kill()
        index = {"v": 2, "key": {"a": 1}, "name": "a_1"}
        attempts: list[Callable[[], object]] = [
            lambda: list(reading),
            source.list_namespaces,
            source.read_oplog_window,
            source.find_oldest_open_transaction,
            lambda: list(source.read_oplog(start, end)),
            lambda: source.sample_split_points(namespace, 2),
            lambda: target.insert_documents("db", "c", [bson.encode({"_id": 1})]),
            lambda: target.create_collection(Namespace("db", "d")),
            lambda: target.create_indexes("db", "c", [index]),
            lambda: target.replay_oplog(iter(entries)),
            lambda: target.restore_users("users", [bson.encode({"_id": "admin.u"})]),
            lambda: target.find_gridfs_gaps("db", "fs"),
        ]
        for attempt in attempts:
            with pytest.raises(Unavailable):
                attempt()
        source.close()
        target.close()


def test_a_collection_is_dropped_by_the_uuid_that_its_creation_returned(
    target: MongoTarget, client: Client, db: str
) -> None:
    uuid = target.create_collection(Namespace(db, "c"))
    assert uuid == listed(target, db)["c"].uuid
    view = {"viewOn": "c", "pipeline": []}
    assert target.create_collection(Namespace(db, "v", "view", options=view)) == ""
    client[db].c.insert_one({"_id": 1})
    with pytest.raises(Inconsistent):
        target.drop_collection(Namespace(db, "c", uuid="0" * 32))
    assert client[db].c.count_documents({}) == 1
    target.drop_collection(Namespace(db, "c", uuid=uuid))
    target.drop_collection(Namespace(db, "v", "view"))
    assert listed(target, db) == {}


# --- the oplog ---


def test_the_oplog_is_read_between_two_entries_both_included(
    source: MongoSource, client: Client, db: str
) -> None:
    client[db].c.insert_one({"_id": 0})
    _, start = source.read_oplog_window()
    for n in range(1, 6):
        client[db].c.insert_one({"_id": n})
    oldest, end = source.read_oplog_window()
    assert oldest <= start < end
    entries = [bson.decode(e) for batch in source.read_oplog(start, end) for e in split_documents(batch)]
    stamps = [Timestamp(e["ts"].time, e["ts"].inc) for e in entries]
    assert stamps == sorted(stamps)
    assert (stamps[0], stamps[-1]) == (start, end)
    mine = [e["o"]["_id"] for e in entries if e["ns"] == f"{db}.c" and e["op"] == "i"]
    assert mine[-5:] == [1, 2, 3, 4, 5]
    inner = [
        bson.decode(e) for batch in source.read_oplog(stamps[1], stamps[-2]) for e in split_documents(batch)
    ]
    assert [e["ts"] for e in inner] == [e["ts"] for e in entries[1:-1]]
    after = Timestamp(end.seconds + 1000, 0)
    assert list(source.read_oplog(after, after)) == []


def test_without_open_transactions_there_is_no_oldest(source: MongoSource) -> None:
    assert source.find_oldest_open_transaction() is None


# --- users and files ---


def test_users_are_merged_or_a_sentence_says_why_not_and_nothing_is_left_behind(
    target: MongoTarget, client: Client
) -> None:
    name = f"groundcrew_{secrets.token_hex(4)}"
    credentials = {"iterationCount": 15000, "salt": "c2FsdA==", "storedKey": "a2V5", "serverKey": "a2V5"}
    user = {
        "_id": f"admin.{name}",
        "userId": Binary(secrets.token_bytes(16), 4),
        "user": name,
        "db": "admin",
        "credentials": {"SCRAM-SHA-256": credentials},
        "roles": [{"role": "read", "db": "test"}],
    }
    refused = []
    try:
        refused = target.restore_users("users", [bson.encode(user)])
    except NotFound as error:  # the embedded server has no way to take them
        refused = [f"users were not restored: {error}"]
    there = client.admin.command({"usersInfo": name})["users"]
    if refused:
        assert refused[0].startswith("users were not restored: ")
        assert "c2FsdA" not in refused[0]
    else:
        assert [u["user"] for u in there] == [name]
        client.admin.command({"dropUser": name})
    assert [n for n in client.admin.list_collection_names() if "groundcrew_temp" in n] == []
    assert target.restore_users("roles", []) == []


def test_another_schema_of_users_is_told(target: MongoTarget, client: Client) -> None:
    own = client.admin["system.version"].find_one({"_id": "authSchema"})
    told_ = target.restore_users("version", [bson.encode({"_id": "authSchema", "currentVersion": 3})])
    assert len(told_) == (1 if own else 0)
    for harmless in (
        {"_id": "featureCompatibilityVersion", "version": "8.0"},
        {"_id": "authSchema"},
        {"at": DatetimeMS(2**60)},
    ):
        assert target.restore_users("version", [bson.encode(harmless)]) == []


def test_files_that_lack_chunks_or_bytes_are_named(target: MongoTarget, client: Client, db: str) -> None:
    bucket = gridfs.GridFSBucket(client[db], "up", chunk_size_bytes=10)
    for name in ("whole", "empty", "exact", "gone", "short", "holed", "twice", "odd"):
        data = {"empty": b"", "exact": bytes(20)}.get(name, bytes(25))
        bucket.upload_from_stream_with_id(name, name, data)
    files, chunks = client[db]["up.files"], client[db]["up.chunks"]
    assert target.find_gridfs_gaps(db, "up") == []
    chunks.delete_many({"files_id": "gone"})
    chunks.update_one({"files_id": "short", "n": 2}, {"$set": {"data": b"1"}})
    chunks.update_one({"files_id": "holed", "n": 2}, {"$set": {"n": 3}})
    chunks.insert_one({"files_id": "twice", "n": 7, "data": b""})
    chunks.update_one({"files_id": "odd", "n": 0}, {"$set": {"data": "text"}})
    files.insert_one({"_id": "lengthless", "length": None, "chunkSize": 10})
    gaps = target.find_gridfs_gaps(db, "up")
    assert sorted(gap.split()[1] for gap in gaps) == ["gone", "holed", "lengthless", "odd", "short", "twice"]
    assert "file gone has 0 chunks with 0 bytes instead of 3 with 25" in gaps


# --- replaying ---


class Oplog:
    """Entries as a `mongod` writes them, for one database."""

    def __init__(self, db: str) -> None:
        self._db, self.entries = db, list[bytes]()

    def write(self, op: str, collection: str, o: Any, o2: Any = None) -> Oplog:
        ns = f"{self._db}.{collection}"
        stamp = {"ts": bson.Timestamp(1_700_000_000, len(self.entries) + 1)}
        more = {} if o2 is None else {"o2": o2}
        self.entries.append(
            bson.encode({**stamp, "op": op, "ns": ns, "o": o, **more, "ui": Binary(b"i" * 16, 4)})
        )
        return self

    def command(self, o: dict[str, Any]) -> Oplog:
        return self.write("c", "$cmd", o)


def documents_of(client: Client, db: str, collection: str) -> dict[Any, Any]:
    return {str(d["_id"]): d for d in client[db][collection].find()}


def test_the_replay_of_writes_is_idempotent_and_meets_what_is_not_there(
    target: MongoTarget, client: Client, db: str
) -> None:
    client[db].c.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}, {"_id": 9, "a": 9}])
    log = Oplog(db)
    log.write("i", "c", {"_id": 1, "a": 1})
    log.write("i", "c", {"_id": 3, "$x": {"a.b": 1}, "": 2})
    log.write("u", "c", {"$v": 2, "diff": {"u": {"a": 5}, "i": {"n": 1}}}, {"_id": 2})
    log.write("u", "c", {"$v": 2, "diff": {"u": {"a": 5}}}, {"_id": "not there"})
    log.write("u", "c", {"$v": 2, "diff": {"i": {"n": {"$y": 1}}}}, {"_id": 3})
    log.write("u", "c", {"_id": 1, "whole": True}, {"_id": 1})
    log.write("d", "c", {"_id": 9})
    log.write("d", "c", {"_id": "not there"})
    log.write("d", "never", {"_id": 1})
    for _ in range(2):
        replayed = target.replay_oplog(iter(log.entries))
        assert (replayed.applied, replayed.skipped, replayed.index_changes) == (9, 0, ())
        assert documents_of(client, db, "c") == {
            "1": {"_id": 1, "whole": True},
            "2": {"_id": 2, "a": 5, "n": 1},
            "3": {"_id": 3, "$x": {"a.b": 1}, "": 2, "n": {"$y": 1}},
        }


def test_every_kind_of_id_is_found_again(target: MongoTarget, client: Client, db: str) -> None:
    log = Oplog(db)
    ids = [i for i in MIXED[:22] if not isinstance(i, MinKey | MaxKey)]
    for identity in ids:
        log.write("i", "c", {"_id": identity, "v": 1})
    for identity in ids:
        log.write("u", "c", {"$v": 2, "diff": {"u": {"v": 2}}}, {"_id": identity})
    log.write("d", "c", {"_id": ids[0]})
    target.replay_oplog(iter(log.entries))
    found = contents(target, listed(target, db)["c"])
    assert sorted(found) == sorted(bson.encode({"_id": i, "v": 2}) for i in ids[1:])


def test_the_replay_leaves_every_document_byte_for_byte(target: MongoTarget, db: str) -> None:
    log = Oplog(db)
    documents = odd_documents()
    for document in documents:
        log.write("i", "c", RawBSONDocument(document, RAW))
        log.write("u", "c", {"$v": 2, "diff": {}}, {"_id": RawBSONDocument(document, RAW)["_id"]})
    target.create_collection(Namespace(db, "c"))
    target.replay_oplog(iter(log.entries))
    assert sorted(contents(target, listed(target, db)["c"])) == sorted(documents)


def test_collections_and_their_options_come_and_go(target: MongoTarget, client: Client, db: str) -> None:
    client[db].old.insert_one({"_id": 1})
    log = Oplog(db)
    own = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    log.command({"create": "new", "capped": True, "size": 4096, "idIndex": own})
    log.command({"create": "old", "idIndex": own})
    log.command({"drop": "old"})
    log.command({"drop": "never"})
    log.command({"create": "mod", "idIndex": own})
    index = {"name": "a_1", "expireAfterSeconds": 5}
    log.command({"collMod": "mod", "index": index, "validator": {"a": {"$gt": 1}}, "validationLevel": "off"})
    log.command({"collMod": "never", "validator": {}})
    log.command({"createIndexes": "mod", "v": 2, "key": {"a": 1}, "name": "a_1"})
    for _ in range(2):
        replayed = target.replay_oplog(iter(log.entries))
        found = listed(target, db)
        assert sorted(found) == ["mod", "new"]
        assert found["new"].options["capped"] is True
        assert (found["mod"].options["validator"], found["mod"].options["validationLevel"]) == (
            {"a": {"$gt": 1}},
            "off",
        )
        assert [dict(i)["name"] for i in found["mod"].indexes] == ["_id_"], "indexes are built afterwards"
        changed = [c.changed for c in replayed.index_changes if c.changed]
        assert changed == [{"a_1": {"expireAfterSeconds": 5}}]


def test_a_dropped_database_is_gone(target: MongoTarget, client: Client, db: str) -> None:
    client[db].c.insert_one({"_id": 1})
    target.replay_oplog(iter(Oplog(db).command({"dropDatabase": 1}).entries))
    assert listed(target, db) == {}


def test_views_are_made_changed_and_dropped_through_system_views(
    target: MongoTarget, client: Client, db: str
) -> None:
    client[db].c.insert_many([{"_id": n} for n in range(5)])
    client[db].create_collection("there", viewOn="c", pipeline=[])
    own = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    log = Oplog(db).command({"create": "system.views", "idIndex": own})
    log.write("i", "system.views", {"_id": f"{db}.v", "viewOn": "c", "pipeline": [{"$match": {"_id": 1}}]})
    log.write("i", "system.views", {"_id": f"{db}.brief", "viewOn": "c", "pipeline": []})
    changed = {"_id": f"{db}.v", "viewOn": "c", "pipeline": [{"$match": {"_id": {"$gt": 2}}}]}
    log.write("u", "system.views", changed, {"_id": f"{db}.v"})
    diff = {"$v": 2, "diff": {"u": {"pipeline": [{"$limit": 1}]}}}
    log.write("u", "system.views", diff, {"_id": f"{db}.there"})
    log.write("u", "system.views", diff, {"_id": f"{db}.never"})
    log.write("d", "system.views", {"_id": f"{db}.brief"})
    log.write("d", "system.views", {"_id": f"{db}.never"})
    for _ in range(2):
        target.replay_oplog(iter(log.entries))
        found = listed(target, db)
        assert sorted(found) == ["c", "there", "v"]
        assert found["v"].options["pipeline"] == [{"$match": {"_id": {"$gt": 2}}}]
        assert found["there"].options["pipeline"] == [{"$limit": 1}]
        assert [d["_id"] for d in client[db].v.find()] == [3, 4]
    only = target.replay_oplog(iter(log.entries), scope=ReplayScope(frozenset({f"{db}.v"})))
    assert (only.applied, only.skipped) == (2, len(log.entries) - 2)


def test_a_time_series_collection_is_made_and_dropped_by_its_own_name(target: MongoTarget, db: str) -> None:
    series = {"timeField": "t", "metaField": "m", "granularity": "seconds", "bucketMaxSpanSeconds": 3600}
    log = Oplog(db)
    log.command(
        {
            "create": "system.buckets.ts",
            "validator": {"$jsonSchema": {"bsonType": "object"}},
            "clusteredIndex": True,
            "timeseries": series,
        }
    )
    unpack = [{"$_internalUnpackBucket": {"timeField": "t", "metaField": "m"}}]
    log.write("i", "system.views", {"_id": f"{db}.ts", "viewOn": "system.buckets.ts", "pipeline": unpack})
    target.replay_oplog(iter(log.entries))
    (made,) = listed(target, db).values()
    assert made.collection == "ts"
    assert made.kind == "timeseries" or "timeseries" in made.options
    log.write("d", "system.views", {"_id": f"{db}.ts"})
    log.command({"drop": "system.buckets.ts"})
    target.replay_oplog(iter(log.entries))
    assert listed(target, db) == {}


def test_only_the_wanted_namespaces_are_replayed(target: MongoTarget, client: Client, new_db: Any) -> None:
    db, other = new_db(), new_db()
    log, elsewhere = Oplog(db), Oplog(other)
    log.write("i", "a", {"_id": 1}).write("i", "b", {"_id": 1}).command({"drop": "b"})
    elsewhere.write("i", "a", {"_id": 1}).command({"dropDatabase": 1})
    client[db].b.insert_one({"_id": 5})
    replayed = target.replay_oplog(
        iter([*log.entries, *elsewhere.entries]), scope=ReplayScope(frozenset({f"{db}.a"}))
    )
    assert (replayed.applied, replayed.skipped) == (1, 4)
    assert sorted(listed(target, db)) == ["a", "b"]
    assert listed(target, other) == {}


@pytest.mark.parametrize(
    "o",
    [
        {"shutdown": 1},
        {"dropAllUsersFromDatabase": 1},
        {"create": "c", "capped": "surely"},
        {"collMod": "c", "validator": 5},
    ],
    ids=lambda o: next(iter(o)),
)
def test_a_command_that_cannot_be_replayed_is_corrupt_and_named(target: MongoTarget, db: str, o: Any) -> None:
    target.insert_documents(db, "c", [bson.encode({"_id": 1})])
    with pytest.raises(Corrupt) as caught:
        target.replay_oplog(iter(Oplog(db).write("i", "c", {"_id": 2}).command(o).entries))
    assert next(iter(o)) in str(caught.value)
    assert "1700000000.2" in str(caught.value)
    assert target.read_server_version(), "the server is still there"


def test_an_entry_that_names_no_document_is_corrupt(target: MongoTarget, db: str) -> None:
    with pytest.raises(Corrupt):
        target.replay_oplog(iter(Oplog(db).write("d", "c", {"x": 1}).entries))


def test_many_and_large_writes_go_in_batches(target: MongoTarget, client: Client, db: str) -> None:
    log = Oplog(db)
    for n in range(4):
        log.write("i", "c", {"_id": n, "data": bytes(5 << 20)})
    for n in range(4, 1200):
        log.write("i", "c", {"_id": n})
    assert target.replay_oplog(iter(log.entries)).applied == 1200
    assert client[db].c.count_documents({}) == 1200


def test_an_update_of_a_large_document_is_replayed_like_that_of_a_small_one(
    target: MongoTarget, client: Client, db: str
) -> None:
    # The driver hands out raw documents above 4 KiB in another type than smaller ones.
    for identity, filler in ((1, 10), (2, 5_000), (3, 500_000)):
        client[db].c.insert_one({"_id": identity, "x": "x" * filler, "a": {"b": 1}})
        log = Oplog(db).write("u", "c", {"$v": 2, "diff": {"sa": {"u": {"b": 2}}}}, {"_id": identity})
        target.replay_oplog(iter(log.entries))
    assert [d["a"] for d in client[db].c.find().sort("_id", 1)] == [{"b": 2}] * 3


def test_a_sound_collection_is_valid_or_the_server_has_no_such_command(
    target: MongoTarget, client: Client, db: str
) -> None:
    client[db].c.insert_one({"_id": 1})
    namespace = next(n for n in target.list_namespaces() if n.name == f"{db}.c")
    try:
        assert target.validate_collection(namespace) == []
    except NotFound as error:
        assert not REAL, "a mongod has it"
        assert "no such command" in str(error)


def test_a_database_is_dropped_with_all_in_it_and_one_that_is_not_there_is_fine(
    target: MongoTarget, client: Client, db: str
) -> None:
    client[db].c.insert_one({"_id": 1})
    client[db].create_collection("v", viewOn="c", pipeline=[])
    target.drop_database(db)
    target.drop_database(db)
    assert not [n for n in target.list_namespaces() if n.db == db]


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ("mongodb://u:p%40ss@A.example.org:27018,b/?replicaSet=rs0", ("a.example.org:27018", "b")),
        ("mongodb+srv://u:p@cluster.example.org/admin?x=1", ("cluster.example.org",)),
        ("mongodb://[::1]:27017", ("[::1]:27017",)),
        ("", ()),
    ],
)
def test_the_addresses_of_a_uri_are_told_without_its_password(given: str, addresses: tuple[str, ...]) -> None:
    assert parse_addresses(given) == addresses


def test_the_oplogs_end_is_at_or_after_the_newest_entry_that_is_read(
    source: MongoSource, client: Client, db: str
) -> None:
    client[db].c.insert_one({"_id": 1})
    newest = source.read_oplog_window()[1]
    end = source.read_oplog_end()
    assert end.majority >= newest
    assert end.written >= end.majority


def test_a_renamed_collection_replaces_what_had_its_new_name(
    target: MongoTarget, client: Client, db: str
) -> None:
    client[db].a.insert_one({"_id": "a"})
    client[db].b.insert_one({"_id": "b"})
    rename = {"renameCollection": f"{db}.a", "to": f"{db}.b", "dropTarget": Binary(bytes(16), 4)}
    for _ in range(2):
        target.replay_oplog(iter(Oplog(db).command(rename).entries))
        assert [d["_id"] for d in client[db].b.find()] == ["a"]
        assert "a" not in client[db].list_collection_names()
