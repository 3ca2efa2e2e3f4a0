"""MongoDB's protocol without a database: gives out stored batches and takes inserts at the speed of memory.

What is measured beside it is the client: `mongodump` and `mongorestore`, or ours. The replies of `getMore`
are built once, 16 MiB each as `mongod` fills them, and sent from the page cache; inserts are counted and
forgotten. It is no database: one cursor on each collection, and the commands that those clients send.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
from bson.int64 import Int64
from bson.timestamp import Timestamp

from bench.data import CACHE, ROOT, Data
from local.process import Child, announce, exit_with_parent
from shared.formats.documents import split_documents

DATABASE = "rocketchat"
_HEADER = struct.Struct("<iiii")
_LENGTH = struct.Struct("<i")
_OP_MSG, _OP_QUERY, _OP_REPLY = 2013, 2004, 1
_REPLY_BYTES = 16 << 20  # a reply of mongod holds at most so much, and one document more
_OK: dict[str, Any] = {"ok": 1.0}
_NOW = Timestamp(1_700_000_000, 1)
_HELLO = {
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 25,  # MongoDB 8.0
    "logicalSessionTimeoutMinutes": 30,
    "readOnly": False,
    "isWritablePrimary": True,
    "ismaster": True,
    "secondary": False,
    "setName": "rs0",
    "setVersion": 1,
}


def build_replies(data: Data) -> Path:
    """The file of all replies, with an index beside it: {collection: [[offset, length, documents], …]}."""
    path = CACHE / f"replies-{data.path.stem}.bin"
    index_path = path.with_suffix(".json")
    if not index_path.exists():
        index: dict[str, list[list[int]]] = {name: [] for name in data.collections}
        with path.open("wb") as file:
            for number, name in enumerate(data.collections):
                for documents, last in _group(_documents_of(data, name)):
                    reply = _build_reply(name, 0 if last else number + 1, documents)
                    index[name].append([file.tell(), len(reply), len(documents)])
                    file.write(reply)
        index_path.write_text(json.dumps(index))
    return path


def _documents_of(data: Data, name: str) -> Iterator[bytes]:
    for collection, batch in data.read_batches():
        if collection == name:
            yield from split_documents(batch)


def _group(documents: Iterator[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """What fits into one reply, and whether it is the last."""
    group: list[bytes] = []
    size = 0
    for document in documents:
        if group and size + len(document) > _REPLY_BYTES:
            yield group, False
            group, size = [], 0
        group.append(document)
        size += len(document)
    yield group, True


def _build_reply(collection: str, cursor: int, documents: list[bytes]) -> bytes:
    """`{cursor: {id, ns, nextBatch: [...]}, ok: 1}`, put together from raw documents."""
    array = (
        b"".join(b"\x03%d\x00%b" % (place, document) for place, document in enumerate(documents)) + b"\x00"
    )
    head = bson.encode({"id": Int64(cursor), "ns": f"{DATABASE}.{collection}"})[4:-1]
    cursor_body = head + b"\x04nextBatch\x00" + _with_length(array) + b"\x00"
    body = b"\x03cursor\x00" + _with_length(cursor_body) + b"\x01ok\x00" + struct.pack("<d", 1.0) + b"\x00"
    return _with_length(body)


def _with_length(body: bytes) -> bytes:
    return _LENGTH.pack(len(body) + 4) + body


class _Store:
    """The prepared replies, and how far each collection's cursor is."""

    def __init__(self, path: Path) -> None:
        self.index: dict[str, list[list[int]]] = json.loads(path.with_suffix(".json").read_text())
        self.names = list(self.index)
        self.file = os.open(path, os.O_RDONLY)
        self._position = dict.fromkeys(self.names, 0)
        self.inserted = 0
        self._lock = threading.Lock()

    def rewind(self, name: str) -> None:
        self._position[name] = 0

    def take(self, cursor: int) -> tuple[int, int]:
        """Offset and length of the next reply of a cursor."""
        name = self.names[cursor - 1]
        offset, length, _ = self.index[name][self._position[name]]
        self._position[name] += 1
        return offset, length

    def count_inserted(self, documents: int) -> None:
        with self._lock:
            self.inserted += documents

    def measure(self, name: str) -> tuple[int, int]:
        replies = self.index.get(name, [])
        return sum(r[2] for r in replies), sum(r[1] for r in replies)


class ReplayConnection(socketserver.BaseRequestHandler):
    """One client's connection; `answer_command` is what a server with other data replaces."""

    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.store: _Store = self.server.store  # type: ignore[attr-defined]
        self.address = "{}:{}".format(*self.server.server_address[:2])
        self.buffer = bytearray(48_000_000 + 4096)

    def handle(self) -> None:
        view = memoryview(self.buffer)
        while self._receive(view[:16]):
            length, request_id, _, opcode = _HEADER.unpack_from(view)
            self._receive(view[16:length])
            if opcode == _OP_QUERY:
                self._answer_query(request_id)
            else:
                self._answer_message(request_id, view[21:length])

    def _receive(self, into: memoryview) -> bool:
        while into:
            count = self.request.recv_into(into)
            if not count:
                return False
            into = into[count:]
        return True

    def _answer_query(self, request_id: int) -> None:
        """The first `hello` of a driver, in the old protocol."""
        body = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._describe_server())
        self.request.sendall(_HEADER.pack(16 + len(body), 0, request_id, _OP_REPLY) + body)

    def _answer_message(self, request_id: int, message: memoryview) -> None:
        size = _LENGTH.unpack_from(message)[0]
        command = bson.decode(message[:size])
        name = next(iter(command))
        if name == "getMore" and command["getMore"]:
            offset, length = self.store.take(command["getMore"])
            self.request.sendall(_HEADER.pack(21 + length, 0, request_id, _OP_MSG) + b"\0\0\0\0\0")
            while length:
                sent = os.sendfile(self.request.fileno(), self.store.file, offset, length)
                offset, length = offset + sent, length - sent
            return
        answer = self._run_insert(message[size:]) if name == "insert" else self.answer_command(name, command)
        self.send_reply(request_id, answer)

    def send_reply(self, request_id: int, answer: Mapping[str, Any]) -> None:
        """One document, in the protocol of today."""
        body = b"\0\0\0\0\0" + bson.encode(answer)
        self.request.sendall(_HEADER.pack(16 + len(body), 0, request_id, _OP_MSG) + body)

    def _run_insert(self, sections: memoryview) -> dict[str, Any]:
        """Counts the documents of the section `documents` by their length prefixes."""
        count, end = 0, 1 + _LENGTH.unpack_from(sections, 1)[0]
        position = 5 + len(b"documents\0")
        while position < end:
            position += _LENGTH.unpack_from(sections, position)[0]
            count += 1
        self.store.count_inserted(count)
        return {"n": count, **_OK}

    def _describe_server(self) -> dict[str, Any]:
        last = {"ts": _NOW, "t": Int64(1)}
        return {
            **_HELLO, "hosts": [self.address], "me": self.address, "primary": self.address,
            "lastWrite": {"opTime": last, "majorityOpTime": last}, "connectionId": 1, **_OK,
        }  # fmt: skip

    def answer_command(self, name: str, command: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to any command but `getMore` and `insert`."""
        match name:
            case "hello" | "ismaster" | "isMaster":
                return self._describe_server()
            case "buildInfo" | "buildinfo":
                return {"version": "8.0.4", "versionArray": [8, 0, 4, 0], "modules": [], **_OK}
            case "collStats" | "count":
                count, size = self.store.measure(command[name])
                return {"n": count, "count": count, "size": size, **_OK}
            case "find":
                return self._find(command["$db"], command["find"])
            case _:
                return self._list(name, command)

    def _find(self, db: str, collection: str) -> dict[str, Any]:
        if db == DATABASE and collection in self.store.index:
            self.store.rewind(collection)
            return describe_cursor(f"{db}.{collection}", [], self.store.names.index(collection) + 1)
        oplog = [{"ts": _NOW, "op": "n", "ns": "", "o": {"msg": "bench"}}] if collection == "oplog.rs" else []
        return describe_cursor(f"{db}.{collection}", oplog)

    def _list(self, name: str, command: Mapping[str, Any]) -> dict[str, Any]:
        db = command["$db"]
        match name:
            case "listDatabases":
                return {"databases": [{"name": DATABASE, "sizeOnDisk": Int64(1), "empty": False}], **_OK}
            case "listCollections":
                only = command.get("filter", {}).get("name")
                names = self.store.names if db == DATABASE else []
                rows = [_describe_collection(n) for n in names if not isinstance(only, str) or n == only]
                return describe_cursor(f"{db}.$cmd.listCollections", rows)
            case "listIndexes":
                return describe_cursor(f"{db}.{command[name]}", [{"v": 2, "key": {"_id": 1}, "name": "_id_"}])
            case "aggregate":
                count, size = self.store.measure(str(command[name]))
                return describe_cursor(f"{db}.{command[name]}", [{"n": count, "count": count, "size": size}])
            case _:  # ping, endSessions, killCursors, create, createIndexes, drop …
                return dict(_OK)


def _describe_collection(name: str) -> dict[str, Any]:
    return {
        "name": name, "type": "collection", "options": {}, "info": {"readOnly": False},
        "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
    }  # fmt: skip


def describe_cursor(namespace: str, batch: list[Any], number: int = 0) -> dict[str, Any]:
    """A reply with a cursor and its first batch; 0 for one that is exhausted."""
    return {"cursor": {"id": Int64(number), "ns": namespace, "firstBatch": batch}, **_OK}


class ReplayServer(socketserver.ThreadingTCPServer):
    """A thread for each connection; `store` is what they give out."""

    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def serve_replies(replies: Path) -> Iterator[str]:
    """The server in a process of its own, on a loopback port; gives the URI."""
    command = [sys.executable, "-m", "bench.replay", str(replies)]
    with Child("replay", command, log=CACHE / "replay.log", cwd=ROOT) as child:
        port = child.wait_for_announcement()["port"]
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("replies", type=Path)
    arguments = parser.parse_args()
    exit_with_parent()
    with ReplayServer(("127.0.0.1", 0), ReplayConnection) as server:
        server.store = _Store(arguments.replies)  # type: ignore[attr-defined]
        announce(port=server.server_address[1])
        server.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
