"""Commands about collections of the MongoDB in memory, each with its entry in the oplog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import bson

from shared.mongodb.model import Namespace

_ID_INDEX = {"v": 2, "key": {"_id": 1}, "name": "_id_"}


class MemoryCommands:
    """What `MemoryDatabase` does at a test's word."""

    _catalogue: dict[str, Namespace]
    _documents: dict[str, dict[bytes, bytes]]

    def _log_entry(self, entry: dict[str, object]) -> None:
        raise NotImplementedError  # of the oplog

    def create_collection(self, namespace: Namespace) -> str:
        """See `TargetDatabase.create_collection`."""
        raise NotImplementedError

    def create_logged(self, db: str, collection: str, options: Mapping[str, object]) -> None:
        """Create a collection, with its entry in the oplog as mongod writes it."""
        self.create_collection(Namespace(db, collection))
        body = {"create": collection, **options, "idIndex": _ID_INDEX}
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": body})

    def rename(self, db: str, collection: str, to: str, *, drop_target: bool = False) -> None:
        """Rename a collection, which spoils any dump that goes on.

        With `drop_target` the entry names the collection that makes room by its uuid, as mongod does.
        """
        old, new = f"{db}.{collection}", f"{db}.{to}"
        body: dict[str, object] = {"renameCollection": old, "to": new}
        if drop_target and new in self._catalogue:
            body["dropTarget"] = bson.Binary(bytes.fromhex(self._catalogue[new].uuid), 4)
        self._catalogue[new] = replace(self._catalogue.pop(old), collection=to)
        self._documents[new] = self._documents.pop(old)
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": body})

    def add_index(self, db: str, collection: str, field: str) -> None:
        """Build an ascending index on a field, unless it is there."""
        name, index = f"{db}.{collection}", {"v": 2, "key": {field: 1}, "name": f"{field}_1"}
        if index["name"] in self.index_names()[name]:
            return
        entry = self._catalogue[name]
        self._catalogue[name] = replace(entry, indexes=(*entry.indexes, index))
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": {"createIndexes": collection, **index}})

    def drop_index(self, db: str, collection: str, index: str) -> None:
        """Drop an index by its name."""
        entry = self._catalogue[f"{db}.{collection}"]
        left = tuple(one for one in entry.indexes if one["name"] != index)
        self._catalogue[f"{db}.{collection}"] = replace(entry, indexes=left)
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": {"dropIndexes": collection, "index": index}})

    def index_names(self) -> dict[str, set[str]]:
        """The names of all indexes by namespace, to be compared."""
        return {
            name: {str(index["name"]) for index in entry.indexes} for name, entry in self._catalogue.items()
        }
