"""Replaying the oplog: by `applyOps` where the server has it, else by the same changes one by one.

Replay is idempotent: inserts replace, deletes of nothing are fine, and an update of a document that is not
there is one whose delete follows, since the dump was taken while the database went on changing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Protocol

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import (
    COMMAND_NOT_FOUND,
    EXACT,
    NAMESPACE_NOT_FOUND,
    RAW,
    Client,
    translated,
)
from shared.core.databases import IndexChange, Replayed
from shared.core.oplog import Operation, index_change, operations
from shared.errors import Corrupt, GroundcrewError, Inconsistent
from shared.formats.diff import apply_update
from shared.formats.elements import DOCUMENT, Element, find, join

_BATCH_OPERATIONS, _BATCH_BYTES = 500, 8 << 20
_EXISTS, _DUPLICATE, _UNAUTHORIZED = 48, 11000, 13
_SPOILING = ("renameCollection", "importCollection")


def replay(
    client: Client, entries: Iterator[bytes], only: frozenset[str], insert_options: dict[str, Any]
) -> Replayed:
    """Apply the entries in order, those of `only` if it is not empty. Raises Corrupt, Unavailable."""
    applied = skipped = 0
    changes: list[IndexChange] = []
    writer: _Writer = _ApplyOps(client) if _has_apply_ops(client) else _Translated(client, insert_options)
    batch: list[Operation] = []
    held = 0

    def flush() -> None:
        nonlocal applied, held
        if batch:
            writer.write(batch)
            applied += len(batch)
            batch.clear()
            held = 0

    for operation in operations(entries):
        if operation is None or (only and operation.name not in only):
            skipped += 1
            continue
        if operation.op == "c":
            flush()
            applied += 1
            if change := index_change(operation):
                changes.append(change)
            if change is None or change.gone:
                _command(client, operation)
            continue
        batch.append(operation)
        held += len(operation.o)
        if len(batch) >= _BATCH_OPERATIONS or held >= _BATCH_BYTES:
            flush()
    flush()
    return Replayed(applied, skipped, tuple(changes))


def _has_apply_ops(client: Client) -> bool:
    try:
        client.admin.command({"applyOps": []})
    except errors.OperationFailure as error:
        return error.code not in (COMMAND_NOT_FOUND, _UNAUTHORIZED)
    except errors.PyMongoError:
        return False
    return True


class _Writer(Protocol):
    def write(self, batch: list[Operation]) -> None:
        """Apply writes in order."""
        ...


class _ApplyOps:
    """The server's own way, as mongorestore uses it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def write(self, batch: list[Operation]) -> None:
        """One command for the whole batch; the answer tells which entry failed."""
        command = {"applyOps": [apply_ops_entry(operation) for operation in batch]}
        try:
            with translated("replaying the oplog"):
                self._client.admin.command(command)
        except GroundcrewError as error:
            first, last = batch[0].at, batch[-1].at
            raise Corrupt(
                "the replay of the oplog failed", value=f"{error} between {first} and {last}"
            ) from error


def apply_ops_entry(operation: Operation) -> dict[str, Any]:
    """What `applyOps` takes: no uuid, which is of the source, no times, no session."""
    entry: dict[str, Any] = {"op": operation.op, "ns": operation.name, "o": RawBSONDocument(operation.o, RAW)}
    if operation.o2:
        entry["o2"] = RawBSONDocument(operation.o2, RAW)
    return entry


class _Translated:
    """Inserts, replacements and deletes, for servers that do not have or do not allow `applyOps`."""

    def __init__(self, client: Client, insert_options: dict[str, Any]) -> None:
        self._client, self._options = client, insert_options

    def write(self, batch: list[Operation]) -> None:
        """Runs of inserts go together, all else one by one."""
        for (op, _), run in groupby(batch, key=lambda o: (o.op, o.name)):
            if op == "i":
                self._insert(list(run))
                continue
            for operation in run:
                self._one(operation)

    def _insert(self, run: list[Operation]) -> None:
        raw = [RawBSONDocument(operation.o, RAW) for operation in run]
        with translated(f"replaying inserts into {run[0].name}"):
            answer = self._client[run[0].db].command(
                {"insert": run[0].collection, "documents": raw, **self._options}
            )
        for error in answer.get("writeErrors", []):
            operation = run[error["index"]]
            if error.get("code") != _DUPLICATE:
                raise Corrupt(
                    "the replay of an insert failed", value=f"{operation.name}: {error.get('errmsg')}"
                )
            self._replace(operation, operation.o)

    def _one(self, operation: Operation) -> None:
        if operation.op == "d":
            with translated(f"replaying a delete in {operation.name}"):
                self._delete(operation, operation.o)
            return
        query = _by_id(operation.o2 or operation.o)
        collection: Any = self._client[operation.db].get_collection(operation.collection, codec_options=RAW)
        with translated(f"replaying an update of {operation.name}"):
            found = collection.find_one(query)
        if found is not None:
            self._replace(operation, apply_update(found.raw, operation.o))

    def _replace(self, operation: Operation, document: bytes) -> None:
        # Delete and insert, since only an insert leaves every document as it is, `$` in names included.
        with translated(f"replaying a change of {operation.name}"):
            self._delete(operation, document)
            answer = self._client[operation.db].command(
                {
                    "insert": operation.collection,
                    "documents": [RawBSONDocument(document, RAW)],
                    **self._options,
                }
            )
        if problems := answer.get("writeErrors"):
            raise Corrupt("the replay of a change failed", value=problems[0].get("errmsg"))

    def _delete(self, operation: Operation, identified: bytes) -> None:
        query = {"q": _by_id(identified), "limit": 1}
        self._client[operation.db].command({"delete": operation.collection, "deletes": [query]})


def _by_id(document: bytes) -> RawBSONDocument:
    """`{_id: {$eq: value}}`: a regular expression as `_id` is a value here and no pattern."""
    identity = find(document, b"_id")
    if identity is None:
        raise Corrupt("an entry of the oplog names no document")
    equals = join([Element(identity.type, b"$eq", identity.value)])
    return RawBSONDocument(join([Element(DOCUMENT, b"_id", equals)]), RAW)


def _command(client: Client, operation: Operation) -> None:
    """A command that is not about indexes. What is there already, or is gone already, is fine."""
    if operation.command in _SPOILING:
        raise Corrupt(
            "the oplog holds what cannot be replayed", value=f"{operation.command} at {operation.at}"
        )
    body = bson.decode(operation.o, EXACT)
    for key in ("idIndex", "indexes", "o2", "lsid", "$db"):
        body.pop(key, None)
    if "viewPipeline" in body:
        body["pipeline"] = body.pop("viewPipeline")
    try:
        with translated(f"replaying {operation.command} of {operation.name}"):
            try:
                client.get_database(operation.db, codec_options=EXACT).command(body)
            except errors.OperationFailure as error:
                if error.code not in (_EXISTS, NAMESPACE_NOT_FOUND):
                    raise
    except Inconsistent:
        return
    except GroundcrewError as error:
        raise Corrupt("the replay of a command failed", value=f"{error} at {operation.at}") from error
