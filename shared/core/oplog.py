"""The oplog as a restore needs it: which entries spoil a dump, and what entries amount to, one by one.

Entries are raw BSON and stay so. Sources: mongo-tools (mongodump/oplog_dump.go, mongorestore/oplog.go) for
what is skipped and what aborts; docs/adr/0004 for the two dialects.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.databases import IndexChange, Timestamp
from shared.errors import Corrupt
from shared.formats.elements import ARRAY, BOOLEAN, DOCUMENT, TIMESTAMP, find, split, text

_SPOILING = ("renameCollection", "importCollection", "reshardCollection")
_INDEX_COMMANDS = ("createIndexes", "commitIndexBuild", "dropIndexes", "deleteIndexes", "deleteIndex")
_IGNORED_COMMANDS = ("startIndexBuild", "abortIndexBuild", "commitTransaction", "abortTransaction")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change: `op` is `i`, `u`, `d` or `c`; `o` and `o2` are raw documents (`o2` may be empty)."""

    op: str
    db: str
    collection: str
    o: bytes
    o2: bytes
    at: str

    @property
    def name(self) -> str:
        """`db.collection`; for a command the collection it is about."""
        return f"{self.db}.{self.collection}"

    @property
    def command(self) -> str:
        """The command's name; empty for writes."""
        return next(split(self.o)).name.decode("utf-8", "replace") if self.op == "c" else ""


def hazard(entry: bytes) -> str | None:
    """Why a dump whose window holds this entry is worthless, or None. Raises Corrupt."""
    op, namespace = text(find(entry, b"op")), text(find(entry, b"ns"))
    if op == "n":
        return None
    if namespace == "admin.system.version":
        return "the server's version document was changed"
    body = find(entry, b"o") if op == "c" else None
    first = next(split(body.value), None) if body else None
    if first is not None and first.name.decode("utf-8", "replace") in _SPOILING:
        return f"{first.name.decode()} of {text(first) or namespace}"
    return None


def timestamp(entry: bytes) -> Timestamp:
    """When the entry was written. Raises Corrupt."""
    at = find(entry, b"ts")
    if at is None or at.type != TIMESTAMP:
        raise Corrupt("an entry of the oplog has no time")
    ordinal, seconds = struct.unpack("<II", at.value)
    return Timestamp(seconds, ordinal)


def operations(entries: Iterable[bytes]) -> Iterator[Operation | None]:
    """The changes that raw entries amount to, in order; None for each entry that changes nothing.

    Transactions are unpacked when they are complete: their parts share `lsid` and `txnNumber`, all but the
    last say `partialTxn`, prepared ones wait for their commit, aborted ones never happened.
    """
    waiting: dict[bytes, list[Operation]] = defaultdict(list)
    for entry in entries:
        fields = {element.name: element for element in split(entry)}
        op, namespace = text(fields.get(b"op")), text(fields.get(b"ns"))
        at = fields[b"ts"].value.hex() if b"ts" in fields else ""
        if op not in ("i", "u", "d", "c") or _skipped(namespace):
            yield None
            continue
        body = fields[b"o"].value
        if op != "c":
            other = fields[b"o2"].value if b"o2" in fields else b""
            yield _write(op, namespace, body, other, at)
            continue
        key = b"".join(fields[k].value for k in (b"lsid", b"txnNumber") if k in fields)
        yield from _command(namespace, body, at, waiting[key])


def _command(namespace: str, body: bytes, at: str, waiting: list[Operation]) -> Iterator[Operation | None]:
    db = namespace.partition(".")[0]
    name = next(split(body)).name.decode("utf-8", "replace")
    if name == "applyOps":
        waiting += _inner(body, at)
        if not (_true(body, b"partialTxn") or _true(body, b"prepare")):
            yield from waiting
            if not waiting:
                yield None
            waiting.clear()
            return
    if name == "commitTransaction":
        yield from waiting
    if name in ("commitTransaction", "abortTransaction"):
        waiting.clear()
    if name in ("applyOps", *_IGNORED_COMMANDS):
        yield None
        return
    yield Operation("c", db, text(next(split(body))), body, b"", at)


def _inner(body: bytes, at: str) -> Iterator[Operation]:
    listed = find(body, b"applyOps")
    if listed is None or listed.type != ARRAY:
        raise Corrupt("an applyOps entry of the oplog is malformed", value=at)
    for entry in split(listed.value):
        if entry.type != DOCUMENT:
            raise Corrupt("an applyOps entry of the oplog is malformed", value=at)
        fields = {element.name: element for element in split(entry.value)}
        op, namespace = text(fields.get(b"op")), text(fields.get(b"ns"))
        if op in ("i", "u", "d") and not _skipped(namespace):
            other = fields[b"o2"].value if b"o2" in fields else b""
            yield _write(op, namespace, fields[b"o"].value, other, at)
        elif op == "c":
            inner = fields[b"o"].value
            yield Operation("c", namespace.partition(".")[0], text(next(split(inner))), inner, b"", at)


def _write(op: str, namespace: str, body: bytes, other: bytes, at: str) -> Operation:
    db, _, collection = namespace.partition(".")
    return Operation(op, db, collection, body, other, at)


def _true(document: bytes, name: bytes) -> bool:
    element = find(document, name)
    return element is not None and element.type == BOOLEAN and element.value == b"\x01"


def _skipped(namespace: str) -> bool:
    """What mongorestore does not replay: the server's own affairs. Users are restored from the dump."""
    db = namespace.partition(".")[0]
    return db in ("", "config", "local") or namespace.startswith("admin.system.")


def index_change(operation: Operation) -> IndexChange | None:
    """What a command does to indexes, or None if it is about something else. Raises Corrupt."""
    import bson

    command = operation.command
    if command == "drop":
        return IndexChange(operation.name, gone=True)
    if command not in _INDEX_COMMANDS and command != "collMod":
        return None
    body: dict[str, Any] = bson.decode(operation.o)
    if command == "collMod":
        change = body.get("index")
        if not change:
            return None
        name = change.get("name", "")
        options = {k: v for k, v in change.items() if k not in ("name", "keyPattern")}
        return IndexChange(operation.name, changed={name: options})
    if command in ("createIndexes", "commitIndexBuild"):
        # mongod flattens one index into the entry; a finished build and the other dialect carry a list.
        flat = {k: v for k, v in body.items() if k not in ("createIndexes", "indexBuildUUID")}
        return IndexChange(operation.name, created=tuple(body.get("indexes") or (flat,)))
    index = body.get("index", "*")
    return IndexChange(operation.name, dropped=tuple(index) if isinstance(index, list) else (str(index),))


def final_indexes(
    before: Mapping[str, Iterable[Mapping[str, object]]], changes: Iterable[IndexChange]
) -> dict[str, list[Mapping[str, object]]]:
    """The indexes to build: those of the catalogue as the oplog changed them, by collection."""
    found = {name: {str(index["name"]): index for index in indexes} for name, indexes in before.items()}
    for change in changes:
        if change.gone:
            found.pop(change.namespace, None)
            continue
        indexes = found.setdefault(change.namespace, {})
        for name in change.dropped:
            for gone in [n for n in indexes if n == name or (name == "*" and n != "_id_")]:
                del indexes[gone]
        indexes |= {str(index["name"]): _clean(index) for index in change.created}
        for name, options in change.changed.items():
            if name in indexes:
                indexes[name] = {**indexes[name], **options}
    return {name: list(indexes.values()) for name, indexes in found.items()}


def _clean(index: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in index.items() if key not in ("ns", "entryFormat")}
