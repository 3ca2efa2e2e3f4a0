"""One entry of the oplog: its fields, taken from raw BSON without decoding its documents.

Source: mongo, src/mongo/db/repl/oplog_entry.idl.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from shared.formats.elements import (
    ARRAY,
    BOOLEAN,
    DOCUMENT,
    TIMESTAMP,
    Element,
    find_element,
    split_elements,
    string_value,
)
from shared.kernel.errors import Corrupt
from shared.mongodb.model import Timestamp

REPLAYED_OPS = ("i", "u", "d", "c")  # writes and commands
_TIMESTAMP = struct.Struct("<II")


class OplogEntry(NamedTuple):
    """The fields of an entry, or of one within `applyOps`, that matter here."""

    op: str
    namespace: str
    o: bytes
    o2: bytes
    transaction: bytes
    continues: bool  # a transaction that an earlier entry began


def read_timestamp(entry: bytes) -> Timestamp:
    """When the entry was written. Raises Corrupt."""
    at = find_element(entry, b"ts")
    if at is None or at.type != TIMESTAMP:
        raise Corrupt("an oplog entry has no timestamp")
    # Little-endian, the increment before the seconds: https://bsonspec.org/spec.html
    ordinal, seconds = _TIMESTAMP.unpack(at.value)
    return Timestamp(seconds, ordinal)


def apply_ops_entries(body: bytes, at: str) -> Iterator[bytes]:
    """The entries within a command `applyOps`. Raises Corrupt naming the timestamp `at`."""
    listed = find_element(body, b"applyOps")
    # Refused: an entry that is passed over is a write that is missing in the restore, and nobody notices.
    if listed is None or listed.type != ARRAY:
        raise malformed_entry(at)
    for element in split_elements(listed.value):
        if element.type != DOCUMENT:
            raise malformed_entry(at)
        yield element.value


def parse_entry(entry: bytes, at: str) -> OplogEntry:
    """The entry's fields. Raises Corrupt naming the timestamp `at`."""
    fields: dict[bytes, Element] = {element.name: element for element in split_elements(entry)}
    op, namespace = string_value(fields.get(b"op")), string_value(fields.get(b"ns"))
    documents = [fields.get(name) for name in (b"o", b"o2")]
    o, o2 = (e.value if e is not None and e.type == DOCUMENT else b"" for e in documents)
    # A no-op may come without one; a write without a document could only be guessed at.
    if not o and op in REPLAYED_OPS:
        raise malformed_entry(at)
    transaction = b"".join(fields[name].value for name in (b"lsid", b"txnNumber") if name in fields)
    return OplogEntry(op, namespace, o, o2, transaction, op == "c" and _is_continuation(fields))


def _is_continuation(fields: dict[bytes, Element]) -> bool:
    """Whether `prevOpTime` leads to an earlier entry; in a transaction's first entry it is null.

    Retryable writes that share an entry (a `multiOpType` but 0) are linked the same way, yet each stands for
    itself. Source: `applyOpsIsLinkedTransactionally` in src/mongo/db/repl/oplog_entry.cpp.
    """
    previous, kind = fields.get(b"prevOpTime"), fields.get(b"multiOpType")
    if previous is None or previous.type != DOCUMENT or (kind is not None and any(kind.value)):
        return False
    at = find_element(previous.value, b"ts")
    return at is not None and at.type == TIMESTAMP and any(at.value)


def command_name(body: bytes) -> str:
    """The name of a command, which is its first field. Raises Corrupt."""
    # BSON keeps the order, and the server goes by it: the first field is the command.
    first = next(split_elements(body), None)
    if first is None:
        raise malformed_entry("")
    return first.name.decode("utf-8", "replace")


def is_true(document: bytes, name: bytes) -> bool:
    """Whether the field is there and true."""
    element = find_element(document, name)
    return element is not None and element.type == BOOLEAN and element.value == b"\x01"


def malformed_entry(at: str) -> Corrupt:
    """The error for an entry that lacks what it must have."""
    return Corrupt("an oplog entry is malformed", value=at or None)


def is_internal(namespace: str) -> bool:
    """What is not replayed: the server's own affairs. Users and roles are restored from the dump."""
    db = namespace.partition(".")[0]
    return (
        db in ("", "config", "local")
        or db.startswith("__mdb_internal")
        or namespace.startswith("admin.system.")
    )
