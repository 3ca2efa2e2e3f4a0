"""MongoDB as a restore writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

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
from shared.adapters.mongodb.reading import Reader
from shared.adapters.mongodb.replay import replay
from shared.core.databases import InsertResult, Namespace, Replayed
from shared.errors import AlreadyExists, GroundcrewError

_AT_ONCE = 100_000  # maxWriteBatchSize of every server there is
_EXISTS = 48
# A top-level Timestamp(0, 0) is otherwise replaced by the present time on insert.
# https://www.mongodb.com/docs/manual/reference/command/insert/ (bypassEmptyTsReplacement, since 8.1)
_KEEPS_TIMESTAMPS = (8, 1)


class MongoTarget(Reader):
    """`TargetDatabase` over a server or replica set."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        release = tuple(int(part) for part in self.server_version().split(".")[:2])
        self._insert_options: dict[str, Any] = {"ordered": False, "bypassDocumentValidation": True}
        if release >= _KEEPS_TIMESTAMPS:
            self._insert_options["bypassEmptyTsReplacement"] = True

    def create(self, namespace: Namespace) -> None:
        """Create the collection or view. Raises AlreadyExists."""
        options = {key: value for key, value in namespace.options.items() if key != "uuid"}
        database = self._client.get_database(namespace.db, codec_options=EXACT)
        with translated(f"creating {namespace.name}"):
            try:
                database.command({"create": namespace.collection, **options})
            except errors.OperationFailure as error:
                if error.code == _EXISTS:
                    raise AlreadyExists(f"{namespace.name} is there already") from error
                raise

    def insert(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """Insert raw documents; what the server refuses is told without the documents' content."""
        inserted, failures, waiting = 0, [], iter(documents)
        while some := list(islice(waiting, _AT_ONCE)):
            raw = [RawBSONDocument(document, RAW) for document in some]
            with translated(f"inserting into {db}.{collection}"):
                answer = self._client[db].command(
                    {"insert": collection, "documents": raw, **self._insert_options}
                )
            inserted += int(answer["n"])
            failures += [_refusal(error) for error in answer.get("writeErrors", [])]
        return InsertResult(inserted, tuple(failures))

    def create_indexes(self, db: str, collection: str, indexes: list[Mapping[str, object]]) -> list[str]:
        """Build all at once, or one by one if the server refuses one of them."""
        specs = [
            {key: value for key, value in index.items() if key != "ns"}
            for index in indexes
            if index["name"] != "_id_"
        ]
        if not specs or self._build(db, collection, specs) is None:
            return []
        refusals = ((spec["name"], self._build(db, collection, [spec])) for spec in specs)
        return [f"index {name} was refused: {reason}" for name, reason in refusals if reason]

    def _build(self, db: str, collection: str, specs: list[dict[str, Any]]) -> str | None:
        try:
            with translated(f"building indexes of {db}.{collection}"):
                self._client.get_database(db, codec_options=EXACT).command(
                    {"createIndexes": collection, "indexes": specs}
                )
        except GroundcrewError as error:
            return str(error.value)
        return None

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:
        """As mongorestore does: a temporary collection, merged by the server; else written directly.

        The version document is the server's own and is only compared.
        """
        if kind == "version":
            return self._compare_version(documents)
        temporary = f"groundcrew_temp_{kind}"
        with suppress(GroundcrewError):
            self._drop("admin", temporary)
        refused = list(self.insert("admin", temporary, documents).failures)
        field = "tempUsersCollection" if kind == "users" else "tempRolesCollection"
        command = {"_mergeAuthzCollections": 1, field: f"admin.{temporary}", "drop": False, "db": ""}
        try:
            with translated(f"merging {kind}"):
                try:
                    self._client.admin.command(command)
                except errors.OperationFailure as error:
                    if error.code != COMMAND_NOT_FOUND:
                        raise
                    refused += self._write_users(kind, documents)
        except GroundcrewError as error:
            refused.append(f"{kind} were not restored: {error}")
        self._drop("admin", temporary)
        return refused

    def _write_users(self, kind: str, documents: list[bytes]) -> list[str]:
        """For a server without the merging command."""
        there = {d["_id"] for d in self._client.admin[f"system.{kind}"].find({}, {"_id": 1})}
        new = [d for d in documents if RawBSONDocument(d, RAW)["_id"] not in there]
        return list(self.insert("admin", f"system.{kind}", new).failures) if new else []

    def _compare_version(self, documents: list[bytes]) -> list[str]:
        theirs = next((d for d in map(bson.decode, documents) if d["_id"] == "authSchema"), None)
        own = self._client.admin["system.version"].find_one({"_id": "authSchema"})
        if not theirs or not own or theirs["currentVersion"] == own["currentVersion"]:
            return []
        versions = f"{theirs['currentVersion']}, the server's of {own['currentVersion']}"
        return [f"the backup's users are of schema {versions}"]

    def _drop(self, db: str, collection: str) -> None:
        with translated(f"dropping {db}.{collection}"):
            try:
                self._client[db].command({"drop": collection})
            except errors.OperationFailure as error:
                if error.code != NAMESPACE_NOT_FOUND:
                    raise

    def replay(self, entries: Iterator[bytes], *, only: Collection[str] = ()) -> Replayed:
        """See the port; `replay` has the how."""
        return replay(self._client, entries, frozenset(only), self._insert_options)

    def gridfs_gaps(self, db: str, bucket: str) -> list[str]:
        """Compare each file's length with the bytes of its chunks, on the server."""
        database = self._client.get_database(db, codec_options=EXACT)
        pipeline = [
            {"$group": {"_id": "$files_id", "bytes": {"$sum": {"$binarySize": "$data"}}, "n": {"$sum": 1}}}
        ]
        with translated(f"checking the files of {db}.{bucket}"):
            rows = database[f"{bucket}.chunks"].aggregate(pipeline, allowDiskUse=True)
            chunks = {_key(row["_id"]): (row["n"], row["bytes"]) for row in rows}
            gaps = []
            for file in database[f"{bucket}.files"].find({}, {"length": 1, "chunkSize": 1}):
                length, size = int(file.get("length", 0)), int(file.get("chunkSize") or 1)
                wanted = (-(-length // size), length)
                found = chunks.get(_key(file["_id"]), (0, 0))
                if found != wanted:
                    gaps.append(
                        f"file {file['_id']} has {found[0]} chunks with {found[1]} bytes"
                        f" instead of {wanted[0]} with {wanted[1]}"
                    )
        return gaps


def _key(value: Any) -> str:
    return f"{type(value).__name__}:{value}"


def _refusal(error: Mapping[str, Any]) -> str:
    # A duplicate's message goes on with the key's value.
    message = str(error.get("errmsg", "")).split(" dup key")[0][:160]
    return f"document {error.get('index')} of the batch: {message} (code {error.get('code')})"
