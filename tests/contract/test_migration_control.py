"""What a migration asks of a server: one suite for the real adapter and the one in memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import bson
import pymongo
import pytest

from local.fakes.migration import MemoryControl, MovableDatabase
from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_moving
from shared.adapters.mongodb.moving import _app_of, _is_internal
from shared.kernel.errors import GroundcrewError
from shared.migrate.model import MARKER_DATABASE, PAUSED_EXPIRY, MarkerState, UploadFacts

Client = pymongo.MongoClient[dict[str, Any]]


class Side:
    """A server, and somebody else's way to it."""

    def __init__(self, control: Any, client: Client | None, memory: MovableDatabase | None) -> None:
        self.control, self.client, self.memory = control, client, memory
        self.db = f"groundcrew_{secrets.token_hex(4)}"

    def write(self, collection: str, document: dict[str, Any]) -> None:
        """As the chat does."""
        if self.memory is not None:
            self.memory.write(self.db, collection, document)
        elif self.client is not None:
            self.client[self.db][collection].replace_one({"_id": document["_id"]}, document, upsert=True)

    def index(self, **spec: Any) -> None:
        """An index on `at`."""
        if self.memory is not None:
            self.memory.create_indexes(self.db, "c", [{"v": 2, "key": {"at": 1}, **spec}])
        elif self.client is not None:
            self.client[self.db].c.create_index("at", **spec)

    def indexes(self) -> dict[str, Any]:
        """By name."""
        if self.memory is not None:
            (listed,) = (n.indexes for n in self.memory.list_namespaces() if n.db == self.db)
        else:
            assert self.client is not None
            listed = tuple(self.client[self.db].c.list_indexes())
        return {str(one["name"]): dict(one) for one in listed}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("MONGODB_URI"):
        yield given
        return
    with MongoServer(tmp_path_factory.mktemp("mongodb"), ttl_monitor=False) as server:
        yield server.uri


@pytest.fixture(params=["memory", "mongodb"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "memory":
        database = MovableDatabase()
        yield Side(MemoryControl(database), None, database)
        return
    uri = request.getfixturevalue("uri")
    with Client(uri, appname="rocketchat") as client, closing(connect_moving(uri)) as control:
        made = Side(control, client, None)
        yield made
        control.allow_writes()
        client.drop_database(made.db)
        client.drop_database(MARKER_DATABASE)


def test_a_server_tells_what_it_is(side: Side) -> None:
    facts = side.control.read_facts("source")
    assert facts.hosts
    assert facts.version.count(".") == 2
    assert facts.replica_set
    assert facts.missing_rights == ()
    assert side.control.read_oplog_facts().length >= timedelta()


def test_a_server_that_is_read_only_refuses_what_the_chat_writes_until_it_is_taken_back(side: Side) -> None:
    side.write("c", {"_id": 1})
    assert (side.control.can_block_writes(), side.control.is_blocked()) == (True, False)
    side.control.block_writes()
    side.control.block_writes()
    assert side.control.is_blocked() is True
    with pytest.raises((GroundcrewError, pymongo.errors.PyMongoError), match="User writes blocked"):
        side.write("c", {"_id": 2})
    found = side.control.find_documents(side.db, "c", [bson.encode({"_id": 1}), bson.encode({"_id": 2})])
    assert found == [bson.encode({"_id": 1})]
    side.control.allow_writes()
    side.control.allow_writes()
    side.write("c", {"_id": 2})
    assert side.control.is_blocked() is False


def test_the_marker_is_the_newest_that_was_written(side: Side) -> None:
    assert side.control.read_marker() == MarkerState()
    for number in (1, 2):
        side.control.write_marker(MarkerState("20260105T030000Z", number, ("rocketchat",)))
    assert side.control.read_marker() == MarkerState("20260105T030000Z", 2, ("rocketchat",))
    side.control.drop_marker()
    side.control.drop_marker()
    assert side.control.read_marker() == MarkerState()


def test_the_expiry_of_an_index_is_changed_in_place_and_an_index_is_dropped_once(side: Side) -> None:
    side.write("c", {"_id": 1})
    side.index(name="ttl", expireAfterSeconds=60)
    side.control.set_expiry(side.db, "c", "ttl", PAUSED_EXPIRY)
    assert side.indexes()["ttl"]["expireAfterSeconds"] == PAUSED_EXPIRY
    side.control.drop_index(side.db, "c", "ttl")
    side.control.drop_index(side.db, "c", "ttl")
    side.control.drop_index(side.db, "absent", "ttl")
    assert set(side.indexes()) == {"_id_"}


def test_documents_are_found_by_ids_of_any_type(side: Side) -> None:
    ids = ["a", 1, {"x": 1}, bson.ObjectId()]
    for one in ids:
        side.write("c", {"_id": one, "v": 1})
    found = side.control.find_documents(side.db, "c", [bson.encode({"_id": one}) for one in ids])
    assert sorted(found) == sorted(bson.encode({"_id": one, "v": 1}) for one in ids)


def test_uploads_are_counted_by_where_their_bytes_lie(uri: str) -> None:
    with Client(uri) as client, closing(connect_moving(uri)) as control:
        name = f"groundcrew_{secrets.token_hex(4)}"
        assert control.read_uploads([name]) == UploadFacts()
        db = client[name]
        db.rocketchat_settings.insert_one({"_id": "FileUpload_Storage_Type", "value": "AmazonS3"})
        db.rocketchat_uploads.insert_many(
            [{"store": "GridFS:Uploads"}, {"store": "AmazonS3:Uploads"}, {"store": "AmazonS3:Uploads"}]
        )
        db.rocketchat_avatars.insert_many([{"store": "GridFS:Avatars"}, {"name": "of no store"}])
        facts = control.read_uploads([name])
        client.drop_database(name)
    assert facts.storage_type == "AmazonS3"
    assert facts.outside == {"AmazonS3:Uploads": 2, "": 1}


def test_the_connections_of_others_are_listed_and_ours_are_not(uri: str) -> None:
    with closing(connect_moving(uri)) as control, Client(uri, appname="rocketchat-7") as client:
        client.admin.command("ping")
        clients = control.list_clients()
        assert clients is not None
        assert "rocketchat-7" in {one.app for one in clients}
        assert "groundcrew" not in {one.app for one in clients}


@pytest.mark.parametrize(
    ("row", "app", "internal"),
    [
        ({"appName": "rocketchat"}, "rocketchat", False),
        (
            {"clientMetadata": {"application": {"name": "mongosh"}, "driver": {"name": "nodejs"}}},
            "mongosh",
            False,
        ),
        ({"clientMetadata": {"driver": {"name": "NetworkInterfaceTL-ReplNetwork"}}}, "", True),
        ({"clientMetadata": {"driver": {"name": "MongoDB Internal Client"}}}, "", True),
        ({}, "", False),
    ],
    ids=["by the server's field", "by the handshake", "a member", "an internal client", "nameless"],
)
def test_a_connection_says_whose_it_is(row: dict[str, Any], app: str, internal: bool) -> None:
    assert (_app_of(row), _is_internal(row)) == (app, internal)
