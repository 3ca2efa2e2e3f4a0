"""Restores over MongoDB's protocol: a dump of a living server, into a server with data of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest

from local.fakes.journals import MemoryJournals
from local.fakes.reporter import ListReporter
from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_target
from shared.adapters.mongodb.client import connect
from shared.adapters.mongodb.source import MongoSource
from shared.adapters.mongodb.target import MongoTarget
from shared.backup.job import run_nightly
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import MAX_DOCUMENT_BYTES, TalliedBatch, split_documents
from shared.kernel.errors import Unavailable
from shared.mongodb.model import IdRange, InsertResult, Namespace
from shared.restore.job import RestoreDeps, restore_set
from tests.support.backup_world import World

Client = pymongo.MongoClient[dict[str, Any]]


class Living(MongoSource):
    """A source that is written to in the middle of reading a collection."""

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        for number, batch in enumerate(super().read_batches(namespace, within)):
            yield batch
            if number == 0 and namespace.collection == "presence":
                self.write()

    def write(self) -> None:
        db, billing = self._client.rocketchat, self._client.billing
        db.presence.delete_one({"_id": "u5"})
        db.presence.insert_one({"_id": "u5", "x": "back"})
        db.other.update_one({"_id": 1}, {"$set": {"v": 1}})
        db.log.insert_many([{"_id": 100_000 + i, "x": "new"} for i in range(30)])
        db.born.insert_one({"_id": 1})
        billing.invoices.update_one({"_id": 1}, {"$set": {"amount": 99}})
        billing.invoices.delete_one({"_id": 2})
        large = {"_id": 1, "data": b""}
        large["data"] = bytes(MAX_DOCUMENT_BYTES - len(bson.encode(large)))
        db.files.insert_one(large)


def fill(client: Client) -> None:
    db = client.rocketchat
    db.presence.insert_many([{"_id": f"u{i}", "x": "y" * 4000} for i in range(5_000)])
    db.presence.create_index("x", name="x_1")
    db.other.insert_one({"_id": 1, "v": 0})
    db.create_collection("log", capped=True, size=1 << 20, max=50)
    db.log.insert_many([{"_id": i, "x": "old"} for i in range(50)])
    db.create_collection("v", viewOn="other", pipeline=[])
    client.billing.invoices.insert_many([{"_id": i, "amount": 10} for i in (1, 2)])


class Breaking(MongoTarget):
    """A target whose n-th insert fails for good."""

    after = 3

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        self.after -= 1
        if self.after == 0:
            raise Unavailable("inserting failed", value="connection closed")
        return super().insert_documents(db, collection, documents)


def contents(client: Client, db: str) -> dict[str, list[Any]]:
    names = [n for n in client[db].list_collection_names() if not n.startswith("system.")]
    return {name: sorted(client[db][name].find(), key=str) for name in names}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MongoServer, MongoServer]]:
    folder = tmp_path_factory.mktemp("servers")
    with (
        MongoServer(folder / "source", ttl_monitor=False) as source,
        MongoServer(folder / "target", ttl_monitor=False) as target,
    ):
        yield source, target


@pytest.fixture(scope="module")
def sealed(servers: tuple[MongoServer, MongoServer]) -> Iterator[World]:
    uri = servers[0].uri
    with Client(uri) as client:
        fill(client)
    with closing(Living(connect(uri), ["rocketchat"])) as source:
        world = World(part_bytes=512 << 20, database=source)  # type: ignore[arg-type]
        job = world.job()
        job.__dict__["policy"] = job.policy.model_copy(update={"databases": ("rocketchat",)})
        run_nightly(job)
        world.work(job)
        world.verify()
        yield world


def deps_of(world: World, target: MongoTarget, journals: MemoryJournals) -> RestoreDeps:
    return RestoreDeps(
        world.catalogue, target, world.identities, ListReporter(), world.clock, journals=journals, jobs=3
    )


def test_a_living_server_is_restored_into_one_with_data_of_its_own_and_what_breaks_off_is_resumed(
    sealed: World, servers: tuple[MongoServer, MongoServer]
) -> None:
    source, target = servers
    with Client(source.uri) as there, Client(target.uri) as here:
        here.billing.invoices.insert_many([{"_id": i, "amount": 777, "live": True} for i in (1, 2)])
        mine = contents(here, "billing")
        journals = MemoryJournals()
        with closing(Breaking(connect(target.uri))) as breaking, pytest.raises(Unavailable):
            restore_set(deps_of(sealed, breaking, journals), "latest", into_non_empty=True)
        with closing(connect_target(target.uri)) as restored:
            result = restore_set(deps_of(sealed, restored, journals), "latest", resume=True)
        assert [v for v in result.verdicts if not v.equal] == []
        assert result.problems == []
        assert result.proven
        assert contents(here, "rocketchat") == contents(there, "rocketchat")
        assert contents(here, "billing") == mine
        assert [d["_id"] for d in here.rocketchat.log.find()] == [
            d["_id"] for d in there.rocketchat.log.find()
        ]


def test_a_set_is_restored_beside_the_database_that_it_is_of(
    sealed: World, servers: tuple[MongoServer, MongoServer]
) -> None:
    with Client(servers[0].uri) as client, closing(connect_target(servers[0].uri)) as target:
        before = contents(client, "rocketchat")
        deps = deps_of(sealed, target, MemoryJournals())
        result = restore_set(deps, "latest", renames=[("rocketchat", "rescued")], into_non_empty=True)
        assert result.proven
        assert contents(client, "rescued") == before == contents(client, "rocketchat")
        assert client.rescued.presence.index_information().keys() == {"_id_", "x_1"}
        client.drop_database("rescued")


@pytest.mark.skipif(shutil.which("mongodump") is None, reason="needs mongodump of MongoDB's tools")
def test_the_real_mongodumps_archive_is_read(
    servers: tuple[MongoServer, MongoServer], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    with Client(servers[0].uri) as client:
        client.plain.c.insert_many([{"_id": i, "x": "y" * 100} for i in range(3_000)])
        client.plain.d.insert_one({"_id": 1})
        argv = ["mongodump", f"--uri={servers[0].uri}", "--db=plain", f"--archive={archive}"]
        subprocess.run(argv, check=True, capture_output=True, timeout=120)
        reader = ArchiveReader(iter([archive.read_bytes()]), name="archive")
        counts: dict[str, int] = {}
        for event in reader:
            if isinstance(event, DocumentBatch):
                counts[event.collection] = counts.get(event.collection, 0) + len(
                    [*split_documents(event.batch)]
                )
        client.drop_database("plain")
    assert counts == {"c": 3_000, "d": 1}
