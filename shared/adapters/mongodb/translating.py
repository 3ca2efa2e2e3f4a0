"""The oplog's operations as ordinary commands, for servers that lack `applyOps` or do not allow it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import (
    DUPLICATE_KEY,
    EXACT,
    INDEX_NOT_FOUND,
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    RAW,
    Client,
    reason,
    translated,
)
from shared.adapters.mongodb.inserting import Inserter
from shared.formats.diff import apply_update
from shared.formats.elements import DOCUMENT, Element, find, join
from shared.kernel.errors import Corrupt
from shared.mongodb.oplog import BUCKETS, VIEWS, Operation

_COMMANDS = ("create", "drop", "dropDatabase", "collMod", "convertToCapped")
# What is done already, or will be undone by an entry that follows.
_BENIGN = (NAMESPACE_EXISTS, NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND)
# What the oplog adds to a command that a client may not say.
_ADDED = ("idIndex", "o2", "lsid", "$db", "info", "uuid")
_TIME_SERIES = ("create", "timeseries", "expireAfterSeconds", "collation", "storageEngine")


class Translated:
    """Inserts, replacements, deletes and commands."""

    def __init__(self, client: Client, inserter: Inserter) -> None:
        self._client, self._inserter = client, inserter

    def write(self, batch: list[Operation]) -> None:
        """Runs of inserts go together, all else one by one. Raises Corrupt, Unavailable."""
        for (op, name), run in groupby(batch, key=lambda o: (o.op, o.name)):
            if op == "i" and not name.endswith(f".{VIEWS}"):
                self._insert(list(run))
                continue
            for operation in run:
                self._one(operation)

    def _one(self, operation: Operation) -> None:
        if operation.op == "c":
            self._command(operation)
        elif operation.collection == VIEWS:
            self._view(operation)
        elif operation.op == "d":
            with translated(f"replaying a delete in {operation.name}"):
                self._delete(operation, operation.o)
        else:
            self._update(operation)

    def _insert(self, run: list[Operation]) -> None:
        with translated(f"replaying inserts into {run[0].name}"):
            answer = self._inserter.insert(run[0].db, run[0].collection, [operation.o for operation in run])
        for error in answer.get("writeErrors", []):
            operation = run[error["index"]]
            if error.get("code") != DUPLICATE_KEY:
                raise _failed(operation, str(error.get("errmsg", "")).split(" dup key")[0])
            self._replace(operation, operation.o)

    def _update(self, operation: Operation) -> None:
        query = _by_id(operation, operation.o2 or operation.o)
        collection: Any = self._client[operation.db].get_collection(operation.collection, codec_options=RAW)
        with translated(f"replaying an update of {operation.name}"):
            found = collection.find_one(query)
        if found is not None:
            self._replace(operation, apply_update(bytes(found.raw), operation.o))

    def _replace(self, operation: Operation, document: bytes) -> None:
        # Delete and insert, since only an insert leaves every document as it is, `$` in names included.
        with translated(f"replaying a change of {operation.name}"):
            self._delete(operation, document)
            answer = self._inserter.insert(operation.db, operation.collection, [document])
        if problems := answer.get("writeErrors"):
            raise _failed(operation, str(problems[0].get("errmsg", "")).split(" dup key")[0])

    def _delete(self, operation: Operation, identified: bytes) -> None:
        query = {"q": _by_id(operation, identified), "limit": 1}
        self._client[operation.db].command({"delete": operation.collection, "deletes": [query]})

    def _view(self, operation: Operation) -> None:
        """A server keeps its views as documents of `system.views`, which clients do not write."""
        view = operation.subject.partition(".")[2]
        database = self._client.get_database(operation.db, codec_options=EXACT)
        with translated(f"looking for the view {operation.subject}"):
            there = next(database.list_collections(filter={"name": view, "type": "view"}), None)
        if operation.op == "d":
            if there is not None:
                self._run(operation, {"drop": view})
            return
        before = bson.encode(there["options"] if there is not None else {})
        defined = dict(RawBSONDocument(apply_update(before, operation.o), RAW).items())
        if str(defined.get("viewOn", BUCKETS)).startswith(BUCKETS):
            return  # the face of a time-series collection, which comes with the collection
        if there is not None:
            self._run(operation, {"drop": view})
        defined.pop("_id", None)
        self._run(operation, {"create": view, **defined})

    def _command(self, operation: Operation) -> None:
        if operation.command not in _COMMANDS:
            raise _failed(operation, "Groundcrew knows no such command")
        if operation.collection == VIEWS:
            return
        body: dict[str, Any] = dict(RawBSONDocument(operation.o, RAW).items())
        for key in _ADDED:
            body.pop(key, None)
        if "viewPipeline" in body:
            body["pipeline"] = body.pop("viewPipeline")
        if operation.collection.startswith(BUCKETS):
            # Clients make and drop the collection, and the server sees to its buckets.
            body[operation.command] = operation.collection.removeprefix(BUCKETS)
            if operation.command == "create":
                body = {key: value for key, value in body.items() if key in _TIME_SERIES}
        self._run(operation, body)

    def _run(self, operation: Operation, command: dict[str, Any]) -> None:
        with translated(f"replaying {next(iter(command))} of {operation.subject}"):
            try:
                self._client.get_database(operation.db, codec_options=EXACT).command(command)
            except errors.OperationFailure as error:
                if error.code not in _BENIGN:
                    raise _failed(operation, f"{reason(error)} (code {error.code})") from error


def _failed(operation: Operation, why: str) -> Corrupt:
    what = operation.command or {"i": "insert", "u": "update", "d": "delete"}[operation.op]
    value = f"{what} in {operation.subject} at {operation.at}: {why[:200]}"
    return Corrupt("an entry of the oplog cannot be replayed", value=value)


def _by_id(operation: Operation, document: bytes) -> RawBSONDocument:
    """`{_id: {$eq: value}}`: a regular expression as `_id` is a value here and no pattern."""
    identity = find(document, b"_id")
    if identity is None:
        raise _failed(operation, "it names no document")
    equals = join([Element(identity.type, b"$eq", identity.value)])
    return RawBSONDocument(join([Element(DOCUMENT, b"_id", equals)]), RAW)
