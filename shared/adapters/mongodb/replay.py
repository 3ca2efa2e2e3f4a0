"""Replaying the oplog: by `applyOps` where the server has it, else by the same changes one by one.

Replay is idempotent: inserts replace, deletes of nothing are fine, and an update of a document that is not
there is one whose delete follows, since the dump was taken while the database went on changing.
Therefore whatever `applyOps` refuses may be tried again the other way, from the batch's beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import COMMAND_NOT_FOUND, RAW, UNAUTHORIZED, Client, translate_errors
from shared.adapters.mongodb.inserting import Inserter
from shared.adapters.mongodb.retrying import Retry
from shared.adapters.mongodb.translating import TranslatedWriter, build_rename
from shared.formats.documents import MAX_DOCUMENT_BYTES
from shared.mongodb.model import ReplayResult
from shared.mongodb.oplog import Operation, is_replayable, unpack_operations
from shared.mongodb.scope import OperationFilter

# `applyOps` is one BSON document, of which a server takes 16 MiB: half of that, or a single operation.
BATCH_OPERATIONS, BATCH_BYTES = 500, 8 << 20
_OVERHEAD_BYTES = 64  # names and types of an entry's fields


def replay_entries(
    client: Client,
    entries: Iterable[bytes],
    selection: OperationFilter,
    inserter: Inserter,
    retry: Retry | None = None,
) -> ReplayResult:
    """Apply those of the entries that are selected, in order.

    After a lost connection a batch is applied again from its beginning, which changes nothing.
    Raises Corrupt naming the entry that cannot be applied, Unavailable if the server fails.
    """
    writer = _ApplyOpsWriter(client, TranslatedWriter(client, inserter))
    retry = retry or Retry()
    for batch in group_operations(selection.select_operations(unpack_operations(entries))):
        retry.run(partial(_write_batch, writer, batch))
    return selection.result()


def _write_batch(writer: _ApplyOpsWriter, batch: list[Operation], again: bool) -> None:  # noqa: ARG001
    writer.write_batch(batch)


def group_operations(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Runs of writes that fit into one command, and each command by itself, in order."""
    batch: list[Operation] = []
    held_bytes = 0
    for operation in operations:
        size = _operation_bytes(operation)
        # A command by itself, as mongorestore has it: what it drops or renames changes what is behind it.
        full = len(batch) >= BATCH_OPERATIONS or held_bytes + size > BATCH_BYTES
        if batch and (full or operation.op == "c" or batch[0].op == "c"):
            yield batch
            batch, held_bytes = [], 0
        batch.append(operation)
        held_bytes += size
    if batch:
        yield batch


def _operation_bytes(operation: Operation) -> int:
    return len(operation.o) + len(operation.o2) + len(operation.name) + _OVERHEAD_BYTES


class _ApplyOpsWriter:
    """The server's own way, as mongorestore uses it, and the other way for what it refuses.

    It refuses an update of a document that is not there (servers from 6.2 on), writes to a collection
    that a later entry drops, and users who lack the privilege `anyAction` on `anyResource`.
    """

    def __init__(self, client: Client, other: TranslatedWriter) -> None:
        self._client, self._other = client, other
        self._usable = True

    def write_batch(self, batch: list[Operation]) -> None:
        """One command for the whole batch. Raises Corrupt, Unavailable."""
        if not (self._usable and all(map(is_replayable, batch)) and self._try_apply_ops(batch)):
            self._other.write_batch(batch)

    def _try_apply_ops(self, batch: list[Operation]) -> bool:
        if sum(map(_operation_bytes, batch)) > MAX_DOCUMENT_BYTES:
            return False  # the command is a document itself
        command = {"applyOps": [build_apply_ops_entry(operation) for operation in batch]}
        with translate_errors("replaying the oplog"):
            try:
                self._client.admin.command({**command, "bypassDocumentValidation": True})
            except errors.OperationFailure as error:
                self._usable = error.code not in (COMMAND_NOT_FOUND, UNAUTHORIZED)
                return False
        return True


def build_apply_ops_entry(operation: Operation) -> dict[str, Any]:
    """What `applyOps` takes: no uuid, which is of the source, no times, no session."""
    namespace = f"{operation.db}.$cmd" if operation.op == "c" else operation.name
    entry: dict[str, Any] = {"op": operation.op, "ns": namespace, "o": RawBSONDocument(operation.o, RAW)}
    if operation.command == "renameCollection":
        entry["o"] = RawBSONDocument(bson.encode(build_rename(operation)), RAW)
    if operation.o2:
        entry["o2"] = RawBSONDocument(operation.o2, RAW)
    return entry
