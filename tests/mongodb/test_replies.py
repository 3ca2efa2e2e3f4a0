"""Replies received over the driver's connections: what is none is refused, and its connection closed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pymongo
import pytest
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.batches import read_batches_of
from shared.adapters.mongodb.replies import can_receive
from shared.kernel.errors import Corrupt

HEADER = struct.Struct("<iiii")
ONE, TWO, LARGE = bson.encode({"_id": 1}), bson.encode({"_id": 2}), bson.encode({"_id": bytes(300_000)})
FIND: dict[str, Any] = {"find": "c", "filter": {}}
HELLO = {
    "isWritablePrimary": True, "ismaster": True, "maxBsonObjectSize": 1 << 24, "maxWriteBatchSize": 1000,
    "maxMessageSizeBytes": 1_000_000, "minWireVersion": 0, "maxWireVersion": 25, "setName": "rs0",
    "logicalSessionTimeoutMinutes": 30, "ok": 1.0,
}  # fmt: skip

Answer = Callable[[int, bytes], bytes]  # from the request's number and the document to what is sent


def as_message(number: int, document: bytes, operation: int = 2013, flags: int = 0, kind: int = 0) -> bytes:
    body = struct.pack("<IB", flags, kind) + document
    return HEADER.pack(16 + len(body), 1, number, operation) + body


def of_another(number: int, document: bytes) -> bytes:
    return as_message(number + 1, document)


def as_old_reply(number: int, document: bytes) -> bytes:
    return as_message(number, document, operation=1)


def with_checksum(number: int, document: bytes) -> bytes:
    return as_message(number, document, flags=1)


def as_sequence(number: int, document: bytes) -> bytes:
    return as_message(number, document, kind=1)


def of_no_length(number: int, document: bytes) -> bytes:
    return HEADER.pack(21, 1, number, 2013) + bytes(5)


def of_two_megabytes(number: int, document: bytes) -> bytes:
    return HEADER.pack(2_000_000, 1, number, 2013) + bytes(5)


def cut_short(number: int, document: bytes) -> bytes:
    return as_message(number, document)[:-9]


class WireServer:
    """Speaks to a driver; each `getMore` gets the next of the replies as `answer` wraps it up."""

    def __init__(
        self, batches: list[dict[str, Any]], answer: Answer = as_message, *, patient: bool = False
    ) -> None:
        self._batches, self._answer = iter(batches), answer
        self._patient = patient  # does not close what it cut short
        self.commands: list[dict[str, Any]] = []
        self.peers: list[Any] = []  # the connection that each of them came from
        self._listener = socket.create_server(("127.0.0.1", 0))

    @contextlib.contextmanager
    def serve(self, options: str = "") -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
        threading.Thread(target=self._accept, daemon=True).start()
        port = self._listener.getsockname()[1]
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true{options}"
        try:
            with pymongo.MongoClient[dict[str, Any]](uri) as client:
                yield client
        finally:
            self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection, peer), daemon=True).start()

    def _talk(self, connection: socket.socket, peer: Any) -> None:
        # A driver that closes a connection before all of it is read resets it.
        with connection, connection.makefile("rb") as file, contextlib.suppress(OSError):
            while header := file.read(16):
                length, number, _, operation = HEADER.unpack(header)
                body = file.read(length - 16)
                if operation == 2004:
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(HELLO)
                    connection.sendall(HEADER.pack(16 + len(reply), 1, number, 1) + reply)
                    continue
                command = bson.decode(body[5:])
                name = next(iter(command))
                if name in ("find", "getMore", "buildInfo"):  # and not what the driver says for itself
                    self.commands.append(command)
                    self.peers.append(peer)
                if name == "getMore":
                    answer = self._answer(number, bson.encode(next(self._batches)))
                    connection.sendall(answer)
                    if len(answer) < HEADER.unpack_from(answer)[0] and not self._patient:
                        return  # cut short
                else:
                    found = reply_of(7, [ONE], "firstBatch") if name == "find" else HELLO
                    connection.sendall(as_message(number, bson.encode(found)))


def reply_of(cursor: int, batch: list[bytes], name: str = "nextBatch") -> dict[str, Any]:
    documents = [RawBSONDocument(document) for document in batch]
    return {"cursor": {"id": Int64(cursor), "ns": "db.c", name: documents}, "ok": 1.0}


def test_batches_that_are_kept_stay_as_they_are_while_others_are_received() -> None:
    server = WireServer([reply_of(7, [LARGE, TWO]), reply_of(7, [ONE]), reply_of(7, []), reply_of(0, [TWO])])
    with server.serve() as client:
        assert can_receive(client)  # or the test would show nothing of this driver
        batches = list(read_batches_of(client, "db", FIND))
    assert [bytes(batch.documents) for batch in batches] == [ONE, LARGE + TWO, ONE, TWO]
    find, *more = server.commands
    assert {command["lsid"]["id"] for command in more} == {find["lsid"]["id"]}
    assert [(c["getMore"], c["collection"], c["$db"]) for c in more] == [(7, "c", "db")] * 4


def test_batches_that_are_let_go_use_the_same_memory_again() -> None:
    server = WireServer([reply_of(7, [LARGE])] * 8 + [reply_of(0, [LARGE])])
    with server.serve() as client:
        # A buffer that is free keeps its address: a new one for each batch would take nine.
        batches = read_batches_of(client, "db", FIND)
        next(batches)
        addresses = [find_address(batch.documents) for batch in batches]
    assert len(addresses) == 9
    # One that is being filled, and one that is being looked at.
    assert len(set(addresses)) <= 2


def find_address(documents: bytes | memoryview) -> int:
    assert isinstance(documents, memoryview)
    assert isinstance(documents.obj, bytearray)
    return id(documents.obj)


NONE_AT_ALL: list[Answer] = [of_another, as_old_reply, with_checksum, as_sequence, of_no_length]


@pytest.mark.parametrize("answer", [*NONE_AT_ALL, of_two_megabytes, cut_short])
def test_what_is_no_reply_ends_the_reading_and_the_connection(answer: Answer) -> None:
    server = WireServer([reply_of(0, [TWO])], answer)
    with server.serve() as client:
        with pytest.raises((errors.ProtocolError, errors.AutoReconnect)):
            list(read_batches_of(client, "db", FIND))
        client.db.command("buildInfo")
    names = [next(iter(command)) for command in server.commands]
    asked, next_one = server.peers[names.index("getMore")], server.peers[-1]
    assert asked != next_one


def test_a_refusal_is_told_with_its_code_and_the_connection_is_used_again() -> None:
    server = WireServer([{"ok": 0.0, "errmsg": "cursor id 7 not found", "code": 43}])
    with server.serve() as client:
        with pytest.raises(errors.OperationFailure, match="cursor id 7 not found") as caught:
            list(read_batches_of(client, "db", FIND))
        client.db.command("buildInfo")
    assert caught.value.code == 43
    assert len(set(server.peers)) == 1


def test_a_reply_without_a_cursor_is_no_end() -> None:
    server = WireServer([reply_of(7, [LARGE]), {"ok": 1.0}])
    with server.serve() as client, pytest.raises(Corrupt, match="holds no cursor"):
        list(read_batches_of(client, "db", FIND))


def test_a_reply_that_does_not_come_is_waited_for_as_long_as_the_uri_says() -> None:
    server = WireServer([reply_of(0, [TWO])], cut_short, patient=True)
    with server.serve("&socketTimeoutMS=700") as client, pytest.raises(errors.NetworkTimeout):
        list(read_batches_of(client, "db", FIND))


def test_replies_that_the_uri_wants_compressed_are_left_to_the_driver() -> None:
    server = WireServer([reply_of(0, [TWO])])
    with server.serve("&compressors=zlib") as client:
        assert not can_receive(client)
        assert [batch.documents for batch in read_batches_of(client, "db", FIND)] == [ONE, TWO]


def test_a_client_that_is_none_of_this_driver_is_asked_by_commands() -> None:
    assert not can_receive(object())
