"""The drill's claim on its scratch server: a marker that says which databases are the drill's to drop.

The server was empty when the marker was written, and the marker is dropped last. So whatever the databases
that it names hold is left by the drill that wrote it, even if that was killed, and nobody else's data is ever
dropped: without a marker, a server that is not empty is refused.
"""

from __future__ import annotations

import logging

import bson

from shared.formats.documents import split_documents
from shared.kernel.errors import Corrupt, Unavailable
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.ports import ScratchServer
from shared.restore.drill.decide import MARKER, check_empty
from shared.restore.model import AUTH_NAMESPACES

log = logging.getLogger(__name__)

# Databases that a server needs itself: of these only what the drill created is dropped.
_SERVER_DATABASES = ("admin", "config", "local")


class ScratchClaim:
    """Claims a scratch server, and gives it back empty."""

    def __init__(self, server: ScratchServer, marker: Namespace = MARKER) -> None:
        self._server, self._marker = server, marker

    def take(self, run: str, databases: tuple[str, ...]) -> None:
        """Write the marker. Raises Refused if the server is not empty."""
        check_empty(self._server.list_namespaces(), self._server.list_hosts())
        # Before anything is restored: what a killed run leaves without a marker would look like somebody's.
        self._server.create_collection(self._marker)
        marker = bson.encode({"_id": run, "databases": list(databases)})
        answer = self._server.insert_documents(self._marker.db, self._marker.collection, [marker])
        if answer.inserted != 1:  # without it nobody would know what is to be dropped
            raise Unavailable("the MongoDB took no marker", value="; ".join(answer.failures) or None)

    def clear(self) -> list[str]:
        """Drop what a marker names, and then the marker; the databases that were dropped.

        Does nothing without a marker. May be killed at any step and run again. Raises Unavailable.
        """
        if not any(n.name == self._marker.name for n in self._server.list_namespaces()):
            return []
        databases = self._read_databases()
        for db in databases:
            if db in _SERVER_DATABASES:
                self._drop_collections(db)
            else:
                self._server.drop_database(db)
        self.release()
        log.info("drill.scratch_cleared", extra={"databases": databases})
        return databases

    def release(self) -> None:
        """Drop the marker only: what was restored stays, and is nobody's to drop any more."""
        self._server.drop_database(self._marker.db)

    def _drop_collections(self, db: str) -> None:
        """The server was empty but for users, so that all others are the drill's."""
        for namespace in self._server.list_namespaces():
            if namespace.db == db and namespace.name not in AUTH_NAMESPACES:
                self._server.drop_collection(namespace)

    def _read_databases(self) -> list[str]:
        """What the marker names; nothing if the drill was killed before it could write that down."""
        databases: set[str] = set()
        for batch in self._server.read_batches(self._marker, IdRange()):
            for document in split_documents(batch.documents):
                names = bson.decode(document).get("databases")
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise Corrupt(f"{self._marker.name} is malformed", hint="Drop it by hand.")
                databases.update(names)
        return sorted(databases)
