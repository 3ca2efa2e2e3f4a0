"""A connection that is lost once, or a few times, during a restore: the batch is written again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
import pytest
from pymongo import errors

from shared.adapters.mongodb.client import Client
from shared.adapters.mongodb.retrying import ATTEMPTS, Retry
from shared.adapters.mongodb.target import MongoTarget
from shared.kernel.errors import AlreadyExists, Unavailable
from shared.mongodb.model import Namespace


class FlakyServer:
    """A collection per name by `_id`; `lose` says for each command when its connection is lost."""

    def __init__(self) -> None:
        self.documents: dict[Any, bytes] = {}
        self.lose: list[str] = []  # "before", "after" or "" for each command to come
        self.commands: list[str] = []
        self.exists = False

    def __getitem__(self, _: str) -> FlakyServer:
        return self

    def get_database(self, *_: object, **__: object) -> FlakyServer:
        return self

    def get_collection(self, *_: object, **__: object) -> FlakyServer:
        return self

    @property
    def admin(self) -> FlakyServer:
        return self

    def list_collections(self, **_: object) -> Any:
        return iter([{"name": "c", "options": {}}] if self.exists else [])

    def find(self, query: Any) -> list[Any]:
        wanted = bson.decode(query.raw)["_id"]["$in"]
        return [bson.raw_bson.RawBSONDocument(d) for i, d in self.documents.items() if i in wanted]

    def command(self, body: dict[str, Any]) -> dict[str, Any]:
        name, lost = next(iter(body)), self.lose.pop(0) if self.lose else ""
        self.commands.append(name)
        if lost == "before":
            raise errors.AutoReconnect("connection closed")
        answer = self._run(name, body)
        if lost == "after":
            raise errors.NotPrimaryError("stepped down")
        return answer

    def _run(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if name == "create":
            if self.exists:
                raise errors.OperationFailure("exists", 48)
            self.exists = True
        if name != "insert":
            return {"ok": 1}
        failed = []
        for index, raw in enumerate(body["documents"]):
            identity = bson.decode(raw.raw)["_id"]
            if identity in self.documents:
                failed.append({"index": index, "code": 11000, "errmsg": "E11000"})
            else:
                self.documents[identity] = raw.raw
        return {"n": len(body["documents"]) - len(failed), "writeErrors": failed}


@pytest.fixture
def server() -> FlakyServer:
    return FlakyServer()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def target(server: FlakyServer, pauses: list[float]) -> MongoTarget:
    client: Client = server  # type: ignore[assignment]
    return MongoTarget(client, Retry(pauses.append))


BATCH = [bson.encode({"_id": n}) for n in range(3)]


@pytest.mark.parametrize("lost", [["before"], ["after"], ["before", "after", "after"]])
def test_a_batch_is_inserted_once_however_often_its_connection_is_lost(
    server: FlakyServer, target: MongoTarget, pauses: list[float], lost: list[str]
) -> None:
    server.lose = lost[:]
    result = target.insert_documents("db", "c", BATCH)
    assert (result.inserted, result.failures, result.duplicates) == (3, (), ())
    assert list(server.documents.values()) == BATCH
    assert pauses == [0.5 * 2**n for n in range(len(lost))]


def test_what_the_collection_held_before_is_a_duplicate_after_a_lost_connection_too(
    server: FlakyServer, target: MongoTarget
) -> None:
    server.documents[1] = bson.encode({"_id": 1, "mine": True})
    server.lose = ["after"]
    result = target.insert_documents("db", "c", BATCH)
    assert (result.inserted, result.duplicates) == (2, (1,))


def test_without_a_lost_connection_an_equal_document_is_a_duplicate(
    server: FlakyServer, target: MongoTarget
) -> None:
    server.documents[1] = BATCH[1]
    result = target.insert_documents("db", "c", BATCH)
    assert (result.inserted, result.duplicates) == (2, (1,))


def test_a_server_that_stays_away_is_given_up(
    server: FlakyServer, target: MongoTarget, pauses: list[float]
) -> None:
    server.lose = ["before"] * 99
    with pytest.raises(Unavailable):
        target.insert_documents("db", "c", BATCH)
    assert (len(server.commands), len(pauses)) == (ATTEMPTS, ATTEMPTS - 1)


def test_what_the_server_refuses_is_not_tried_again(target: MongoTarget, pauses: list[float]) -> None:
    def refuse(again: bool) -> None:
        raise errors.OperationFailure("no", 13)

    with pytest.raises(errors.OperationFailure):
        Retry(pauses.append).run(refuse)
    assert pauses == []


@pytest.mark.parametrize(("lost", "existed", "raises"), [("after", False, False), ("", True, True)])
def test_a_collection_whose_creation_was_not_answered_is_ours(
    server: FlakyServer, target: MongoTarget, lost: str, existed: bool, raises: bool
) -> None:
    server.exists = existed
    server.lose = [lost]
    act: Callable[[], None] = lambda: target.create_collection(Namespace("db", "c"))  # noqa: E731
    if raises:
        with pytest.raises(AlreadyExists):
            act()
    else:
        act()
        assert server.exists


def test_indexes_and_a_batch_of_the_oplog_are_tried_again(
    server: FlakyServer, target: MongoTarget, pauses: list[float]
) -> None:
    server.lose = ["before", "", "before"]
    assert target.create_indexes("db", "c", [{"key": {"a": 1}, "name": "a_1", "v": 2}]) == []
    entry = {"op": "i", "ns": "db.c", "o": {"_id": 1}, "ts": bson.Timestamp(1, 1)}
    assert target.replay_oplog(iter([bson.encode(entry)])).applied == 1
    assert server.commands == ["createIndexes", "createIndexes", "applyOps", "applyOps"]
    assert pauses == [0.5, 0.5]
