"""A cursor is read to its end, by its id and by nothing else, and closed however the reading ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.batches import read_batches_of
from shared.kernel.errors import Corrupt

FIND: dict[str, Any] = {"find": "c", "filter": {}}
ONE, TWO = bson.encode({"_id": 1}), bson.encode({"_id": 2})


class ScriptedServer:
    """Answers `find` and `getMore` with the replies given, in order; writes down what it was asked."""

    def __init__(self, *replies: dict[str, Any] | Exception) -> None:
        self._replies = iter(replies)
        self.asked: list[dict[str, Any]] = []

    def __getitem__(self, _: str) -> ScriptedServer:
        return self

    @contextlib.contextmanager
    def start_session(self, **_: object) -> Iterator[str]:
        yield "session"

    def command(self, command: dict[str, Any], *, session: object, **_: object) -> Any:
        assert session == "session"  # a cursor belongs to the session that opened it
        self.asked.append(command)
        if "killCursors" in command:
            return {"ok": 1}
        reply = next(self._replies)
        if isinstance(reply, Exception):
            raise reply
        return RawBSONDocument(bson.encode(reply))


def reply(cursor: int, batch: list[bytes], name: str = "nextBatch") -> dict[str, Any]:
    documents = [RawBSONDocument(document) for document in batch]
    return {"cursor": {"id": Int64(cursor), "ns": "db.c", name: documents}, "ok": 1.0}


def read(server: ScriptedServer) -> list[bytes]:
    batches = read_batches_of(server, "db", FIND)  # type: ignore[arg-type]
    return [batch.documents for batch in batches]


def test_an_empty_batch_is_not_the_end() -> None:
    server = ScriptedServer(reply(7, [], "firstBatch"), reply(7, [ONE]), reply(7, []), reply(0, [TWO]))
    assert read(server) == [ONE, TWO]
    more = {"getMore": Int64(7), "collection": "c"}
    assert server.asked == [FIND, more, more, more]


def test_a_cursor_that_is_exhausted_at_once_is_not_asked_for_more() -> None:
    server = ScriptedServer(reply(0, [ONE, TWO], "firstBatch"))
    assert read(server) == [ONE + TWO]
    assert server.asked == [FIND]


def test_ids_of_cursors_are_signed() -> None:
    server = ScriptedServer(reply(-(2**62), [ONE], "firstBatch"), reply(0, [TWO]))
    assert read(server) == [ONE, TWO]
    assert server.asked[1]["getMore"] == -(2**62)


def test_a_reading_that_is_given_up_closes_its_cursor() -> None:
    server = ScriptedServer(reply(7, [ONE], "firstBatch"), reply(0, [TWO]))
    reading = read_batches_of(server, "db", FIND)  # type: ignore[arg-type]
    assert next(reading).tally.documents == 1
    reading.close()  # type: ignore[attr-defined]
    assert server.asked[1:] == [{"killCursors": "c", "cursors": [Int64(7)]}]


def test_a_reading_that_fails_closes_its_cursor_and_says_why_it_failed() -> None:
    server = ScriptedServer(reply(7, [ONE], "firstBatch"), errors.AutoReconnect("connection closed"))
    with pytest.raises(errors.AutoReconnect, match="connection closed"):
        read(server)
    assert server.asked[-1] == {"killCursors": "c", "cursors": [Int64(7)]}


@pytest.mark.parametrize(
    "answer", [{"ok": 1.0}, {"cursor": {"id": Int64(7)}}, {"cursor": {"firstBatch": []}}]
)
def test_a_reply_without_a_cursor_is_no_empty_collection(answer: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="holds no cursor"):
        read(ScriptedServer(answer))
