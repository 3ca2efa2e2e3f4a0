"""`ServerControl` over pymongo: what a migration asks of a server beside its data.

Rights: at the source the roles backup, restore and clusterMonitor, at the target restore,
readWriteAnyDatabase and clusterMonitor. https://www.mongodb.com/docs/manual/reference/built-in-roles/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pymongo
from pymongo import errors
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.adapters.mongodb.client import (
    COMMAND_NOT_FOUND,
    EXACT,
    INDEX_NOT_FOUND,
    NAMESPACE_NOT_FOUND,
    RAW,
    UNAUTHORIZED,
    Client,
    describe_error,
    translate_errors,
)
from shared.adapters.mongodb.inserting import id_filter
from shared.adapters.mongodb.reading import Reader
from shared.adapters.mongodb.rights import find_missing_rights
from shared.kernel.errors import Refused
from shared.migrate.model import (
    MARKER_COLLECTION,
    MARKER_DATABASE,
    ChatClient,
    MarkerState,
    OplogFacts,
    ServerFacts,
    UploadFacts,
)

_MAJORITY = WriteConcern("majority", wtimeout=60_000)
_MARKER_ID = "marker"
_ILLEGAL_OPERATION = 20
_BLOCKS_FROM = (6, 0)
# `repl.userWriteBlockMode` of serverStatus: 0 unknown, 1 disabled, 2 enabled.
_BLOCKED, _OPEN = 2, 1
# The server's own connections, between its members and to itself, and the agents that manage it.
_INTERNAL_DRIVERS = ("NetworkInterfaceTL", "MongoDB Internal Client")
_OWN_APP = "groundcrew"
_UPLOADS = ("rocketchat_uploads", "rocketchat_avatars", "rocketchat_user_data_files")
_STORAGE_TYPE = "FileUpload_Storage_Type"


class MongoMoving:
    """The server that the client leads to: of a replica set, its primary."""

    def __init__(self, client: Client) -> None:
        self._client, self._reader = client, Reader(client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read_facts(self, side: str) -> ServerFacts:
        """See `ServerControl.read_facts`."""
        version = self._reader.read_server_version()
        with translate_errors("asking who the server is"):
            name = str(self._client.admin.command("hello").get("setName") or "")
        # Only the source is made read-only, and only newer servers can be.
        blocks = side == "source" and _parse_series(version) >= _BLOCKS_FROM
        missing = self._find_missing_rights(side, blocks=blocks)
        features = self._reader.read_feature_version()
        return ServerFacts(
            self._reader.list_hosts(), version, features, name, missing, self._read_free_bytes()
        )

    def _find_missing_rights(self, side: str, *, blocks: bool) -> tuple[str, ...] | None:
        with translate_errors("asking what our user may"):
            try:
                answer = self._client.admin.command({"connectionStatus": 1, "showPrivileges": True})
            except errors.OperationFailure:
                return None
        return find_missing_rights(answer.get("authInfo") or {}, side, blocks_writes=blocks)

    def _read_free_bytes(self) -> int | None:
        with translate_errors("asking for the server's free disk"):
            try:
                stats = self._client.admin.command("dbStats")
            except errors.OperationFailure:
                return None
        total, used = stats.get("fsTotalSize"), stats.get("fsUsedSize")
        return int(total - used) if total and used is not None else None

    def read_oplog_facts(self) -> OplogFacts:
        """See `ServerControl.read_oplog_facts`."""
        oplog = self._client.local.get_collection("oplog.rs", codec_options=EXACT)
        with translate_errors("reading the oplog"):
            # Both ends by the natural order, which costs nothing: the oplog has no index.
            edges = [next(oplog.find({}, {"ts": 1}).sort("$natural", way).limit(1), None) for way in (1, -1)]
            try:
                stats = self._client.local.command("collStats", "oplog.rs")
            except errors.OperationFailure:
                stats = {}
        if edges[0] is None or edges[1] is None:
            return OplogFacts(timedelta())
        length = timedelta(seconds=edges[1]["ts"].time - edges[0]["ts"].time)
        size, most = stats.get("size"), stats.get("maxSize")
        # How full it is says whether the length may still grow: one that is not full drops nothing yet.
        return OplogFacts(length, size / most if size is not None and most else None)

    def read_uploads(self, databases: Sequence[str]) -> UploadFacts:
        """See `ServerControl.read_uploads`."""
        kind, stores = "", Counter[str]()
        with translate_errors("reading where uploads lie"):
            for name in databases:
                database = self._client[name]
                setting = database["rocketchat_settings"].find_one({"_id": _STORAGE_TYPE}, {"value": 1})
                kind = kind or str((setting or {}).get("value") or "")
                for collection in _UPLOADS:
                    group = {"$group": {"_id": "$store", "n": {"$sum": 1}}}
                    for row in database[collection].aggregate([group]):
                        stores[str(row["_id"] or "")] += int(row["n"])
        return UploadFacts(kind, dict(stores))

    def list_clients(self) -> list[ChatClient] | None:
        """See `ServerControl.list_clients`: `$currentOp` with idle connections.

        Ours is open while we ask: an answer without it does not show everything, and so shows nothing.
        https://www.mongodb.com/docs/manual/reference/operator/aggregation/currentOp/
        """
        with translate_errors("asking for the connections"):
            rows = self._list_operations()
        connected = [row for row in rows if row.get("client") or row.get("client_s")]
        if not any(_app_of(row) == _OWN_APP for row in connected):
            return None
        others = {
            str(row.get("client") or row.get("client_s")): _app_of(row)
            for row in connected
            if _app_of(row) != _OWN_APP and not _is_internal(row)
        }
        return [ChatClient(address, app) for address, app in sorted(others.items())]

    def _list_operations(self) -> list[dict[str, Any]]:
        stage = {"$currentOp": {"allUsers": True, "idleConnections": True}}
        try:
            rows = list(self._client.admin.aggregate([stage]))
            if any(row.get("client") for row in rows):
                return rows
            # Some servers list in the stage only what runs; the older command knows the idle ones, too.
            return list(self._client.admin.command({"currentOp": 1, "$all": True}).get("inprog") or ())
        except errors.OperationFailure as error:
            if error.code in (UNAUTHORIZED, COMMAND_NOT_FOUND):
                return []
            raise

    def can_block_writes(self) -> bool | None:
        """See `ServerControl.can_block_writes`: https://www.mongodb.com/docs/manual/reference/command/setUserWriteBlockMode/."""
        if _parse_series(self._reader.read_server_version()) < _BLOCKS_FROM:
            return False
        return None if self.is_blocked() is None else True

    def block_writes(self) -> None:
        """See `ServerControl.block_writes`. The block outlives the connection, and a restart."""
        self._set_block(blocked=True)

    def allow_writes(self) -> None:
        """See `ServerControl.allow_writes`."""
        self._set_block(blocked=False)

    def _set_block(self, *, blocked: bool) -> None:
        with translate_errors("making MongoDB read-only" if blocked else "making MongoDB writable"):
            try:
                self._client.admin.command({"setUserWriteBlockMode": 1, "global": blocked})
            except errors.OperationFailure as error:
                # Blocked by another program, for a reason of its own: whose block it is, is not ours to say.
                if error.code == _ILLEGAL_OPERATION:
                    hint = "Another program, such as mongosync, made the server read-only."
                    raise Refused(
                        "MongoDB is read-only already", value=describe_error(error), hint=hint
                    ) from error
                if error.code != COMMAND_NOT_FOUND or blocked:
                    raise

    def is_blocked(self) -> bool | None:
        """See `ServerControl.is_blocked`: what serverStatus says of it."""
        with translate_errors("asking whether MongoDB is read-only"):
            try:
                status = self._client.admin.command({"serverStatus": 1, "repl": 1})
            except errors.OperationFailure:
                return None
        # Unknown, or a field that is not there, is None: never taken for open.
        mode = (status.get("repl") or {}).get("userWriteBlockMode")
        return {_BLOCKED: True, _OPEN: False}.get(mode) if isinstance(mode, int) else None

    def write_marker(self, marker: MarkerState) -> None:
        """See `ServerControl.write_marker`."""
        fields = {"migration": marker.migration, "number": marker.number, "databases": [*marker.databases]}
        change = {"$set": fields}
        with translate_errors("writing the marker"):
            # By a majority: a marker that a failover rolls back would have shown what is not so.
            self._markers(_MAJORITY).update_one({"_id": _MARKER_ID}, change, upsert=True)

    def read_marker(self) -> MarkerState:
        """See `ServerControl.read_marker`."""
        with translate_errors("reading the marker"):
            row = self._markers().find_one({"_id": _MARKER_ID}) or {}
        databases = tuple(map(str, row.get("databases") or ()))
        return MarkerState(str(row.get("migration", "")), int(row.get("number", 0)), databases)

    def drop_marker(self) -> None:
        """See `ServerControl.drop_marker`."""
        with translate_errors("removing the marker"):
            self._markers().drop()

    def _markers(self, concern: WriteConcern | None = None) -> pymongo.collection.Collection[dict[str, Any]]:
        return self._client[MARKER_DATABASE].get_collection(MARKER_COLLECTION, write_concern=concern)

    def find_documents(self, db: str, collection: str, ids: Sequence[bytes]) -> list[bytes]:
        """See `ServerControl.find_documents`."""
        # As a majority has them: what only the primary has is not in what is followed, and would differ.
        concern = ReadConcern("majority")
        stored: Any = self._client[db].get_collection(collection, codec_options=RAW, read_concern=concern)
        with translate_errors(f"reading {db}.{collection}"):
            return [bytes(one.raw) for one in stored.find(id_filter(ids))]

    def drop_index(self, db: str, collection: str, name: str) -> None:
        """See `ServerControl.drop_index`."""
        with translate_errors(f"dropping an index of {db}.{collection}"):
            try:
                self._client[db].command({"dropIndexes": collection, "index": name})
            except errors.OperationFailure as error:
                # Gone already is what was wanted: this may be the second try.
                if error.code not in (INDEX_NOT_FOUND, NAMESPACE_NOT_FOUND):
                    raise

    def set_expiry(self, db: str, collection: str, name: str, seconds: int) -> None:
        """See `ServerControl.set_expiry`: https://www.mongodb.com/docs/manual/reference/command/collMod/."""
        index = {"name": name, "expireAfterSeconds": seconds}
        with translate_errors(f"setting the expiry of {db}.{collection}"):
            self._client[db].command({"collMod": collection, "index": index})


def _app_of(row: dict[str, Any]) -> str:
    application = (row.get("clientMetadata") or {}).get("application") or {}
    return str(row.get("appName") or application.get("name") or "")


def _is_internal(row: dict[str, Any]) -> bool:
    driver = str(((row.get("clientMetadata") or {}).get("driver") or {}).get("name") or "")
    return driver.startswith(_INTERNAL_DRIVERS)


def _parse_series(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
