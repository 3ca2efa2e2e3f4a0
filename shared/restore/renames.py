"""Restoring under other names: a database beside the live one, a collection into another.

Everything above the target speaks of the set's names; the names change where they reach the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.formats.documents import TalliedBatch
from shared.formats.elements import STRING, Element, find_element, join_elements, split_elements, string_value
from shared.kernel.errors import NotFound, UsageError
from shared.mongodb.model import IdRange, InsertResult, Namespace, ReplayResult
from shared.mongodb.oplog import BUCKETS, VIEWS, Operation
from shared.mongodb.ports import TargetDatabase
from shared.mongodb.scope import Rename, ReplayScope

# What of the target has a name that the set uses otherwise is shown with this behind its database's name.
_OF_TARGET = "@target"
_SERVER_DATABASES = ("admin", "config", "local")
_FORBIDDEN = set('/\\. "$*<>:|?\0')


@dataclass(frozen=True, slots=True)
class Renames:
    """The new names, by database or by `db.collection`; the longer one wins."""

    pairs: tuple[tuple[str, str], ...] = ()

    def to_target(self, name: str) -> str:
        """Where a namespace of the set goes."""
        for old, new in self.pairs:
            if name == old:
                return new
        db, dot, rest = name.partition(".")
        return next((f"{new}{dot}{rest}" for old, new in self.pairs if old == db), name)

    @property
    def whole_databases(self) -> bool:
        """Whether only whole databases are renamed."""
        return all("." not in old for old, _ in self.pairs)


def parse_renames(old: Sequence[str], new: Sequence[str], names: Collection[str]) -> Renames:
    """The pairs of `--from` and `--to` for a set that holds `names`. Raises UsageError."""
    if len(old) != len(new):
        raise UsageError("--from and --to belong together", value=f"{len(old)} and {len(new)} given")
    databases = {name.partition(".")[0] for name in names}
    for source, target in zip(old, new, strict=True):
        if source not in databases | set(names):
            raise UsageError("--from names nothing in this backup", value=source)
        _check_new_name(source, target)
    renames = Renames(tuple(zip(old, new, strict=True)))
    targets = [renames.to_target(name) for name in names]
    if twice := sorted({name for name in targets if targets.count(name) > 1}):
        raise UsageError("two namespaces would get one name", value=twice[0])
    return renames


def _check_new_name(source: str, target: str) -> None:
    if ("." in source) != ("." in target):
        hint = "Rename a database to a database, or db.collection to db.collection."
        raise UsageError("--from and --to are of different kinds", value=f"{source}, {target}", hint=hint)
    db, _, collection = target.partition(".")
    # The server's own limits: https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    if not db or len(db) > 63 or _FORBIDDEN & set(db) or db in _SERVER_DATABASES:
        raise UsageError("--to is no name for a database", value=db)
    if source.partition(".")[0] in _SERVER_DATABASES:
        raise UsageError("the server's own databases cannot be renamed", value=source)
    if source.endswith((".files", ".chunks")) and "." in source:
        hint = "Rename the whole database: files and their chunks belong together."
        raise UsageError("a GridFS collection cannot be renamed alone", value=source, hint=hint)
    if "." in target and (not collection or collection.startswith("system.") or "$" in collection):
        raise UsageError("--to is no name for a collection", value=target)


def rename_operation(operation: Operation, renames: Renames) -> Operation:
    """The operation on the namespace's new name. Raises Corrupt."""
    if operation.command == "dropDatabase":
        return replace(operation, db=renames.to_target(operation.db))
    if operation.command == "renameCollection":
        return _rename_both(operation, renames)
    # A view is a document of `system.views`, with the view's whole name as its `_id`.
    if operation.collection == VIEWS and operation.op != "c":
        db = renames.to_target(operation.db)
        return replace(
            operation, db=db, o=_rename_id(operation.o, renames), o2=_rename_id(operation.o2, renames)
        )
    db, _, collection = renames.to_target(operation.subject).partition(".")
    # A time series is written under the name of its buckets, with a prefix that has to stay.
    if operation.collection.startswith(BUCKETS):
        collection = BUCKETS + collection
    o = _rename_first(operation.o, collection) if operation.op == "c" else operation.o
    return replace(operation, db=db, collection=collection, o=o)


def _rename_both(operation: Operation, renames: Renames) -> Operation:
    """A rename with the new names of both collections."""
    names = {b"renameCollection", b"to"}
    o = join_elements(
        _text(e.name, renames.to_target(string_value(e))) if e.name in names else e
        for e in split_elements(operation.o)
    )
    db, _, collection = renames.to_target(operation.subject).partition(".")
    return replace(operation, db=db, collection=collection, o=o)


def _rename_id(document: bytes, renames: Renames) -> bytes:
    """A view's document with the view's new name as its `_id`."""
    if not document:
        return document
    name = renames.to_target(string_value(find_element(document, b"_id")))
    return join_elements(
        _text(b"_id", name) if element.name == b"_id" else element for element in split_elements(document)
    )


def _rename_first(command: bytes, collection: str) -> bytes:
    first, *rest = split_elements(command)
    return join_elements([_text(first.name, collection), *rest])


def _text(name: bytes, value: str) -> Element:
    encoded = value.encode()
    return Element(STRING, name, (len(encoded) + 1).to_bytes(4, "little") + encoded + b"\0")


class RenamingTarget:
    """`TargetDatabase` whose namespaces go by the set's names."""

    def __init__(
        self, target: TargetDatabase, renames: Renames, names: Collection[str], *, beside: bool
    ) -> None:
        """`names` are those to be restored. `beside` means that none of them keeps its name."""
        self._target, self._renames, self._beside = target, renames, beside
        self._sources = {renames.to_target(name): name for name in names}
        self._databases = {new: old for old, new in renames.pairs if "." not in old}
        self._used = {name.partition(".")[0] for name in names}

    def close(self) -> None:
        """Close the connections."""
        self._target.close()

    def read_server_version(self) -> str:
        """See the port."""
        return self._target.read_server_version()

    def list_hosts(self) -> tuple[str, ...]:
        """See the port."""
        return self._target.list_hosts()

    def list_namespaces(self) -> list[Namespace]:
        """By the set's names; what has one of those without being it is marked.

        A set can be restored beside the very database that it is of: then the uuids of what is there, by
        which a restore into the source is refused, do not matter.
        """
        return [self._to_source(namespace) for namespace in self._target.list_namespaces()]

    def _to_source(self, namespace: Namespace) -> Namespace:
        db, _, collection = self._sources.get(namespace.name, "").partition(".")
        if db:
            return replace(namespace, db=db, collection=collection)
        if self._beside:
            namespace = replace(namespace, uuid="")
        if namespace.db in self._databases:  # created by the replay, or the target's own
            return replace(namespace, db=self._databases[namespace.db])
        # Marked, not left out: the check for collections that are there already must not mistake it for ours.
        if namespace.db in self._used and self._renames.to_target(namespace.name) != namespace.name:
            return replace(namespace, db=namespace.db + _OF_TARGET)
        return namespace

    def _to_target(self, namespace: Namespace) -> Namespace:
        db, _, collection = self._renames.to_target(namespace.name).partition(".")
        return replace(namespace, db=db, collection=collection)

    def _names(self, db: str, collection: str) -> tuple[str, str]:
        new, _, name = self._renames.to_target(f"{db}.{collection}").partition(".")
        return new, name

    def create_collection(self, namespace: Namespace) -> str:
        """See the port."""
        return self._target.create_collection(self._to_target(namespace))

    def drop_collection(self, namespace: Namespace) -> None:
        """See the port."""
        self._target.drop_collection(self._to_target(namespace))

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """See the port."""
        return self._target.insert_documents(*self._names(db, collection), documents)

    def insert_buckets(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """See the port."""
        return self._target.insert_buckets(*self._names(db, collection), documents)

    def create_indexes(self, db: str, collection: str, indexes: list[Mapping[str, object]]) -> list[str]:
        """See the port."""
        return self._target.create_indexes(*self._names(db, collection), indexes)

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:  # noqa: ARG002
        """Raises NotFound: users and roles speak of databases by their old names."""
        raise NotFound(f"{kind} are not restored together with new names")

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        """See the port."""
        return self._target.read_batches(self._to_target(namespace), within)

    def replay_oplog(
        self,
        entries: Iterator[bytes],
        *,
        scope: ReplayScope | None = None,
        rename: Rename | None = None,  # noqa: ARG002 - the names are known here
    ) -> ReplayResult:
        """See the port."""
        if scope is not None and not self._renames.whole_databases:
            # A database of which a part went elsewhere is dropped collection by collection.
            scope = replace(scope, excluded=scope.excluded | {f"{db}.\0" for db in self._used})
        return self._target.replay_oplog(
            entries, scope=scope, rename=lambda operation: rename_operation(operation, self._renames)
        )

    def find_gridfs_gaps(self, db: str, bucket: str) -> list[str]:
        """See the port."""
        return self._target.find_gridfs_gaps(self._renames.to_target(f"{db}.").rstrip("."), bucket)

    def find_values(self, db: str, collection: str, wanted: str, field: str, ids: Sequence[str]) -> list[str]:
        """See the port."""
        return self._target.find_values(*self._names(db, collection), wanted, field, ids)

    def delete_where(self, db: str, collection: str, field: str, ids: Sequence[str]) -> int:
        """See the port."""
        return self._target.delete_where(*self._names(db, collection), field, ids)

    def unset_where(self, db: str, collection: str, field: str, ids: Sequence[str], name: str) -> int:
        """See the port."""
        return self._target.unset_where(*self._names(db, collection), field, ids, name)
