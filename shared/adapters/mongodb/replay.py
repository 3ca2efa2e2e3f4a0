"""Replaying the oplog: by `applyOps` where the server has it, else by the same changes one by one.

Replay is idempotent: inserts replace, deletes of nothing are fine, and an update of a document that is not
there is one whose delete follows, since the dump was taken while the database went on changing.
Therefore whatever `applyOps` refuses may be tried again the other way, from the batch's beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import COMMAND_NOT_FOUND, RAW, UNAUTHORIZED, Client, translated
from shared.adapters.mongodb.inserting import Inserter
from shared.adapters.mongodb.translating import Translated
from shared.mongodb.model import IndexChange, Replayed
from shared.mongodb.oplog import Operation, index_change, operations, without_indexes

# `applyOps` is one BSON document, of which a server takes 16 MiB: half of that, or a single operation.
BATCH_OPERATIONS, BATCH_BYTES = 500, 8 << 20
_OVERHEAD_BYTES = 64  # names and types of an entry's fields


def replay(
    client: Client, entries: Iterable[bytes], wanted: Callable[[str], bool], inserter: Inserter
) -> Replayed:
    """Apply the entries in order, those of the namespaces that are wanted.

    Raises Corrupt naming the entry that cannot be applied, Unavailable if the server fails.
    """
    selection = _Selection(wanted)
    writer = _ApplyOps(client, Translated(client, inserter))
    for batch in batches(selection.of(operations(entries))):
        writer.write(batch)
    return Replayed(selection.applied, selection.skipped, tuple(selection.changes))


class _Selection:
    """Picks what is to be written, counts, and keeps the changes of indexes apart."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self.applied = self.skipped = 0
        self.changes: list[IndexChange] = []

    def of(self, found: Iterable[Operation | None]) -> Iterator[Operation]:
        """What the server has to do."""
        for operation in found:
            if operation is None or not self._wanted(operation.subject):
                self.skipped += 1
                continue
            self.applied += 1
            if change := index_change(operation):
                self.changes.append(change)
            if (rest := without_indexes(operation)) is not None:
                yield rest


def batches(found: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Runs of writes that fit into one command, and each command by itself, in order."""
    batch: list[Operation] = []
    held = 0
    for operation in found:
        size = len(operation.o) + len(operation.o2) + len(operation.name) + _OVERHEAD_BYTES
        full = len(batch) >= BATCH_OPERATIONS or held + size > BATCH_BYTES
        if batch and (full or operation.op == "c" or batch[0].op == "c"):
            yield batch
            batch, held = [], 0
        batch.append(operation)
        held += size
    if batch:
        yield batch


class _ApplyOps:
    """The server's own way, as mongorestore uses it, and the other way for what it refuses.

    It refuses an update of a document that is not there (servers from 6.2 on), writes to a collection
    that a later entry drops, and users who lack the privilege `anyAction` on `anyResource`.
    """

    def __init__(self, client: Client, other: Translated) -> None:
        self._client, self._other = client, other
        self._usable = True

    def write(self, batch: list[Operation]) -> None:
        """One command for the whole batch. Raises Corrupt, Unavailable."""
        if not (self._usable and self._applied(batch)):
            self._other.write(batch)

    def _applied(self, batch: list[Operation]) -> bool:
        command = {"applyOps": [apply_ops_entry(operation) for operation in batch]}
        with translated("replaying the oplog"):
            try:
                self._client.admin.command({**command, "bypassDocumentValidation": True})
            except errors.OperationFailure as error:
                self._usable = error.code not in (COMMAND_NOT_FOUND, UNAUTHORIZED)
                return False
        return True


def apply_ops_entry(operation: Operation) -> dict[str, Any]:
    """What `applyOps` takes: no uuid, which is of the source, no times, no session."""
    namespace = f"{operation.db}.$cmd" if operation.op == "c" else operation.name
    entry: dict[str, Any] = {"op": operation.op, "ns": namespace, "o": RawBSONDocument(operation.o, RAW)}
    if operation.o2:
        entry["o2"] = RawBSONDocument(operation.o2, RAW)
    return entry
