"""MongoDB as a source of dumps and as a target of restores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from shared.formats.documents import TalliedBatch
from shared.mongodb.model import IdRange, InsertResult, Namespace, OplogEnd, ReplayResult, Timestamp
from shared.mongodb.scope import Rename, ReplayScope


class SourceDatabase(Protocol):
    """MongoDB as a backup reads it: raw BSON, never decoded documents."""

    def close(self) -> None:
        """Close the connections."""
        ...

    def read_server_version(self) -> str:
        """`X.Y.Z`."""
        ...

    def read_feature_version(self) -> str:
        """The feature compatibility version, `X.Y`; empty if the server does not tell it, or not to us."""
        ...

    def list_hosts(self) -> tuple[str, ...]:
        """The members' `host:port` in sorted order, as the server names itself."""
        ...

    def list_namespaces(self, named: str = "") -> list[Namespace]:
        """All that a backup would hold: what mongodump takes, sorted, `admin.system.*` first.

        If a collection is `named`, those of that name in any database, which costs a few commands only.
        """
        ...

    def sample_split_points(self, namespace: Namespace, pieces: int) -> list[bytes]:
        """At most `pieces - 1` BSON documents `{"_id": value}`, ascending, that cut it about evenly."""
        ...

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        """Concatenated raw documents, at most about 16 MiB at a time.

        Raises `Inconsistent` if the collection is not (any longer) the one with that uuid, `Unavailable`.
        """
        ...

    def read_oplog_window(self) -> tuple[Timestamp, Timestamp]:
        """The oldest and the newest entry there are. Raises `UsageError` if the server has no oplog."""
        ...

    def read_oplog_end(self) -> OplogEnd:
        """How far the oplog is, in one cheap question."""
        ...

    def find_oldest_open_transaction(self) -> Timestamp | None:
        """Where the oldest prepared or running transaction began, for the start of a dump."""
        ...

    def read_oplog(self, start: Timestamp, end: Timestamp) -> Iterator[bytes]:
        """Concatenated raw entries with start <= ts <= end (both inclusive), in order."""
        ...


class TargetDatabase(Protocol):
    """MongoDB as a restore writes it and the verification reads it back."""

    def close(self) -> None:
        """Close the connections."""
        ...

    def read_server_version(self) -> str:
        """`X.Y.Z`."""
        ...

    def list_hosts(self) -> tuple[str, ...]:
        """The members' `host:port` in sorted order."""
        ...

    def list_namespaces(self) -> list[Namespace]:
        """All that a backup of this server would hold."""
        ...

    def create_collection(self, namespace: Namespace) -> str:
        """Create the collection or view with its options, without indexes; returns its uuid. `AlreadyExists`.

        The uuid is empty for a view.
        """
        ...

    def drop_collection(self, namespace: Namespace) -> None:
        """Drop the collection of that name and uuid. `Inconsistent` if it is another one by now."""
        ...

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """Insert raw documents, in their order, without validation; each refusal is listed."""
        ...

    def insert_buckets(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        """The same for the buckets of a time-series collection, as a dump holds them."""
        ...

    def create_indexes(self, db: str, collection: str, indexes: list[Mapping[str, object]]) -> list[str]:
        """Build the indexes; returns a message for each that the server refused."""
        ...

    def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:
        """Put `admin.system.<kind>` (users, roles, version) in place; returns a message for each refusal.

        Raises `NotFound` if the server has no way to do it.
        """
        ...

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        """As for the source."""
        ...

    def replay_oplog(
        self,
        entries: Iterator[bytes],
        *,
        scope: ReplayScope | None = None,
        rename: Rename | None = None,
    ) -> ReplayResult:
        """Apply raw oplog entries in order, those within `scope` (None: all), as `rename` has them.

        Indexes are left alone and their changes returned, to be built afterwards. Applying the same
        entries again changes nothing. Raises `Corrupt` naming the entry that failed.
        """
        ...

    def find_gridfs_gaps(self, db: str, bucket: str) -> list[str]:
        """A message for each file of the bucket that lacks chunks or bytes."""
        ...

    def find_values(self, db: str, collection: str, wanted: str, field: str, ids: Sequence[str]) -> list[str]:
        """The texts that `wanted` has in the documents whose `field` is one of `ids`, sorted, each once."""
        ...

    def delete_where(self, db: str, collection: str, field: str, ids: Sequence[str]) -> int:
        """Delete the documents whose `field` is one of `ids`; how many. An absent collection has none."""
        ...

    def unset_where(self, db: str, collection: str, field: str, ids: Sequence[str], name: str) -> int:
        """Remove the field `name` from the documents whose `field` is one of `ids`; from how many."""
        ...


class ScratchServer(TargetDatabase, Protocol):
    """A target of drills, on which databases are dropped again and collections are locked for a check."""

    def drop_database(self, db: str) -> None:
        """Drop a database with all in it. One that does not exist is fine."""
        ...

    def validate_collection(self, namespace: Namespace) -> list[str]:
        """What the server's own check of a collection and its indexes found wrong; it locks the collection.

        Raises `NotFound` if the server has no such command.
        """
        ...
