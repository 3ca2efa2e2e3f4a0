"""A fuzzy dump and the replay of its window are the source as it is at the window's end.

The workload runs while ranges of the collections are read at points of Hypothesis' choosing. The replay is
run twice, since it may be interrupted and begun anew.

Two things are not compared, since the embedded server's oplog does not have them. The order of fields: an
update by other operators than `$set`, `$unset` and a single `$push`, and one by a pipeline, logs the fields
in the order of their names, whatever order they have in the document; and an update that only changes the
order of fields logs none at all (a `mongod` writes `i` sections in the document's order). And empty
collections: one that comes into being by a write is not logged as created, even if the write then finds
nothing to change.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import bson
import pymongo
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_source, connect_target
from shared.adapters.mongodb.source import MongoSource
from shared.adapters.mongodb.target import MongoTarget
from shared.formats.documents import split_documents
from shared.kernel.errors import Inconsistent
from shared.mongodb.indexes import apply_index_changes
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.oplog import find_hazard

Database = pymongo.database.Database[dict[str, Any]]
Server = tuple[pymongo.MongoClient[dict[str, Any]], MongoSource, MongoTarget]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    embedded = MongoServer(tmp_path_factory.mktemp("mongodb"), ttl_monitor=False)
    uri = os.environ.get("MONGODB_URI")
    if not uri:
        embedded.start()
    source, target = connect_source(uri or embedded.uri), connect_target(uri or embedded.uri)
    with pymongo.MongoClient[dict[str, Any]](uri or embedded.uri) as client:
        yield client, source, target
    source.close()
    target.close()
    embedded.stop()


COLLECTIONS, IDS = ("a", "b"), tuple(range(8))
names = st.sampled_from(["x", "y", "z"])
values = st.recursive(
    st.sampled_from([None, True, 7, 2.5, "text"]),
    lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(names, v, max_size=2)),
    max_leaves=5,
)
paths = st.sampled_from(["x", "y", "z", "x.y", "y.z", "l.1", "l.4", "l.0.x"])
bodies = st.dictionaries(st.sampled_from(["x", "y", "z", "l"]), values, max_size=4)
identities = st.sampled_from(IDS)
updates = st.one_of(
    st.dictionaries(paths, values, min_size=1, max_size=2).map(lambda fields: {"$set": fields}),
    st.builds(lambda p, q, v: {"$set": {p: v}, "$unset": {q: True}}, paths, paths, values),
    values.map(lambda v: {"$push": {"l": v}}),
    st.lists(values, max_size=3).map(lambda v: {"$push": {"l": {"$each": v, "$slice": -2}}}),
    st.sampled_from([-1, 1]).map(lambda end: {"$pop": {"l": end}}),
    st.just({"$inc": {"n": 1}, "$set": {"m": 2}}),
    st.builds(lambda p, q: {"$rename": {p: q}}, names, st.sampled_from(["v", "w"])),
    values.map(lambda v: [{"$set": {"x": {"$literal": v}, "c": 1}}, {"$unset": "y"}]),
)
ONE: dict[str, Any] = {
    "insert": bodies,
    "replace": bodies,
    "upsert": updates,
    "update": updates,
    "delete": st.none(),
}
writes = st.sampled_from(sorted(ONE)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(COLLECTIONS), identities, ONE[kind])
)
schemes = st.sampled_from(["drop", "index", "unindex", "modify", "all"]).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(COLLECTIONS), names, st.none())
)
transactions = st.lists(writes, min_size=1, max_size=3).map(lambda some: ("transaction", "", 0, some))
steps = st.lists(st.one_of(writes, writes, writes, writes, schemes, transactions), min_size=1, max_size=16)


def act(db: Database, step: Any, session: Any = None) -> None:
    """Do the step; what the server refuses did not happen."""
    kind, name, key, how = step
    collection = db[name or "a"]
    if kind == "insert":
        collection.insert_one({"_id": key, **how}, session=session)
    elif kind == "replace":
        collection.replace_one({"_id": key}, how, session=session)
    elif kind in ("update", "upsert"):
        collection.update_one({"_id": key}, how, upsert=kind == "upsert", session=session)
    elif kind == "delete":
        collection.delete_one({"_id": key}, session=session)
    elif kind == "transaction":
        with db.client.start_session() as own, own.start_transaction():
            for inner in how:
                act(db, inner, own)
    else:
        _rearrange(db, kind, name, key)


def _rearrange(db: Database, kind: str, name: str, key: str) -> None:
    if kind == "drop":
        db.drop_collection(name)
    elif kind == "index":
        db[name].create_index([(key, 1)], expireAfterSeconds=1000)
    elif kind == "unindex":
        db[name].drop_index(f"{key}_1")
    elif kind == "all":
        db[name].drop_indexes()
    else:
        index = {"name": f"{key}_1", "expireAfterSeconds": 2000}
        db.command({"collMod": name, "index": index})


class Dump:
    """Reads the collections range by range while others write."""

    def __init__(self, source: MongoSource, db: str) -> None:
        self._source, self._db = source, db
        self.namespaces: list[Namespace] = []
        self.documents: dict[str, list[bytes]] = {}

    def catalogue(self) -> None:
        """What there is to be dumped, as it is now."""
        self.namespaces = [n for n in self._source.list_namespaces() if n.db == self._db]
        self.documents = {n.collection: [] for n in self.namespaces}

    def read(self, name: str, low: int | None, high: int | None) -> None:
        """The documents of the range as they are now, if the catalogue had the collection."""
        bounds = (None if n is None else bson.encode({"_id": n}) for n in (low, high))
        for namespace in self.namespaces:
            if namespace.collection == name:
                for batch in self._source.read_batches(namespace, IdRange(*bounds)):
                    self.documents[name] += split_documents(batch.documents)


def unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unordered(value[name]) for name in sorted(value)}
    return [unordered(item) for item in value] if isinstance(value, list) else value


def contents(db: Database) -> dict[str, list[bytes]]:
    """Documents by collection, with their types, without the order of their fields."""
    found = {name: [bson.encode(unordered(d)) for d in db[name].find()] for name in COLLECTIONS}
    return {name: sorted(documents) for name, documents in found.items() if documents}


def indexes(reader: MongoTarget, db: str) -> dict[str, list[Any]]:
    listed = [n for n in reader.list_namespaces() if n.db == db]
    found = {n.collection: sorted((dict(i) for i in n.indexes), key=str) for n in listed}
    return {name: some for name, some in found.items() if len(some) > 1}


@given(st.lists(bodies, max_size=6), steps, st.data())
@settings(
    max_examples=20,
    deadline=None,
    # Each example takes a good part of a second, so that looking for a smaller one would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_fuzzy_dump_and_its_oplog_are_the_source(
    server: Server, before: list[Any], workload: list[Any], data: st.DataObject
) -> None:
    client, source, target = server
    here, there = (f"groundcrew_{secrets.token_hex(6)}" for _ in range(2))
    db = client[here]
    try:
        for key, body in enumerate(before):
            db["a"].insert_one({"_id": key, **body})
        _, start = source.read_oplog_window()
        dump = Dump(source, here)
        pieces = list(itertools.pairwise([None, data.draw(identities), None]))
        reads = [(name, *piece) for name in COLLECTIONS for piece in pieces]
        count = 1 + len(reads)
        places = st.lists(st.integers(0, len(workload)), min_size=count, max_size=count)
        positions = sorted(data.draw(places))
        for place, step in enumerate([*workload, None]):
            for position, read in zip(positions, [None, *reads], strict=True):
                if position == place:
                    dump.read(*read) if read else dump.catalogue()
            if step is not None:
                with suppress(OperationFailure):
                    act(db, step)
        restore(source, target, start, dump, here, there)
        assert contents(client[there]) == contents(db)
        assert indexes(target, there) == indexes(target, here)
    except Inconsistent:
        event("given up")
        assert any(step[0] == "drop" for step in workload), "only a drop spoils a dump"
    finally:
        for name in (here, there):
            client.drop_database(name)


def restore(source: MongoSource, target: MongoTarget, start: Any, dump: Dump, here: str, there: str) -> None:
    """Insert the dump, replay the window twice, build the indexes, all under the other name."""
    _, end = source.read_oplog_window()
    entries = [entry for batch in source.read_oplog(start, end) for entry in split_documents(batch)]
    # The names are of the same length, so that raw entries stay BSON.
    window = [entry.replace(here.encode(), there.encode()) for entry in entries if here.encode() in entry]
    assert not any(map(find_hazard, window))
    for namespace in dump.namespaces:
        target.create_collection(
            Namespace(there, namespace.collection, namespace.kind, options=namespace.options)
        )
        result = target.insert_documents(there, namespace.collection, dump.documents[namespace.collection])
        assert result.failures == ()
    catalogue = {f"{there}.{n.collection}": n.indexes for n in dump.namespaces}
    first = target.replay_oplog(iter(window))
    second = target.replay_oplog(iter(window))
    assert first == second
    for name, wanted in apply_index_changes(catalogue, second.index_changes).items():
        db, _, collection = name.partition(".")
        assert target.create_indexes(db, collection, list(wanted)) == []
