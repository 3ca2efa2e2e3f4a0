"""The seeder and the writer against the embedded MongoDB, or a real one named by MONGODB_URI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from local.mongodb import MongoServer, source
from local.rocketchat import catalog
from local.rocketchat.seed import SeedReport, seed_database
from local.rocketchat.writer import WEIGHTS, Writer
from shared.formats.documents import Tally, tally_documents
from shared.kernel.errors import Refused, Unavailable, UsageError

Document = dict[str, Any]
BUCKETS = ("rocketchat_uploads", "rocketchat_avatars", "assets", "custom_sounds", "rocketchat_apps_packages")
DEADLINE_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Seeded:
    """A seeded database on a running server."""

    uri: str
    database: Database[Document]
    report: SeedReport

    def tallies(self) -> dict[str, Tally]:
        """What each collection holds, by count, bytes and content hash."""
        tallies: dict[str, Tally] = {}
        for name in self.database.list_collection_names(filter={"type": "collection"}):
            batches: Any = self.database[name].find_raw_batches()
            tallies[name] = sum((tally_documents(batch) for batch in batches if batch), Tally())
        return tallies


def _client(uri: str) -> pymongo.MongoClient[Document]:
    return pymongo.MongoClient(uri, datetime_conversion=DatetimeConversion.DATETIME_AUTO, tz_aware=True)


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def uri(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    return stack.enter_context(source(tmp_path_factory.mktemp("mongodb")))


@pytest.fixture(scope="module")
def other_uri(uri: str, stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    if os.environ.get("MONGODB_URI"):
        return uri
    server = MongoServer(tmp_path_factory.mktemp("other"))
    server.start()
    stack.callback(server.kill)  # two seconds faster than stopping it
    return server.uri


def _seeded(stack: ExitStack, uri: str, *, largest: bool) -> Seeded:
    name = f"seed_{uuid.uuid4().hex[:12]}"
    client = stack.enter_context(_client(uri))
    report = seed_database(uri, megabytes="tiny", database=name, largest=largest)
    if os.environ.get("MONGODB_URI"):  # an embedded server goes away as a whole
        stack.callback(client.drop_database, name)
    return Seeded(uri, client[name], report)


@pytest.fixture(scope="module")
def seeded(stack: ExitStack, uri: str) -> Seeded:
    """Only read by the tests."""
    return _seeded(stack, uri, largest=True)


@pytest.fixture(scope="module")
def written(stack: ExitStack, other_uri: str) -> Seeded:
    """Changed by writers."""
    return _seeded(stack, other_uri, largest=False)


def test_two_servers_are_filled_with_the_same_documents(
    seeded: Seeded, stack: ExitStack, other_uri: str
) -> None:
    other = _seeded(stack, other_uri, largest=True)
    assert other.tallies() == seeded.tallies()


def test_the_report_agrees_with_the_server(seeded: Seeded) -> None:
    found = {name: held for name, held in seeded.tallies().items() if held.documents}
    # The server may keep some odd types in another form or not at all; the notes say so.
    exact = found.keys() - {catalog.ODD_TYPES, catalog.ODD_SERIES}
    assert {name: found[name].documents for name in exact} == {
        name: seeded.report.documents[name] for name in exact
    }
    assert {name: found[name].data_bytes for name in exact} == {
        name: seeded.report.sizes_bytes[name] for name in exact
    }
    names = seeded.database.list_collection_names(filter={"type": {"$ne": "view"}})
    assert len([name for name in names if not name.startswith("system.")]) == seeded.report.collections - 1


def test_all_collections_are_there_and_most_of_them_empty(seeded: Seeded) -> None:
    tallies = seeded.tallies()
    assert set(catalog.COLLECTIONS) <= tallies.keys()
    assert sum(1 for name in catalog.COLLECTIONS if not tallies[name].documents) == 50


def test_a_collection_keeps_its_options_and_the_view_answers(seeded: Seeded) -> None:
    listed = {found["name"]: found for found in seeded.database.list_collections()}
    assert listed[catalog.VIEW]["type"] == "view"
    assert isinstance(list(seeded.database[catalog.VIEW].find()), list)
    assert listed[catalog.ODD_CAPPED]["options"]["capped"] is True
    assert (
        listed[catalog.ODD_VALIDATED]["options"]["validator"]
        == catalog.ODD_OPTIONS["odd_validated"]["validator"]
    )
    assert listed[catalog.ODD_COLLATED]["options"]["collation"]["strength"] == 2


def test_indexes_of_every_kind_are_built_and_the_refused_ones_are_noted(seeded: Seeded) -> None:
    kinds: Counter[str] = Counter()
    for name in seeded.database.list_collection_names(filter={"type": "collection"}):
        for index in seeded.database[name].list_indexes():
            key = dict(index["key"])
            kinds.update(option for option in index if option not in ("v", "key", "name", "ns"))
            kinds.update(str(direction) for direction in key.values())
            kinds["compound"] += len(key) > 1
            kinds["wildcard"] += any("$**" in field for field in key)
            kinds["unique and sparse"] += bool(index.get("unique") and index.get("sparse"))
    wanted = ("unique", "sparse", "unique and sparse", "partialFilterExpression", "collation", "compound")
    assert [kind for kind in (*wanted, "wildcard", "2dsphere", "-1", "hidden") if not kinds[kind]] == []
    assert kinds["expireAfterSeconds"] >= 5
    for kind in ("text", "hashed"):
        assert kinds[kind] or any(kind in note for note in seeded.report.notes)


def test_two_indexes_on_the_same_key_are_told_apart_by_their_collation(seeded: Seeded) -> None:
    users = [
        index for index in seeded.database["users"].list_indexes() if dict(index["key"]) == {"username": 1}
    ]
    assert sorted("collation" in index for index in users) == [False, True]


def test_no_seeded_document_expires_soon(seeded: Seeded) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    watched = []
    for name in seeded.database.list_collection_names(filter={"type": "collection"}):
        for index in seeded.database[name].list_indexes():
            if "expireAfterSeconds" in index:
                [field] = index["key"]
                after = tomorrow - timedelta(seconds=index["expireAfterSeconds"])
                assert seeded.database[name].count_documents({field: {"$lt": after}}) == 0, name
                watched += [name] * seeded.database[name].count_documents({field: {"$exists": True}})
    assert {"instances", "rocketchat__trash", "rocketchat_sessions", "rocketchat_integration_history"} <= set(
        watched
    )


def _broken_files(database: Database[Document], bucket: str) -> list[object]:
    chunks: dict[object, list[tuple[int, int]]] = defaultdict(list)
    for chunk in database[f"{bucket}.chunks"].find():
        chunks[chunk["files_id"]].append((chunk["n"], len(chunk["data"])))
    broken: list[object] = []
    for file in database[f"{bucket}.files"].find():
        size, length = file["chunkSize"], file["length"]
        expected = [(n, min(size, length - n * size)) for n in range(-(-length // size))]
        if sorted(chunks.pop(file["_id"], [])) != expected or size != 261_120:
            broken.append(file["_id"])
    return broken + list(chunks)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_every_file_has_all_its_chunks_and_no_chunk_is_left_over(seeded: Seeded, bucket: str) -> None:
    assert seeded.database[f"{bucket}.files"].count_documents({}) > 0
    assert _broken_files(seeded.database, bucket) == []


def test_every_upload_has_its_row_its_file_and_its_message(seeded: Seeded) -> None:
    rows = {row["_id"]: row["size"] for row in seeded.database["rocketchat_uploads"].find()}
    files = {file["_id"]: file["length"] for file in seeded.database["rocketchat_uploads.files"].find()}
    shown = seeded.database["rocketchat_message"].distinct("file._id")
    assert rows == files
    assert set(shown) == set(rows)


def test_rooms_carry_what_their_messages_add_up_to(seeded: Seeded) -> None:
    messages: Counter[str] = Counter()
    for message in seeded.database["rocketchat_message"].find({}, {"rid": 1}):
        messages[message["rid"]] += 1
    rooms = list(seeded.database["rocketchat_room"].find())
    assert {room["_id"]: room["msgs"] for room in rooms if room["msgs"]} == dict(messages)
    last = next(room["lastMessage"] for room in rooms if room["msgs"] > 3)
    assert seeded.database["rocketchat_message"].find_one({"_id": last["_id"]}) == last


def test_subscriptions_join_people_and_rooms_that_exist(seeded: Seeded) -> None:
    people = set(seeded.database["users"].distinct("_id"))
    rooms = {room["_id"]: room["usersCount"] for room in seeded.database["rocketchat_room"].find()}
    members: Counter[str] = Counter()
    for subscription in seeded.database["rocketchat_subscription"].find():
        assert subscription["u"]["_id"] in people
        members[subscription["rid"]] += 1
    assert dict(members) == rooms


def test_what_breaks_careless_dumps_came_through(seeded: Seeded) -> None:
    database = seeded.database
    assert {type(key) for key in database["rocketchat_sessions"].distinct("_id")} == {str, ObjectId}
    assert "" in database["rocketchat_oembed_cache"].find_one({})["data"]["meta"]
    event = database["rocketchat_federation_events"].find_one({})
    assert event["_id"].startswith("$")
    assert {"chat.example"} == event["event"]["signatures"].keys()
    assert isinstance(database["rocketchat_analytics"].find_one({})["date"], int)


def test_the_server_took_one_document_at_the_limit(seeded: Seeded) -> None:
    raw = seeded.database.get_collection(
        "rocketchat_raw_imports", codec_options=CodecOptions(document_class=RawBSONDocument)
    )
    assert [len(row.raw) for row in raw.find() if len(row.raw) > 16_000_000] == [16_777_216]


def test_a_database_that_is_not_empty_is_refused_and_left_alone(seeded: Seeded) -> None:
    before = seeded.database.list_collection_names()
    with pytest.raises(Refused, match="not empty"):
        seed_database(seeded.uri, megabytes="tiny", database=seeded.database.name)
    assert seeded.database.list_collection_names() == before


def _newest(database: Database[Document]) -> Any:
    [entry] = database.client["local"]["oplog.rs"].find().sort("$natural", -1).limit(1)
    return entry["ts"]


def _kinds(database: Database[Document], after: Any) -> set[str]:
    """The kinds of oplog entries of that database since then; entries of transactions are unpacked."""
    kinds: set[str] = set()
    for entry in database.client["local"]["oplog.rs"].find({"ts": {"$gt": after}}):
        inside = entry["o"].get("applyOps", []) if entry["op"] == "c" else []
        for one in (entry, *inside):
            if one["ns"].partition(".")[0] in (database.name, "admin"):
                kinds |= _kind(one)
    return kinds


def _kind(entry: Document) -> set[str]:
    if entry["op"] == "c":
        return {"c", next(iter(entry["o"]))}
    if entry["op"] != "u":
        return {entry["op"]}
    diff = entry["o"].get("diff")
    if diff is None:
        return {"u", "replacement"}
    # `d` holds the removed fields in MongoDB's own form, `removedFields` in the embedded server's.
    return {"u", "diff", *(["removal"] if diff.get("d") or diff.get("removedFields") else [])}


def _all_kinds_done(counts: Counter[str]) -> bool:
    return len(counts) == len(WEIGHTS) and counts.total() >= 120


def test_the_writer_leaves_oplog_entries_of_every_kind(written: Seeded) -> None:
    start = _newest(written.database)
    with Writer(written.uri, rate=0, database=written.database.name) as writer:
        assert writer.wait_for(_all_kinds_done, seconds=DEADLINE_SECONDS), writer.counts
    kinds = _kinds(written.database, start)
    assert kinds >= {"i", "u", "d", "c", "diff", "replacement", "removal"}
    assert kinds >= {"create", "drop", "createIndexes", "dropIndexes", "collMod"}
    assert writer.writes > writer.counts.total()


def test_what_the_writer_leaves_behind_is_whole(written: Seeded) -> None:
    database = written.database
    # A second run with the same seed on the same database collides with nothing of the first.
    for _ in range(2):
        with Writer(written.uri, rate=0, database=database.name) as writer:
            assert writer.wait_for(lambda counts: counts.total() > 60, seconds=DEADLINE_SECONDS)
    assert _broken_files(database, "rocketchat_uploads") == []
    assert database["rocketchat_uploads"].count_documents({"complete": False}) == 0
    assert database["rocketchat_reports"].count_documents({"lost": True}) == 0
    assert database["rocketchat_reports"].count_documents({"_id": {"$regex": "-2$"}}) == 0
    assert database["rocketchat_reports"].count_documents({"reason": {"$exists": True}}) >= 2
    assert [name for name in database.list_collection_names() if name.startswith("writer_scratch_")] == []
    assert database["rocketchat__trash"].count_documents({"_deletedAt": {"$lt": datetime.now(UTC)}}) >= 2


def test_a_slow_writer_keeps_its_pace_and_stops_at_once(written: Seeded) -> None:
    with Writer(written.uri, rate=0.01, database=written.database.name) as writer:
        assert writer.wait_for(lambda counts: counts.total() == 1, seconds=DEADLINE_SECONDS)
        began = time.monotonic()
        writer.stop()
        assert time.monotonic() - began < 2
    assert writer.counts.total() == 1


def test_a_database_without_rocketchat_is_named_and_not_written_to(uri: str) -> None:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with pytest.raises(UsageError, match=name), Writer(uri, database=name):
        pass
    with _client(uri) as client:
        assert name not in client.list_database_names()


def _one_room(database: Database[Document]) -> None:
    """As little of a Rocket.Chat as a writer can do with."""
    stamp = {"_id": "u", "username": "u", "name": "U"}
    database["rocketchat_room"].insert_one({"_id": "r", "t": "c", "name": "r"})
    database["rocketchat_subscription"].insert_one({"_id": "s", "rid": "r", "u": stamp})
    database["rocketchat_message"].insert_one({"_id": "m", "rid": "r", "u": stamp})


def test_a_refused_write_ends_the_writer_and_is_raised_when_it_is_stopped(uri: str) -> None:
    with _client(uri) as client:
        database = client[f"closed_{uuid.uuid4().hex[:12]}"]
        _one_room(database)
        database.command("collMod", "rocketchat_message", validator={"never": {"$exists": True}})
        writer = Writer(uri, rate=0, database=database.name)
        with pytest.raises(Unavailable, match="validation"), writer:
            assert not writer.wait_for(lambda counts: counts.total() > 5, seconds=DEADLINE_SECONDS)
            assert writer.failed
        client.drop_database(database.name)


def test_a_writer_whose_server_is_gone_says_so(tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server, _client(server.uri) as client:
        _one_room(client["rocketchat"])
        writer = Writer(server.uri, rate=0)
        with pytest.raises(Unavailable), writer:
            assert writer.wait_for(lambda counts: counts.total() > 3, seconds=DEADLINE_SECONDS)
            client.close()
            server.kill()
            assert not writer.wait_for(lambda counts: counts.total() > 10**9, seconds=DEADLINE_SECONDS)


def _command(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", f"local.rocketchat.{module}", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_both_commands_do_their_work_and_say_what_they_did(uri: str) -> None:
    name = f"command_{uuid.uuid4().hex[:12]}"
    where = ("--uri", uri, "--database", name)
    made = _command("seed", *where, "--megabytes", "0.2", "--no-largest")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{name}: ")
    wrote = _command("writer", *where, "--rate", "0", "--seconds", "0.2")
    assert (wrote.returncode, wrote.stderr) == (0, "")
    assert "message: " in wrote.stdout
    again = _command("seed", *where)
    assert (again.returncode, again.stdout) == (1, "")
    assert "not empty" in again.stderr
    with _client(uri) as client:
        client.drop_database(name)


@pytest.mark.parametrize("size", ["huge", "0", "-3", "nan"])
def test_a_size_that_is_none_is_refused_before_anything_is_asked_of_the_server(size: str) -> None:
    with pytest.raises(UsageError, match=size):
        seed_database("mongodb://127.0.0.1:1/", megabytes=size)
