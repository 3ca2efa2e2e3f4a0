"""Reading a server's catalogue and collections: what a source and a target have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import errors
from pymongo.read_concern import ReadConcern

from shared.adapters.mongodb.batches import read_batches_of
from shared.adapters.mongodb.client import EXACT, NAMESPACE_NOT_FOUND, RAW, Client, translate_errors
from shared.formats.documents import TalliedBatch
from shared.kernel.buffers import SpareMemory
from shared.kernel.errors import Inconsistent, UsageError
from shared.mongodb.model import IdRange, Namespace

_AUTH = ("system.users", "system.roles", "system.version")
# Of `config`, mongodump takes what describes a sharded cluster; a replica set has none of it.
_CONFIG = ("chunks", "collections", "databases", "settings", "shards", "tags", "version")
_ORDER = {name: place for place, name in enumerate(_AUTH)}
_WHOLE_COLLECTION = IdRange()
_FEATURES = "featureCompatibilityVersion"
RAW_DATA = {"rawData": True}  # from MongoDB 8.3 on (mongo-tools, common/db)
_NO_OPTIONS: Mapping[str, Any] = {}


class Reader:
    """The catalogue, and collections as raw batches."""

    concern = ReadConcern()  # the server's own

    def __init__(self, client: Client, databases: Sequence[str] = ()) -> None:
        self._client = client
        self._databases = frozenset(databases)
        self._spare = SpareMemory()  # most collections are small, and large memory is slow to get
        self._viewless: bool | None = None  # until the server's version was asked for

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read_server_version(self) -> str:
        """`X.Y.Z`, without what a build appends to it."""
        with translate_errors("asking the server's version"):
            info = self._client.admin.command("buildInfo")
        return ".".join(str(number) for number in info["versionArray"][:3])

    def read_feature_version(self) -> str:
        """The feature compatibility version, `8.0`; empty where the server does not tell it, or not us.

        The right `getParameter` on the cluster is in the role clusterMonitor, not in backup.
        https://www.mongodb.com/docs/manual/reference/command/setFeatureCompatibilityVersion/
        """
        with translate_errors("asking the feature compatibility version"):
            try:
                answer = self._client.admin.command({"getParameter": 1, _FEATURES: 1})
            except errors.OperationFailure:  # no right to ask, or no such parameter
                return ""
        features = answer.get(_FEATURES)
        return str(features.get("version", "")) if isinstance(features, Mapping) else ""

    def keeps_viewless_series(self) -> bool:
        """Whether time series are kept under their own name, without `system.buckets`: from 8.3 on."""
        if self._viewless is None:
            release = self.read_server_version().split(".")[:2]
            self._viewless = tuple(map(int, release)) >= (8, 3)
        return self._viewless

    def list_hosts(self) -> tuple[str, ...]:
        """The replica set's members, or the one address that was connected to."""
        with translate_errors("asking who the server is"):
            members = self._client.admin.command("hello").get("hosts")
            if not members:
                members = [f"{host}:{port}" for host, port in self._client.nodes]
        return tuple(sorted(members))

    def list_namespaces(self, named: str = "") -> list[Namespace]:
        """What mongodump takes: `admin.system.*` first, then by name; only collections `named` so, if any."""
        with translate_errors("reading the catalogue"):
            # `admin` is not listed to a user without rights on it, and holds the users that a restore needs.
            names = set(self._client.list_database_names()) | {"admin"}
            selected = sorted(n for n in names if n != "local" and self._selects_database(n))
            listed = [n for db in selected for n in self._list_database(db, named)]
        return sorted(
            listed, key=lambda n: (n.db != "admin", n.db, _ORDER.get(n.collection, 9), n.collection)
        )

    def _selects_database(self, db: str) -> bool:
        return not self._databases or db == "admin" or db in self._databases

    def _list_database(self, db: str, named: str) -> Iterator[Namespace]:
        database = self._client.get_database(db, codec_options=EXACT)
        wanted = {"name": named} if named else {}
        listings = {info["name"]: info for info in database.list_collections(filter=wanted)}
        for name in _AUTH if db == "admin" and not named else ():
            # Not every server lists these or counts them, but all let them be read.
            if name not in listings and database[name].find_one({}, {"_id": 1}) is not None:
                yield Namespace(db, name)
        for name, info in listings.items():
            if _is_dumped(db, name) and (namespace := self._describe_collection(db, info)) is not None:
                yield namespace

    def _describe_collection(self, db: str, info: Mapping[str, Any]) -> Namespace | None:
        """None for what was dropped since it was listed: there is nothing left to dump."""
        name, kind = info["name"], info.get("type") or "collection"
        options = info.get("options") or {}
        if kind == "view":
            return Namespace(db, name, kind, options=options)
        database = self._client.get_database(db, codec_options=EXACT)
        try:
            # Counts and sizes of the server's own bookkeeping: exact ones would cost reading every collection
            # twice.
            stats = database.command("collStats", name)
        except errors.OperationFailure as error:
            if error.code != NAMESPACE_NOT_FOUND:
                raise
            return None
        indexes = tuple(
            {key: value for key, value in index.items() if key != "ns"}
            for index in database[name].list_indexes()
        )
        counts = (int(stats.get("count", 0)), int(stats.get("size", 0)))
        return Namespace(db, name, kind, collection_uuid(info), options, indexes, *counts)

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        """See the port. A whole collection comes in its natural order, a range in that of `_id`."""
        self._check_uuid(namespace)
        name = self._stored_name(namespace)
        with translate_errors(f"reading {namespace.name}"):
            # Where buckets lie under the collection's own name, `rawData` asks for them, not measurements.
            viewless = namespace.kind == "timeseries" and name == namespace.collection
            yield from self._read_raw(namespace.db, name, {}, within, RAW_DATA if viewless else {})
        self._check_uuid(namespace)

    def _read_raw(
        self,
        db: str,
        name: str,
        query: Mapping[str, Any],
        within: IdRange = _WHOLE_COLLECTION,
        options: Mapping[str, Any] = _NO_OPTIONS,
    ) -> Iterator[TalliedBatch]:
        """Batches of what the query selects, a range in the order of `_id`."""
        find: dict[str, Any] = {"find": name, "filter": query, "noCursorTimeout": True, **options}
        if within.lower or within.upper:
            find["hint"] = {"_id": 1}
        if within.lower:
            find["min"] = {"_id": _bound_value(within.lower)}
        if within.upper:
            find["max"] = {"_id": _bound_value(within.upper)}
        if self.concern.level:
            find["readConcern"] = self.concern.document
        return read_batches_of(self._client, db, find, self._spare)

    def _check_uuid(self, namespace: Namespace) -> None:
        """Raises Inconsistent unless the collection is (still) the one with that uuid."""
        if not namespace.uuid:
            return
        listed = self._find_listing(namespace.db, namespace.collection)
        if listed is None or collection_uuid(listed) != namespace.uuid:
            raise Inconsistent(
                f"{namespace.name} was dropped, renamed or made anew while it was read",
                hint="A new backup takes it as it is now.",
            )

    def _stored_name(self, namespace: Namespace) -> str:
        """The collection that holds the documents: of a time series its buckets."""
        if namespace.kind != "timeseries" or self.keeps_viewless_series():
            return namespace.collection
        buckets = f"system.buckets.{namespace.collection}"
        if self._find_listing(namespace.db, buckets) is None:
            raise UsageError(
                f"{namespace.name} is a time-series collection without readable buckets",
                hint="Leave it out by backup.exclude in policy.yaml, and dump it with mongodump.",
            )
        return buckets

    def _find_listing(self, db: str, collection: str) -> Mapping[str, Any] | None:
        """What the catalogue says of the collection or view, if it is there."""
        with translate_errors(f"looking for {db}.{collection}"):
            database = self._client.get_database(db, codec_options=EXACT)
            return next(database.list_collections(filter={"name": collection}), None)


def _is_dumped(db: str, name: str) -> bool:
    """mongodump's rules (mongo-tools, mongodump/prepare.go)."""
    if "$" in name or name.startswith("__mdb_internal") or (db == "admin" and name == "system.keys"):
        return False
    if db == "config":
        return name in _CONFIG
    if name.startswith("system."):
        return name == "system.js" or (db == "admin" and name in _AUTH)
    return True


def collection_uuid(info: Mapping[str, Any]) -> str:
    """32 hex digits, empty for what has none: views and the faces of time-series collections."""
    uuid = info.get("info", {}).get("uuid")
    return bytes(uuid).hex() if uuid else ""


def _bound_value(bound: bytes) -> Any:
    return RawBSONDocument(bound, RAW)["_id"]
