"""MongoDB as a restore writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import bson
from pymongo import errors

from shared.adapters.mongodb.client import (
    COMMAND_NOT_FOUND,
    DUPLICATE_KEY,
    EXACT,
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    OUT_OF_DISK_SPACE,
    RAW,
    Client,
    check_disk_space,
    describe_error,
    translate_errors,
)
from shared.adapters.mongodb.erasing import Eraser
from shared.adapters.mongodb.inserting import Inserter, has_empty_timestamp, id_filter
from shared.adapters.mongodb.reading import RAW_DATA, collection_uuid
from shared.adapters.mongodb.replay import replay_entries
from shared.adapters.mongodb.retrying import Retry
from shared.kernel.errors import AlreadyExists
from shared.mongodb.model import InsertResult, Namespace, ReplayResult
from shared.mongodb.oplog import BUCKETS, CLUSTER_OPTIONS
from shared.mongodb.scope import OperationFilter, Rename, ReplayScope

_TIMESTAMP_REPLACED = "the server replaced its empty timestamp by the present time"
# Within maxWriteBatchSize (100,000) and maxMessageSizeBytes (48,000,000), which every version has.
_DOCUMENTS_AT_ONCE, _BYTES_AT_ONCE = 100_000, 24 << 20


class MongoTarget(Eraser):
    """`TargetDatabase` over a server or replica set."""

    def __init__(self, client: Client, retry: Retry | None = None) -> None:
        super().__init__(client, retry)
        self._inserter = Inserter(client)

    def create_collection(self, namespace: Namespace) -> str:
        """Create the collection or view; returns its uuid. Raises AlreadyExists."""
        options = {
            key: value for key, value in namespace.options.items() if key not in ("uuid", *CLUSTER_OPTIONS)
        }
        database = self._client.get_database(namespace.db, codec_options=EXACT)
        # From 7.0 on a server is content if the collection is there with the same options.
        exists = self._find_listing(namespace.db, namespace.collection) is not None

        def create(again: bool) -> bool:
            try:
                database.command({"create": namespace.collection, **options})
            except errors.OperationFailure as error:
                if error.code != NAMESPACE_EXISTS:
                    raise
                return again  # then it is ours, and only the answer was lost
            return True

        with translate_errors(f"creating {namespace.name}"):
            exists = exists or not self._retry.run(create)
        if exists:
            raise AlreadyExists(f"{namespace.name} already exists")
        if namespace.kind == "view":
            return ""
        return collection_uuid(self._find_listing(namespace.db, namespace.collection) or {})

    def drop_collection(self, namespace: Namespace) -> None:
        """Drop it if its uuid is the one given. Raises Inconsistent."""
        self._check_uuid(namespace)
        self._drop(namespace.db, namespace.collection)

    def insert_buckets(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """Into the buckets themselves, as mongorestore does: measurements would be bucketed anew."""
        if self.keeps_viewless_series():
            return self._insert_all(db, collection, documents, RAW_DATA)
        return self._insert_all(db, f"{BUCKETS}{collection}", documents, {})

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """Insert raw documents; failures name no content of documents."""
        return self._insert_all(db, collection, documents, {})

    def _insert_all(
        self, db: str, collection: str, documents: list[bytes], more: Mapping[str, object]
    ) -> InsertResult:
        inserted, failures, duplicates, position = 0, [], [], 0
        for chunk in _split_batches(documents):
            with translate_errors(f"inserting into {db}.{collection}"):
                answer, again = self._retry.run(partial(self._insert_chunk, db, collection, chunk, more))
            write_errors = answer.get("writeErrors", [])
            check_disk_space(write_errors, f"inserting into {db}.{collection}")
            # After a lost connection nobody knows which of them the first run stored: they are asked for by
            # `_id`.
            if again:
                stored = self._find_stored(db, collection, [chunk[int(e["index"])] for e in write_errors])
                write_errors = [e for e in write_errors if chunk[int(e["index"])] not in stored]
                inserted += len(chunk) - len(write_errors)
            else:
                inserted += int(answer["n"])
            for error in write_errors:
                if error.get("code") == DUPLICATE_KEY:
                    duplicates.append(position + int(error["index"]))
                else:
                    failures.append(_describe_write_error(position, error))
            if not self._inserter.keeps_timestamps:
                changed = (i for i, document in enumerate(chunk) if has_empty_timestamp(document))
                failures += [f"document {position + i} of the batch: {_TIMESTAMP_REPLACED}" for i in changed]
            position += len(chunk)
        return InsertResult(inserted, tuple(failures), tuple(duplicates))

    def _insert_chunk(
        self, db: str, collection: str, chunk: list[bytes], more: Mapping[str, object], again: bool
    ) -> tuple[dict[str, Any], bool]:
        return self._inserter.insert(db, collection, chunk, **more), again

    def _find_stored(self, db: str, collection: str, documents: list[bytes]) -> set[bytes]:
        """Those of the documents that the collection holds, byte for byte.

        When an insert is done again, the first run may have had effect: what is stored already is refused.
        """
        if not documents:
            return set()
        query = id_filter(documents)
        stored: Any = self._client[db].get_collection(collection, codec_options=RAW)
        with translate_errors(f"reading {db}.{collection}"):
            return {bytes(one.raw) for one in self._retry.run(lambda _: list(stored.find(query)))}

    def create_indexes(self, db: str, collection: str, indexes: list[Mapping[str, object]]) -> list[str]:
        """Build all at once, or one by one if the server refuses one of them."""
        specs = [
            # Version 2 is what every server since 3.4 makes by itself, and what FerretDB knows no option for.
            {key: value for key, value in index.items() if key != "ns" and (key, value) != ("v", 2)}
            for index in indexes
            if index["name"] != "_id_" and not index.get("clustered")
        ]
        # All in one command: the server then reads the collection once.
        if not specs or self._build_indexes(db, collection, specs) is None:
            return []
        refusals = ((spec["name"], self._build_one(db, collection, spec)) for spec in specs)
        return [f"index {name} was refused: {refusal}" for name, refusal in refusals if refusal]

    def _build_one(self, db: str, collection: str, spec: dict[str, Any]) -> str | None:
        """Servers before 3.4 kept any option; today's refuse those unless they may ignore them."""
        refused = self._build_indexes(db, collection, [spec])
        if refused is None:
            return None
        return self._build_indexes(db, collection, [spec], ignoreUnknownIndexOptions=True) and refused

    def _build_indexes(
        self, db: str, collection: str, specs: list[dict[str, Any]], **more: object
    ) -> str | None:
        database = self._client.get_database(db, codec_options=EXACT)
        with translate_errors(f"building indexes of {db}.{collection}"):
            try:
                command = {"createIndexes": collection, "indexes": specs, **more}
                self._retry.run(lambda _: database.command(command))
            except errors.OperationFailure as error:
                if error.code == OUT_OF_DISK_SPACE:
                    raise
                return f"{describe_error(error)} (code {error.code})"
        return None

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:
        """As mongorestore does: a temporary collection, merged by the server; else written directly.

        The version document is the server's own and is only compared.
        """
        if kind == "version":
            return self._compare_version(documents)
        if not documents:
            return []
        temporary = f"groundcrew_temp_{kind}"
        self._drop("admin", temporary)
        try:
            answer = self.insert_documents("admin", temporary, documents)
            refused = [
                *answer.failures,
                *(f"document {i} of {kind} occurs twice" for i in answer.duplicates),
            ]
            return refused + self._merge_users(kind, temporary)
        finally:
            self._drop("admin", temporary)  # it holds what passwords are checked against

    def _merge_users(self, kind: str, temporary: str) -> list[str]:
        """Undocumented, but what mongorestore does (mongorestore/metadata.go): what is there stays.

        Raises NotFound if the server cannot do it.
        """
        field = "tempUsersCollection" if kind == "users" else "tempRolesCollection"
        command = {"_mergeAuthzCollections": 1, field: f"admin.{temporary}", "drop": False, "db": ""}
        with translate_errors(f"merging {kind}"):
            try:
                self._client.admin.command(command)
            except errors.OperationFailure as error:
                if error.code == COMMAND_NOT_FOUND:
                    raise
                return [f"{kind} were not restored: {describe_error(error)} (code {error.code})"]
        return []

    def _compare_version(self, documents: list[bytes]) -> list[str]:
        """From 8.1 on there is no such document (TOOLS-3782), and nothing to compare."""
        decoded = (bson.decode(document, EXACT) for document in documents)
        expected = next((d for d in decoded if d.get("_id") == "authSchema"), {}).get("currentVersion")
        with translate_errors("reading the version of the server's users"):
            document = self._client.admin["system.version"].find_one({"_id": "authSchema"})
        actual = (document or {}).get("currentVersion")
        if expected is None or actual is None or expected == actual:
            return []
        return [f"the backup's users are of schema {expected}, the server's of {actual}"]

    def _drop(self, db: str, collection: str) -> None:
        with translate_errors(f"dropping {db}.{collection}"):
            try:
                self._client[db].command({"drop": collection})
            except errors.OperationFailure as error:
                if error.code != NAMESPACE_NOT_FOUND:
                    raise

    def replay_oplog(
        self,
        entries: Iterator[bytes],
        *,
        scope: ReplayScope | None = None,
        rename: Rename | None = None,
    ) -> ReplayResult:
        """See the port; `replay_entries` describes how."""
        return replay_entries(
            self._client, entries, OperationFilter(scope, rename), self._inserter, self._retry
        )

    def drop_database(self, db: str) -> None:
        """See the port."""
        with translate_errors(f"dropping the database {db}"):
            self._retry.run(lambda _: self._client.drop_database(db))

    def validate_collection(self, namespace: Namespace) -> list[str]:
        """`validate` with `full`: https://www.mongodb.com/docs/manual/reference/command/validate/."""
        command = {"validate": self._stored_name(namespace), "full": True}
        with translate_errors(f"validating {namespace.name}"):
            answer = self._client.get_database(namespace.db, codec_options=EXACT).command(command)
        if answer.get("valid") is True:
            return []
        # The server's sentences name indexes and record ids, no content of documents.
        return [str(text)[:200] for text in answer.get("errors", ())] or ["the server says it is not valid"]

    def find_gridfs_gaps(self, db: str, bucket: str) -> list[str]:
        """Compare each file's length with the bytes of its chunks, on the server."""
        database = self._client.get_database(db, codec_options=EXACT)
        bytes_of = {"$cond": [{"$eq": [{"$type": "$data"}, "binData"]}, {"$binarySize": "$data"}, 0]}
        group = {"_id": "$files_id", "n": {"$sum": 1}, "last": {"$max": "$n"}, "bytes": {"$sum": bytes_of}}
        with translate_errors(f"checking the files of {db}.{bucket}"):
            rows = database[f"{bucket}.chunks"].aggregate([{"$group": group}], allowDiskUse=True)
            chunks = {_type_key(row["_id"]): row for row in rows}
            files = database[f"{bucket}.files"].find({}, {"length": 1, "chunkSize": 1})
            gaps = [_describe_gap(file, chunks.get(_type_key(file["_id"]), {})) for file in files]
        return [gap for gap in gaps if gap]


def _describe_gap(file: Mapping[str, Any], chunks: Mapping[str, Any]) -> str:
    """What a file lacks: chunks are numbered from 0, all but the last as long as `chunkSize`."""
    length, size = file.get("length"), file.get("chunkSize")
    if not isinstance(length, int | float) or not isinstance(size, int | float) or size < 1:
        return f"file {file['_id']} does not say how long it is"
    expected = -(-int(length) // int(size))
    count, last, stored = chunks.get("n", 0), chunks.get("last", -1), chunks.get("bytes", 0)
    if (count, last, stored) == (expected, expected - 1, length):
        return ""
    return (
        f"file {file['_id']} has {count} chunks with {stored} bytes instead of {expected} with {int(length)}"
    )


def _type_key(value: Any) -> str:
    return f"{type(value).__name__}:{value}"


def _split_batches(documents: list[bytes]) -> Iterator[list[bytes]]:
    """As many documents at a time as the server takes."""
    chunk: list[bytes] = []
    held_bytes = 0
    for document in documents:
        if chunk and (len(chunk) >= _DOCUMENTS_AT_ONCE or held_bytes + len(document) > _BYTES_AT_ONCE):
            yield chunk
            chunk, held_bytes = [], 0
        chunk.append(document)
        held_bytes += len(document)
    if chunk:
        yield chunk


def _describe_write_error(position: int, error: Mapping[str, Any]) -> str:
    # A duplicate's message goes on with the key's value.
    message = str(error.get("errmsg", "")).split(" dup key")[0][:160]
    index = position + int(error.get("index", 0))
    return f"document {index} of the batch: {message} (code {error.get('code')})"
