"""A MongoDB in memory, as a source and as a target, for tests of jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

import bson

from local.fakes.documents import id_key
from local.fakes.mongodb_commands import MemoryCommands
from local.fakes.mongodb_erasing import MemoryEraser
from local.fakes.oplog import MemoryOplog
from shared.formats.diff import apply_update
from shared.formats.documents import TalliedBatch
from shared.kernel.errors import AlreadyExists, Inconsistent, NotFound
from shared.mongodb.model import IdRange, InsertResult, Namespace, ReplayResult, Timestamp
from shared.mongodb.oplog import Operation, unpack_operations
from shared.mongodb.scope import OperationFilter, Rename, ReplayScope

_BATCH_DOCUMENTS = 3  # small, so that tests see several batches


class MemoryDatabase(MemoryOplog, MemoryEraser, MemoryCommands):
    """`SourceDatabase` and `TargetDatabase`; documents keep their order, the oplog is a list.

    `write`, `drop` and the oplog's `trim_oplog` are what others do to it meanwhile.
    """

    def __init__(self, host: str = "memory:27017", version: str = "8.0.4") -> None:
        super().__init__()
        self._host, self._version = host, version
        self.feature_version: str | None = None
        self._catalogue: dict[str, Namespace] = {}
        self._documents: dict[str, dict[bytes, bytes]] = {}
        self.invalid: dict[str, list[str]] = {}  # by namespace what `validate` finds
        self.lacks_validate = False
        self._open_transactions: dict[int, list[tuple[str, str, dict[str, object]]]] = {}

    def close(self) -> None:
        """Nothing to let go of."""

    def read_server_version(self) -> str:
        """As given."""
        return self._version

    def read_feature_version(self) -> str:
        """As set; its series unless something else was."""
        return self._version.rpartition(".")[0] if self.feature_version is None else self.feature_version

    def list_hosts(self) -> tuple[str, ...]:
        """As given."""
        return (self._host,)

    def list_namespaces(self, named: str = "") -> list[Namespace]:
        """The catalogue, with exact counts."""
        result = []
        for name, namespace in sorted(self._catalogue.items()):
            if named and namespace.collection != named:
                continue
            documents = self._documents[name].values()
            size = sum(map(len, documents))
            result.append(replace(namespace, documents=len(documents), data_bytes=size))
        return result

    def sample_split_points(self, namespace: Namespace, pieces: int) -> list[bytes]:
        """Exact quantiles."""
        keys = sorted(self._documents[namespace.name])
        chosen = [keys[len(keys) * i // pieces] for i in range(1, pieces)] if keys else []
        return list(dict.fromkeys(chosen))

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        """In the order of the raw `_id`s, read as it goes, so that writes in between are seen or not.

        Capped collections are read in the order of insertion.
        """
        if namespace.name in self._catalogue and self._catalogue[namespace.name].options.get("capped"):
            yield from self._read_capped(namespace)
            return
        cursor = within.lower or b""
        while True:
            self._check_uuid(namespace)
            keys = sorted(
                k
                for k in self._documents[namespace.name]
                if k >= cursor and (within.upper is None or k < within.upper)
            )[:_BATCH_DOCUMENTS]
            if not keys:
                return
            yield TalliedBatch.of(b"".join(self._documents[namespace.name][k] for k in keys))
            # Right after the last one, whatever was inserted or deleted meanwhile.
            cursor = keys[-1] + b"\0"

    def _read_capped(self, namespace: Namespace) -> Iterator[TalliedBatch]:
        read: set[bytes] = set()
        while True:
            self._check_uuid(namespace)
            keys = [k for k in self._documents[namespace.name] if k not in read][:_BATCH_DOCUMENTS]
            if not keys:
                return
            yield TalliedBatch.of(b"".join(self._documents[namespace.name][k] for k in keys))
            read.update(keys)

    def _evict_oldest(self, name: str) -> None:
        """Drop the oldest documents of a capped collection, as the server does."""
        options, documents = self._catalogue[name].options, self._documents[name]
        if not options.get("capped"):
            return
        most, size = options.get("max"), options["size"]
        while (isinstance(most, int) and most and len(documents) > most) or (
            isinstance(size, int) and sum(map(len, documents.values())) > size
        ):
            del documents[next(iter(documents))]

    def _check_uuid(self, namespace: Namespace) -> None:
        current = self._catalogue.get(namespace.name)
        if current is None or (namespace.uuid and current.uuid != namespace.uuid):
            raise Inconsistent(f"{namespace.name} was dropped while it was read")

    def find_oldest_open_transaction(self) -> Timestamp | None:
        """There are none."""
        return None

    def create_collection(self, namespace: Namespace) -> str:
        """With a uuid of its own, which is returned. Raises AlreadyExists."""
        if namespace.name in self._catalogue:
            raise AlreadyExists(f"{namespace.name} already exists")
        # A view has neither a uuid nor indexes.
        collection_uuid = "" if namespace.kind == "view" else uuid.uuid4().hex
        indexes = () if namespace.kind == "view" else ({"v": 2, "key": {"_id": 1}, "name": "_id_"},)
        self._catalogue[namespace.name] = replace(namespace, uuid=collection_uuid, indexes=indexes)
        self._documents[namespace.name] = {}
        return collection_uuid

    def drop_collection(self, namespace: Namespace) -> None:
        """If its uuid is the one given. Raises Inconsistent."""
        self._check_uuid(namespace)
        self._catalogue.pop(namespace.name, None)
        self._documents.pop(namespace.name, None)

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """Duplicates are refused one by one."""
        name, duplicates = f"{db}.{collection}", []
        if name not in self._catalogue:
            self.create_collection(Namespace(db, collection))
        for index, document in enumerate(documents):
            # By identity: an equal document that is there already is a duplicate as well.
            if self._documents[name].setdefault(id_key(document), document) is not document:
                duplicates.append(index)
        self._evict_oldest(name)
        return InsertResult(len(documents) - len(duplicates), (), tuple(duplicates))

    def insert_buckets(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """As into any collection."""
        return self.insert_documents(db, collection, documents)

    def create_indexes(self, db: str, collection: str, indexes: list[Mapping[str, object]]) -> list[str]:
        """All are taken, but text indexes, as by a server that lacks them."""
        name = f"{db}.{collection}"
        refused = [str(i["name"]) for i in indexes if "text" in str(i["key"])]
        existing = {str(i["name"]) for i in self._catalogue[name].indexes}
        new = tuple(i for i in indexes if i["name"] not in {*refused, *existing})
        self._catalogue[name] = replace(self._catalogue[name], indexes=(*self._catalogue[name].indexes, *new))
        return [f"index {n} was refused: no text indexes here" for n in refused]

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:
        """Merged, as `_mergeAuthzCollections` does: what exists stays."""
        return list(self.insert_documents("admin", f"system.{kind}", documents).failures)

    def validate_collection(self, namespace: Namespace) -> list[str]:
        """What a test says is wrong with it. Raises NotFound if the server is told to lack the command."""
        if self.lacks_validate:
            raise NotFound("validating: the server has no such command")
        return self.invalid.get(namespace.name, [])

    def find_gridfs_gaps(self, db: str, bucket: str) -> list[str]:
        """Files without any chunk."""
        chunks = [bson.decode(d)["files_id"] for d in self._documents[f"{db}.{bucket}.chunks"].values()]
        files = [bson.decode(d)["_id"] for d in self._documents[f"{db}.{bucket}.files"].values()]
        return [f"file {file} has no chunks" for file in files if file not in chunks]

    def replay_oplog(
        self,
        entries: Iterator[bytes],
        *,
        scope: ReplayScope | None = None,
        rename: Rename | None = None,
    ) -> ReplayResult:
        """Operation by operation."""
        selection = OperationFilter(scope, rename)
        for operation in selection.select_operations(unpack_operations(entries)):
            if operation.op == "c":
                self._replay_command(operation)
                continue
            documents = self._open_collection(operation.db, operation.collection)
            key = id_key(operation.o2 or operation.o)
            if operation.op == "i":
                documents[id_key(operation.o)] = operation.o
            elif operation.op == "d":
                documents.pop(key, None)
            # A change of a document that was deleted later is skipped, as the server does when it replays.
            elif key in documents:
                documents[key] = apply_update(documents[key], operation.o)
        return selection.result()

    def _replay_command(self, operation: Operation) -> None:
        if operation.command == "drop":
            doomed = [operation.name]
        elif operation.command == "dropDatabase":
            doomed = [name for name in self._catalogue if name.startswith(operation.name)]
        elif operation.command == "renameCollection":
            old, new = operation.subjects
            if old in self._catalogue:
                self._catalogue[new] = replace(self._catalogue.pop(old), collection=new.partition(".")[2])
                self._documents[new] = self._documents.pop(old)
            return
        else:
            self._open_collection(operation.db, operation.collection)
            return
        for name in doomed:
            self._catalogue.pop(name, None)
            self._documents.pop(name, None)

    def _open_collection(self, db: str, collection: str) -> dict[bytes, bytes]:
        """The documents of a collection, which is created if it does not exist."""
        if f"{db}.{collection}" not in self._catalogue:
            self.create_collection(Namespace(db, collection))
        return self._documents[f"{db}.{collection}"]

    def write(self, db: str, collection: str, document: dict[str, object]) -> None:
        """Insert or replace a document, with its entry in the oplog."""
        name, raw = f"{db}.{collection}", bson.encode(document)
        if name not in self._catalogue:
            self.create_collection(Namespace(db, collection))
        op = "u" if id_key(raw) in self._documents[name] else "i"
        self._documents[name][id_key(raw)] = raw
        self._evict_oldest(name)
        self._log_entry({"op": op, "ns": name, "o": document, "o2": {"_id": document["_id"]}})

    def update(self, db: str, collection: str, identity: object, change: dict[str, object]) -> None:
        """Change a document by the oplog's own form of a change, with its entry there."""
        documents, key = self._documents[f"{db}.{collection}"], bson.encode({"_id": identity})
        documents[key] = apply_update(documents[key], bson.encode(change))
        self._log_entry({"op": "u", "ns": f"{db}.{collection}", "o": change, "o2": {"_id": identity}})

    def delete(self, db: str, collection: str, identity: object) -> None:
        """Delete a document, with its entry in the oplog."""
        self._documents[f"{db}.{collection}"].pop(bson.encode({"_id": identity}), None)
        self._log_entry({"op": "d", "ns": f"{db}.{collection}", "o": {"_id": identity}})

    def drop(self, db: str, collection: str) -> None:
        """Drop a collection, with its entry in the oplog."""
        del self._catalogue[f"{db}.{collection}"], self._documents[f"{db}.{collection}"]
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": {"drop": collection}})

    def drop_database(self, db: str) -> None:
        """Drop a database in one entry of the oplog, as the embedded server writes it."""
        for name in [name for name in self._catalogue if name.startswith(f"{db}.")]:
            del self._catalogue[name], self._documents[name]
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": {"dropDatabase": 1}})

    def begin_transaction(self, number: int, documents: list[tuple[str, str, dict[str, object]]]) -> None:
        """Write down the first part of a large transaction, which changes nothing before its commit."""
        self._log_entry(
            {
                "op": "c",
                "ns": "admin.$cmd",
                "o": {"applyOps": [_insert_documents(*one) for one in documents], "partialTxn": True},
                **_session_fields(number),
                # The first of a chain points to nothing.
                "prevOpTime": {"ts": bson.Timestamp(0, 0), "t": bson.Int64(-1)},
            }
        )
        self._open_transactions[number] = documents

    def commit_transaction(self, number: int) -> None:
        """The transaction's last part: all of it happens now."""
        documents = self._open_transactions.pop(number)
        for db, collection, document in documents:
            self._open_collection(db, collection)[bson.encode({"_id": document["_id"]})] = bson.encode(
                document
            )
        before = {"ts": bson.Timestamp(self._clock, 1), "t": bson.Int64(1)}
        entry = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": []}}
        self._log_entry({**entry, **_session_fields(number), "prevOpTime": before})

    def contents(self) -> dict[str, set[bytes]]:
        """All documents by namespace, to be compared."""
        return {name: set(documents.values()) for name, documents in self._documents.items()}


def _insert_documents(db: str, collection: str, document: dict[str, object]) -> dict[str, object]:
    return {"op": "i", "ns": f"{db}.{collection}", "o": document, "o2": {"_id": document["_id"]}}


def _session_fields(number: int) -> dict[str, object]:
    return {"lsid": {"id": bson.Binary(bytes(16), 4)}, "txnNumber": bson.Int64(number)}
