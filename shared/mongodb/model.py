"""How we speak of MongoDB's contents: namespaces, positions in the oplog, ranges of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Namespace:
    """A collection or view of MongoDB, as the catalogue describes it."""

    db: str
    collection: str
    kind: str = "collection"  # or "view", "timeseries"
    uuid: str = ""  # 32 hex digits; empty for views
    options: Mapping[str, object] = field(default_factory=dict)
    indexes: tuple[Mapping[str, object], ...] = ()
    documents: int = 0  # an estimate from the catalogue's statistics
    data_bytes: int = 0  # the same, uncompressed

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A BSON timestamp: seconds since 1970 and an ordinal within the second; orders like the oplog."""

    seconds: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.seconds}.{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """The inverse of `str`. Raises ValueError."""
        seconds, _, ordinal = text.partition(".")
        return cls(int(seconds), int(ordinal))


@dataclass(frozen=True, slots=True)
class OplogEnd:
    """How far the oplog is: what a majority of the members has, and what the primary has written."""

    majority: Timestamp  # nothing up to here can be rolled back
    written: Timestamp


@dataclass(frozen=True, slots=True)
class IdRange:
    """Documents whose `_id` is at least `lower` and below `upper`, in the order of the `_id` index.

    Bounds are BSON documents `{"_id": value}`; None is open. The index's order, not a query's, since a
    query's `$gte` compares only values of one type.
    """

    lower: bytes | None = None
    upper: bytes | None = None


@dataclass(frozen=True, slots=True)
class InsertResult:
    """What the server answered to one batch.

    `duplicates` are the positions of documents that it refused since their `_id` exists already, `failures`
    all other refusals, without the documents' content.
    """

    inserted: int
    failures: tuple[str, ...] = ()
    duplicates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexChange:
    """What the oplog did to the indexes of a collection; indexes are built after the replay.

    `created` are whole specifications, `dropped` names (`*` for all but `_id_`), `changed` options by name,
    `changed_by_key` by the index's fields in their order.
    `collection_dropped` means that the collection itself was dropped.
    """

    namespace: str
    created: tuple[Mapping[str, object], ...] = ()
    dropped: tuple[str, ...] = ()
    changed: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    changed_by_key: tuple[tuple[tuple[tuple[str, object], ...], Mapping[str, object]], ...] = ()
    collection_dropped: bool = False
    renamed_to: str = ""  # the collection's new namespace, which replaces one of that name


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did.

    `applied` and `skipped` count operations. `outside` counts, by namespace, those that were skipped
    because the namespace is not in the replay's scope.
    """

    applied: int
    skipped: int
    index_changes: tuple[IndexChange, ...] = ()
    outside: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeatureState:
    """A server and what its data files are written for.

    - `server`: its version, `8.0.13`.
    - `features`: the feature compatibility version, `7.0`; empty if the server does not tell it.
    - `target`: the version that an interrupted change was on its way to; empty if none was.
    - `members`: how many members the replica set has; 1 for a single server.
    """

    server: str
    features: str
    target: str = ""
    members: int = 1
