"""A target without room: said as such, and never taken for a fault of what was to be restored."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from pymongo import errors

from shared.adapters.mongodb.client import Client
from shared.adapters.mongodb.target import MongoTarget
from shared.kernel.errors import Unavailable

FULL = 14031
BATCH = [bson.encode({"_id": n, "text": "secret"}) for n in range(3)]


class FullServer:
    """Takes the first document; then `code` is what it says, of the command or of each document."""

    def __init__(self, code: int, *, whole: bool) -> None:
        self.code, self.whole = code, whole

    def __getitem__(self, _: str) -> FullServer:
        return self

    def get_database(self, *_: object, **__: object) -> FullServer:
        return self

    @property
    def admin(self) -> FullServer:
        return self

    def command(self, body: Any) -> dict[str, Any]:
        if self.whole:
            raise errors.OperationFailure("available disk space is less than required", self.code)
        refused = [{"index": n, "code": self.code, "errmsg": "No space left"} for n in (1, 2)]
        return {"n": 1, "writeErrors": refused if "insert" in body else []}


def target_of(code: int, *, whole: bool) -> MongoTarget:
    client: Client = FullServer(code, whole=whole)  # type: ignore[assignment]
    return MongoTarget(client)


@pytest.mark.parametrize("whole", [False, True], ids=["for some documents", "for the command"])
def test_an_insert_that_the_disk_has_no_room_for_is_the_servers_fault(whole: bool) -> None:
    with pytest.raises(Unavailable) as caught:
        target_of(FULL, whole=whole).insert_documents("db", "c", BATCH)
    assert str(caught.value).startswith("inserting into db.c failed: the server's disk is full.")
    assert "--resume" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_an_index_that_the_disk_has_no_room_for_is_not_one_that_was_refused() -> None:
    indexes = [{"v": 2, "key": {"a": 1}, "name": "a_1"}]
    with pytest.raises(Unavailable, match=r"building indexes of db\.c failed: the server"):
        target_of(FULL, whole=True).create_indexes("db", "c", indexes)
    assert "was refused" in target_of(67, whole=True).create_indexes("db", "c", indexes)[0]


def test_another_refusal_is_still_the_documents() -> None:
    result = target_of(121, whole=False).insert_documents("db", "c", BATCH)
    assert len(result.failures) == 2
