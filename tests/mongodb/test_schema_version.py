"""Rocket.Chat's migration counter: the number, or unknown while a migration runs or where there is none."""

from __future__ import annotations

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.mongodb.model import Namespace
from shared.mongodb.schema_version import read_schema_version

CONTROL = {"_id": "control", "locked": False, "version": 304}


def database(
    *documents: dict[str, object], collection: str = "migrations", kind: str = "collection"
) -> MemoryDatabase:
    """One with that collection of Rocket.Chat's, and others around it."""
    source = MemoryDatabase()
    for name in ("avatars", "users"):
        source.create_collection(Namespace("chat", name))
        source.insert_documents("chat", name, [bson.encode({**CONTROL, "version": 1})])
    source.create_collection(Namespace("chat", collection, kind=kind))
    source.insert_documents("chat", collection, [bson.encode(document) for document in documents])
    return source


def test_the_version_stands_in_the_control_document_whatever_else_is_there() -> None:
    others: list[dict[str, object]] = [
        {"_id": name, "version": 7, "locked": True} for name in ("a", "b", "c", "control2", "x")
    ]
    assert read_schema_version(database(*others, CONTROL)) == 304
    assert read_schema_version(database({"_id": "control", "version": 0})) == 0, "a lock need not stand there"


@pytest.mark.parametrize(
    "control",
    [
        pytest.param({**CONTROL, "locked": True}, id="locked"),
        pytest.param({**CONTROL, "locked": 1}, id="locked by a number"),
        pytest.param({"_id": "control", "locked": False}, id="without a version"),
        pytest.param({**CONTROL, "version": "304"}, id="a version that is a text"),
        pytest.param({**CONTROL, "_id": "other"}, id="no control document"),
    ],
)
def test_what_does_not_say_it_leaves_the_version_unknown(control: dict[str, object]) -> None:
    assert read_schema_version(database(control)) is None


def test_only_a_collection_of_that_name_is_asked() -> None:
    assert read_schema_version(database(CONTROL, collection="migrations2")) is None
    assert read_schema_version(database(CONTROL, kind="timeseries")) is None
    assert read_schema_version(MemoryDatabase()) is None


def test_a_database_of_any_name_may_hold_it() -> None:
    source = MemoryDatabase()
    source.create_collection(Namespace("our-chat", "migrations"))
    source.insert_documents("our-chat", "migrations", [bson.encode(CONTROL)])
    assert read_schema_version(source) == 304
