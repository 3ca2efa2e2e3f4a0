"""A set is restored into a server that has nothing in common with SecantusDB but MongoDB's protocol.

FerretDB 1.x keeps documents in SQLite: what of our reads and writes it answers, every server of the protocol
does. What it does not have is named in local/real/reality.toml.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import bson
import pymongo
import pytest
from pymongo.errors import OperationFailure

from local.fakes.journals import MemoryJournals
from local.fakes.reporter import ListReporter
from local.mongodb import MongoServer
from local.real.ferretdb_server import FerretServer
from shared.adapters.mongodb import connect_source, connect_target
from shared.adapters.mongodb.client import connect
from shared.adapters.mongodb.source import MongoSource
from shared.backup.job import run_nightly
from shared.kernel.errors import GroundcrewError, NotFound
from shared.restore.job import RestoreDeps, restore_set
from tests.support.backup_world import World

Client = pymongo.MongoClient[dict[str, Any]]
DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def ferret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address: that of GROUNDCREW_TEST_FERRETDB, or one that is started."""
    if given := os.environ.get("GROUNDCREW_TEST_FERRETDB"):
        yield given
        return
    try:
        server = FerretServer(tmp_path_factory.mktemp("ferretdb"))
    except NotFound as error:
        pytest.skip(str(error))
    with server:
        yield server.uri


def fill(client: Client, db: str) -> None:
    client[db].users.insert_many(
        [{"_id": f"u{i}", "name": f"Ada {i}", "active": i % 2 == 0} for i in range(200)]
    )
    client[db].messages.insert_many(
        [
            {"_id": bson.ObjectId(), "rid": "GENERAL", "ts": DAY, "n": i, "big": 2**40 + i, "f": i / 3,
             "raw": bytes([i % 256]), "tags": ["a", None, {"x": [1, 2]}], "msg": "ä" * (i % 50)}
            for i in range(3_000)
        ]
    )  # fmt: skip
    client[db].messages.create_index([("rid", 1), ("ts", -1)], name="rid_1_ts_-1")
    client[db].empty.insert_one({"_id": 1})
    client[db].empty.delete_one({"_id": 1})


def contents(client: Client, db: str) -> dict[str, list[Any]]:
    return {name: sorted(client[db][name].find(), key=str) for name in client[db].list_collection_names()}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, list[Any]]]]:
    """A sealed set of the embedded server, and what is in it."""
    with MongoServer(tmp_path_factory.mktemp("source"), ttl_monitor=False) as server:
        with Client(server.uri) as client:
            fill(client, "rocketchat")
            wanted = contents(client, "rocketchat")
        with closing(MongoSource(connect(server.uri), ["rocketchat"])) as source:
            world = World(part_bytes=1 << 20, database=source)  # type: ignore[arg-type]
            job = world.job()
            job.__dict__["policy"] = job.policy.model_copy(update={"databases": ("rocketchat",)})
            run_nightly(job)
            world.work(job)
            world.verify()
            yield world, wanted


def test_every_document_and_index_of_a_set_is_restored(ferret: str, sealed: tuple[World, Any]) -> None:
    world, wanted = sealed
    with closing(connect_target(ferret)) as target, Client(ferret) as client:
        deps = RestoreDeps(
            world.catalogue, target, world.identities, ListReporter(), world.clock,
            journals=MemoryJournals(), jobs=2,
        )  # fmt: skip
        result = restore_set(deps, "latest", into_non_empty=True)
        assert [one for one in result.verdicts if not one.equal] == []
        assert contents(client, "rocketchat") == wanted
        assert client.rocketchat.messages.index_information().keys() == {"_id_", "rid_1_ts_-1"}


def test_a_server_without_an_oplog_is_not_dumped_and_says_so(ferret: str) -> None:
    with closing(connect_source(ferret)) as source, pytest.raises(GroundcrewError):
        source.read_oplog_window()


LACKING = {
    "views": {"create": "v", "viewOn": "m", "pipeline": []},
    "validators": {"create": "c", "validator": {"n": {"$type": "int"}}},
    "time series": {"create": "t", "timeseries": {"timeField": "t"}},
    "change streams": {"aggregate": "m", "pipeline": [{"$changeStream": {}}], "cursor": {}},
    "cursors without an end": {"find": "m", "noCursorTimeout": True},
    "the order of the disk": {"find": "m", "sort": {"$natural": -1}},
    "an index's version": {"createIndexes": "m", "indexes": [{"key": {"n": 1}, "name": "n_1", "v": 2}]},
    "indexes that expire": {
        "createIndexes": "m", "indexes": [{"key": {"t": 1}, "name": "t_1", "expireAfterSeconds": 60}],
    },
    "partial indexes": {
        "createIndexes": "m",
        "indexes": [{"key": {"n": 1}, "name": "p_1", "partialFilterExpression": {"n": {"$gt": 3}}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("command", LACKING.values(), ids=LACKING)
def test_what_the_table_says_that_it_lacks_is_refused_by_it(ferret: str, command: dict[str, Any]) -> None:
    with Client(ferret) as client, pytest.raises(OperationFailure):
        client.lacking.m.update_one({"_id": 1}, {"$set": {"n": 1}}, upsert=True)
        client.lacking.command(command)


def test_bounds_of_a_range_are_not_refused_by_it_but_ignored(ferret: str) -> None:
    # So it must never be read in ranges: it is no source, since it has no oplog.
    with Client(ferret) as client:
        client.ranges.m.insert_many([{"_id": number} for number in range(9)])
        found = client.ranges.m.find().min([("_id", 3)]).max([("_id", 6)]).hint([("_id", 1)])
        assert len(list(found)) == 9
