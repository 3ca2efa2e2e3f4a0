"""Deleting by the ids that a field holds: the same of a real server and of the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_target
from shared.mongodb.ports import TargetDatabase

DOCUMENTS: list[dict[str, object]] = [
    {"_id": "a", "u": {"_id": "ann"}, "files": [{"_id": "f1"}, {"_id": "f2"}], "last": {"_id": "x"}},
    {"_id": "b", "u": {"_id": "bob"}, "files": [{"_id": "f2"}, {"_id": 3}]},
    {"_id": "c", "u": {"_id": "ann"}, "file": {"_id": "f4"}},
    {"_id": 4, "u": "ann"},
]


@pytest.fixture(scope="module", params=["memory", "server"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TargetDatabase]:
    if request.param == "memory":
        yield MemoryDatabase("target:27017")
        return
    path: Path = tmp_path_factory.mktemp("mongodb")
    with MongoServer(path) as server, closing(connect_target(server.uri)) as opened:
        yield opened


@pytest.fixture
def collection(target: TargetDatabase, request: pytest.FixtureRequest) -> str:
    name = f"c{abs(hash(request.node.name))}"
    target.insert_documents("chat", name, [bson.encode(one) for one in DOCUMENTS])
    return name


def test_values_are_found_through_lists_and_only_texts(target: TargetDatabase, collection: str) -> None:
    assert target.find_values("chat", collection, "files._id", "u._id", ["ann", "bob"]) == ["f1", "f2"]
    assert target.find_values("chat", collection, "file._id", "_id", ["c", "a"]) == ["f4"]
    assert target.find_values("chat", collection, "_id", "u._id", ["nobody"]) == []
    assert target.find_values("chat", "absent", "_id", "_id", ["a"]) == []


def test_only_what_matches_is_deleted_and_counted_once(target: TargetDatabase, collection: str) -> None:
    assert target.delete_where("chat", collection, "u._id", ["ann"]) == 2
    assert target.delete_where("chat", collection, "u._id", ["ann"]) == 0
    assert target.find_values("chat", collection, "u._id", "_id", ["a", "b", "c"]) == ["bob"]
    assert target.delete_where("chat", "absent", "_id", ["a"]) == 0


def test_a_field_is_removed_where_it_is(target: TargetDatabase, collection: str) -> None:
    assert target.unset_where("chat", collection, "last._id", ["x"], "last") == 1
    assert target.unset_where("chat", collection, "last._id", ["x"], "last") == 0
    assert target.find_values("chat", collection, "last._id", "_id", ["a"]) == []
    assert target.find_values("chat", collection, "files._id", "_id", ["a"]) == ["f1", "f2"]
