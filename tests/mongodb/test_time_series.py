"""Time series are dumped and restored as the buckets that they are stored in, wherever they lie."""

from __future__ import annotations

import contextlib
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import Client
from shared.adapters.mongodb.source import MongoSource
from shared.adapters.mongodb.target import MongoTarget
from shared.kernel.errors import NotFound, UsageError
from shared.mongodb.model import IdRange, Namespace

BUCKET = bson.encode({"_id": bson.ObjectId(), "control": {"version": 2}, "meta": "a", "data": {"t": b"x"}})
SERIES = Namespace("db", "weather", "timeseries")


class Series:
    """A server of a version, with one time series and its bucket; writes down what is inserted where."""

    read_concern = codec_options = None

    def __init__(self, version: str, *, buckets: bool = True) -> None:
        self.version, self.buckets = version, buckets
        self.inserted: list[dict[str, Any]] = []

    def __getitem__(self, _: str) -> Series:
        return self

    def get_database(self, *_: object, **__: object) -> Series:
        return self

    @property
    def admin(self) -> Series:
        return self

    def list_collections(self, filter: dict[str, str]) -> Any:  # noqa: A002
        viewless = tuple(map(int, self.version.split(".")[:2])) >= (8, 3)
        there = filter["name"] == "weather" or (self.buckets and not viewless)
        return iter([{"name": filter["name"], "type": "timeseries"}] if there else [])

    def start_session(self, **_: object) -> Any:
        return contextlib.nullcontext()

    def command(self, body: Any, **_: object) -> Any:
        if "find" in body:
            assert body == {
                "find": "weather", "filter": {}, "noCursorTimeout": True, "rawData": True,
                "readConcern": {"level": "majority"},
            }  # fmt: skip
            batch = [RawBSONDocument(BUCKET)]
            return RawBSONDocument(bson.encode({"cursor": {"id": Int64(0), "firstBatch": batch}, "ok": 1.0}))
        if body == "buildInfo":
            return {"versionArray": [int(n) for n in self.version.split(".")]}
        if "_mergeAuthzCollections" in body:
            raise errors.OperationFailure("no such command", 59)
        self.inserted.append({k: v for k, v in body.items() if k in ("insert", "rawData", "drop")})
        return {"n": len(body.get("documents", ())), "ok": 1}


def client_of(server: Series) -> Client:
    return server  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("7.0.5", {"insert": "system.buckets.weather"}),
        ("8.2.9", {"insert": "system.buckets.weather"}),
        ("8.3.0", {"insert": "weather", "rawData": True}),
        ("9.0.0", {"insert": "weather", "rawData": True}),
        ("10.1.0", {"insert": "weather", "rawData": True}),
    ],
)
def test_buckets_are_inserted_as_buckets(version: str, command: dict[str, Any]) -> None:
    server = Series(version)
    result = MongoTarget(client_of(server)).insert_buckets("db", "weather", [BUCKET])
    assert (server.inserted, result.inserted) == ([command], 1)
    MongoTarget(client_of(server)).insert_documents("db", "weather", [BUCKET])
    assert server.inserted[-1] == {"insert": "weather"}


def test_a_server_without_buckets_under_their_own_name_is_asked_for_raw_data() -> None:
    source = MongoSource(client_of(Series("8.3.1")))
    assert b"".join(batch.documents for batch in source.read_batches(SERIES, IdRange())) == BUCKET


def test_buckets_that_cannot_be_read_are_named_with_the_cure() -> None:
    source = MongoSource(client_of(Series("8.0.1", buckets=False)))
    with pytest.raises(UsageError, match=r"backup\.exclude"):
        list(source.read_batches(SERIES, IdRange()))


def test_a_server_that_has_no_way_to_take_users_is_told_from_one_that_refuses_them() -> None:
    server = Series("8.0.1")
    with pytest.raises(NotFound, match="no such command"):
        MongoTarget(client_of(server)).restore_users("users", [bson.encode({"_id": "rc.u"})])
    assert server.inserted[-1] == {"drop": "groundcrew_temp_users"}
