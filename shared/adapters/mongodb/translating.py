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
    describe_error,
    translate_errors,
)
from shared.adapters.mongodb.inserting import Inserter
from shared.formats.diff import apply_update
from shared.formats.elements import DOCUMENT, Element, find_element, join_elements, string_value
from shared.kernel.errors import Corrupt
from shared.mongodb.oplog import BUCKETS, REPLAYABLE_COMMANDS, VIEWS, Operation

# What is done already, or will be undone by an entry that follows.
_IGNORED_CODES = (NAMESPACE_EXISTS, NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND)
# What the oplog adds to a command that a client may not say.
_OPLOG_ONLY_FIELDS = ("idIndex", "o2", "lsid", "$db", "info", "uuid")
_TIME_SERIES_FIELDS = ("create", "timeseries", "expireAfterSeconds", "collation", "storageEngine")


class TranslatedWriter:
    """Inserts, replacements, deletes and commands."""

    def __init__(self, client: Client, inserter: Inserter) -> None:
        self._client, self._inserter = client, inserter

    def write_batch(self, batch: list[Operation]) -> None:
        """Runs of inserts go together, all else one by one. Raises Corrupt, Unavailable."""
        # Neighbours only: what comes later in the oplog may depend on what came before it.
        for (op, name), run in groupby(batch, key=lambda o: (o.op, o.name)):
            if op == "i" and not name.endswith(f".{VIEWS}"):
                self._replay_inserts(list(run))
                continue
            for operation in run:
                self._replay_one(operation)

    def _replay_one(self, operation: Operation) -> None:
        if operation.op not in ("i", "u", "d", "c"):
            raise _not_replayable(operation, "an entry of an unknown kind")
        if operation.op == "c":
            self._replay_command(operation)
        elif operation.collection == VIEWS:
            self._replay_view(operation)
        elif operation.op == "d":
            with translate_errors(f"replaying a delete in {operation.name}"):
                self._delete_document(operation, operation.o)
        else:
            self._replay_update(operation)

    def _replay_inserts(self, run: list[Operation]) -> None:
        with translate_errors(f"replaying inserts into {run[0].name}"):
            answer = self._inserter.insert(run[0].db, run[0].collection, [operation.o for operation in run])
        for error in answer.get("writeErrors", []):
            operation = run[error["index"]]
            if error.get("code") != DUPLICATE_KEY:
                raise _not_replayable(operation, str(error.get("errmsg", "")).split(" dup key")[0])
            self._replace_document(operation, operation.o)

    def _replay_update(self, operation: Operation) -> None:
        query = _id_filter(operation, operation.o2 or operation.o)
        collection: Any = self._client[operation.db].get_collection(operation.collection, codec_options=RAW)
        with translate_errors(f"replaying an update of {operation.name}"):
            current = collection.find_one(query)
        if current is not None:
            self._replace_document(operation, apply_update(bytes(current.raw), operation.o))

    def _replace_document(self, operation: Operation, document: bytes) -> None:
        # Delete and insert, since only an insert leaves every document as it is, `$` in names included.
        with translate_errors(f"replaying a change of {operation.name}"):
            self._delete_document(operation, document)
            answer = self._inserter.insert(operation.db, operation.collection, [document])
        if problems := answer.get("writeErrors"):
            raise _not_replayable(operation, str(problems[0].get("errmsg", "")).split(" dup key")[0])

    def _delete_document(self, operation: Operation, identified: bytes) -> None:
        query = {"q": _id_filter(operation, identified), "limit": 1}
        self._client[operation.db].command({"delete": operation.collection, "deletes": [query]})

    def _replay_view(self, operation: Operation) -> None:
        """A server keeps its views as documents of `system.views`, which clients do not write."""
        view = operation.subject.partition(".")[2]
        database = self._client.get_database(operation.db, codec_options=EXACT)
        with translate_errors(f"looking for the view {operation.subject}"):
            listing = next(database.list_collections(filter={"name": view, "type": "view"}), None)
        if operation.op == "d":
            if listing is not None:
                self._run_command(operation, {"drop": view})
            return
        before = bson.encode(listing["options"] if listing is not None else {})
        defined = dict(RawBSONDocument(apply_update(before, operation.o), RAW).items())
        if str(defined.get("viewOn", BUCKETS)).startswith(BUCKETS):
            return  # the face of a time-series collection, which comes with the collection
        if listing is not None:
            self._run_command(operation, {"drop": view})
        defined.pop("_id", None)
        self._run_command(operation, {"create": view, **defined})

    def _replay_command(self, operation: Operation) -> None:
        if operation.command not in REPLAYABLE_COMMANDS:
            raise _not_replayable(operation, "unknown command")
        if operation.collection == VIEWS:
            return
        if operation.command == "renameCollection":
            self._run_command(operation, build_rename(operation), on="admin")
            return
        body: dict[str, Any] = dict(RawBSONDocument(operation.o, RAW).items())
        for key in _OPLOG_ONLY_FIELDS:
            body.pop(key, None)
        if operation.command == "emptycapped":
            body = {"delete": operation.collection, "deletes": [{"q": {}, "limit": 0}]}
        if "viewPipeline" in body:
            body["pipeline"] = body.pop("viewPipeline")
        if operation.collection.startswith(BUCKETS):
            # Clients make and drop the collection, and the server sees to its buckets.
            body[operation.command] = operation.collection.removeprefix(BUCKETS)
            if operation.command == "create":
                body = {key: value for key, value in body.items() if key in _TIME_SERIES_FIELDS}
        self._run_command(operation, body)

    def _run_command(self, operation: Operation, command: dict[str, Any], *, on: str = "") -> None:
        with translate_errors(f"replaying {next(iter(command))} of {operation.subject}"):
            try:
                self._client.get_database(on or operation.db, codec_options=EXACT).command(command)
            except errors.OperationFailure as error:
                if error.code not in _IGNORED_CODES:
                    raise _not_replayable(
                        operation, f"{describe_error(error)} (code {error.code})"
                    ) from error


def build_rename(operation: Operation) -> dict[str, Any]:
    """The rename as a command; `dropTarget` of an entry is the uuid of a collection of the source.

    What has the new name is replaced in any case: after a replay that broke off it may be there already.
    """
    source, to = (string_value(find_element(operation.o, name)) for name in (b"renameCollection", b"to"))
    return {"renameCollection": source, "to": to, "dropTarget": True}


def _not_replayable(operation: Operation, why: str) -> Corrupt:
    what = operation.command or {"i": "insert", "u": "update", "d": "delete"}.get(operation.op, operation.op)
    value = f"{what} in {operation.subject} at {operation.at}: {why[:200]}"
    return Corrupt("an oplog entry cannot be replayed", value=value)


def _id_filter(operation: Operation, document: bytes) -> RawBSONDocument:
    """`{_id: {$eq: value}}`: a regular expression as `_id` is a value here and no pattern."""
    identity = find_element(document, b"_id")
    if identity is None:
        raise _not_replayable(operation, "it names no document")
    equals = join_elements([Element(identity.type, b"$eq", identity.value)])
    return RawBSONDocument(join_elements([Element(DOCUMENT, b"_id", equals)]), RAW)
