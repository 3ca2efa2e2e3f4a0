"""The servers of a migration beside their data, and the chat that is their client, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import bson

from local.fakes.documents import id_key
from local.fakes.mongodb import MemoryDatabase
from shared.kernel.errors import GroundcrewError, NotFound, Refused
from shared.migrate.model import (
    MARKER_COLLECTION,
    MARKER_DATABASE,
    ChatClient,
    MarkerState,
    OplogFacts,
    ServerFacts,
    UploadFacts,
)

_NAME = f"{MARKER_DATABASE}.{MARKER_COLLECTION}"


class MovableDatabase(MemoryDatabase):
    """A `MemoryDatabase` that can be made read-only, and whose indexes change in place."""

    def __init__(self, host: str = "memory:27017", version: str = "8.0.4") -> None:
        super().__init__(host, version)
        self.read_only = False

    def write(self, db: str, collection: str, document: dict[str, object]) -> None:
        """Raises Refused while it is read-only, as its siblings do."""
        self._check_writable()
        super().write(db, collection, document)

    def update(self, db: str, collection: str, identity: object, change: dict[str, object]) -> None:
        """See `write`."""
        self._check_writable()
        super().update(db, collection, identity, change)

    def delete(self, db: str, collection: str, identity: object) -> None:
        """See `write`."""
        self._check_writable()
        super().delete(db, collection, identity)

    def _check_writable(self) -> None:
        if self.read_only:
            raise Refused("User writes blocked")

    def change_indexes(
        self, name: str, change: Callable[[Mapping[str, object]], Mapping[str, object] | None]
    ) -> None:
        """Put for each index of a collection what `change` makes of it; None drops it."""
        if name in self._catalogue:
            changed = [change(one) for one in self._catalogue[name].indexes]
            self._catalogue[name] = replace(self._catalogue[name], indexes=tuple(filter(None, changed)))


@dataclass
class MemoryControl:
    """`ServerControl` of a `MovableDatabase`; the fields are what a test sets."""

    database: MovableDatabase
    replica_set: str = "rs0"
    missing_rights: tuple[str, ...] | None = ()
    free_bytes: int | None = 1 << 40
    oplog_fill: float | None = 0.1
    oplog_length: timedelta = timedelta(hours=1)
    uploads: UploadFacts = field(default_factory=UploadFacts)
    clients: list[ChatClient] = field(default_factory=list)
    connected: Callable[[], list[ChatClient]] = list  # those that come and go by themselves
    sees_clients: bool = True
    has_block: bool = True

    def close(self) -> None:
        """Nothing to let go of."""

    def read_facts(self, _side: str) -> ServerFacts:
        """As the database and the fields say."""
        return ServerFacts(
            self.database.list_hosts(),
            self.database.read_server_version(),
            self.database.read_feature_version(),
            self.replica_set,
            self.missing_rights,
            self.free_bytes,
        )

    def read_oplog_facts(self) -> OplogFacts:
        """As set."""
        return OplogFacts(self.oplog_length, self.oplog_fill)

    def read_uploads(self, _databases: Sequence[str]) -> UploadFacts:
        """As set."""
        return self.uploads

    def list_clients(self) -> list[ChatClient] | None:
        """As set."""
        return [*self.clients, *self.connected()] if self.sees_clients else None

    def can_block_writes(self) -> bool | None:
        """As set."""
        return self.has_block

    def block_writes(self) -> None:
        """From now on the database refuses what others write."""
        if not self.has_block:
            raise NotFound("making MongoDB read-only: the server has no such command")
        self.database.read_only = True

    def allow_writes(self) -> None:
        """It takes them again."""
        self.database.read_only = False

    def is_blocked(self) -> bool | None:
        """Whether it does."""
        return self.database.read_only if self.has_block else None

    def write_marker(self, marker: MarkerState) -> None:
        """With its entry in the oplog."""
        fields = {"migration": marker.migration, "number": marker.number, "databases": [*marker.databases]}
        self.database.write(MARKER_DATABASE, MARKER_COLLECTION, {"_id": "marker", **fields})

    def read_marker(self) -> MarkerState:
        """What lies there."""
        raw = next(iter(self.database.contents().get(_NAME, ())), None)
        row = bson.decode(raw) if raw else {}
        databases = tuple(row.get("databases", ()))
        return MarkerState(str(row.get("migration", "")), int(row.get("number", 0)), databases)

    def drop_marker(self) -> None:
        """If it is there."""
        if _NAME in self.database.contents():
            self.database.drop(MARKER_DATABASE, MARKER_COLLECTION)

    def find_documents(self, db: str, collection: str, ids: Sequence[bytes]) -> list[bytes]:
        """By their raw `_id`s."""
        documents = self.database.contents().get(f"{db}.{collection}", set())
        return [document for document in documents if id_key(document) in set(ids)]

    def drop_index(self, db: str, collection: str, name: str) -> None:
        """If it is there."""
        self.database.change_indexes(f"{db}.{collection}", lambda one: None if one["name"] == name else one)

    def set_expiry(self, db: str, collection: str, name: str, seconds: int) -> None:
        """Of that index."""
        self.database.change_indexes(
            f"{db}.{collection}",
            lambda one: {**one, "expireAfterSeconds": seconds} if one["name"] == name else one,
        )


class MemoryChat:
    """`ChatWorkloads`: Deployments whose pods follow at once, and are clients of a server while they run."""

    def __init__(self, replicas: Mapping[str, int] | None = None) -> None:
        self.replicas = dict(replicas or {"rocketchat": 2})
        self.stuck: list[str] = []  # pods that do not go

    def list_replicas(self) -> Mapping[str, int]:
        """See `ChatWorkloads.list_replicas`."""
        return dict(self.replicas)

    def scale(self, name: str, replicas: int) -> None:
        """See `ChatWorkloads.scale`."""
        self.replicas[name] = replicas

    def list_running_pods(self) -> list[str]:
        """See `ChatWorkloads.list_running_pods`."""
        return self.list_pods() + self.stuck

    def list_pods(self) -> list[str]:
        """Those that run: the chat is up if there are any."""
        return [f"{name}-{n}" for name, count in sorted(self.replicas.items()) for n in range(count)]


class MemoryConnection:
    """`ChatConnection`: which server the chat's Secret names."""

    def __init__(self) -> None:
        self.address = "source"
        self.fault: GroundcrewError | None = None

    def check(self) -> None:
        """See `ChatConnection.check`; raises the fault."""
        if self.fault is not None:
            raise self.fault

    def switch(self) -> None:
        """See `ChatConnection.switch`."""
        self.address = "target"

    def switch_back(self) -> None:
        """See `ChatConnection.switch_back`."""
        self.address = "source"
