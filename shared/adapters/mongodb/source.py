"""MongoDB as a backup reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp as BsonTimestamp
from pymongo.read_concern import ReadConcern

from shared.adapters.mongodb.client import EXACT, RAW, translate_errors
from shared.adapters.mongodb.reading import Reader
from shared.kernel.errors import UsageError
from shared.mongodb.model import Namespace, OplogEnd, Timestamp

_SAMPLES_PER_PIECE = 20


class MongoSource(Reader):
    """`SourceDatabase` over a replica set.

    Documents and oplog are read as a majority of the members has them: anything else may be rolled back
    when another becomes primary, and then the dump would hold what never happened.
    """

    concern = ReadConcern("majority")

    def sample_split_points(self, namespace: Namespace, pieces: int) -> list[bytes]:
        """Quantiles of a sample of `_id`s, sorted by the server, since types mix in its order only."""
        if pieces < 2:
            return []
        pipeline: list[dict[str, Any]] = [
            # Twenty for each piece: quantiles of so many are off by a fifth of a piece, which only makes
            # parts uneven.
            {"$sample": {"size": pieces * _SAMPLES_PER_PIECE}},
            {"$project": {"_id": 1}},
            {"$sort": {"_id": 1}},
        ]
        name = self._stored_name(namespace)
        collection: Any = self._client[namespace.db].get_collection(name, codec_options=RAW)
        with translate_errors(f"sampling {namespace.name}"):
            samples = [bytes(document.raw) for document in collection.aggregate(pipeline, allowDiskUse=True)]
        sampled = [document for document in samples if _round_trips(document)]
        step = len(sampled) / pieces
        chosen = [sampled[int(step * i)] for i in range(1, pieces)] if sampled else []
        # Two equal ones would bound an empty piece.
        return list(dict.fromkeys(chosen))

    def read_oplog_window(self) -> tuple[Timestamp, Timestamp]:
        """The oldest and the newest entry. Raises UsageError for a server that is no replica set."""
        return self._oplog_edge(1), self._oplog_edge(-1)

    def _oplog_edge(self, direction: int) -> Timestamp:
        oplog = self._client.local.get_collection("oplog.rs", codec_options=EXACT, read_concern=self.concern)
        with translate_errors("reading the oplog"):
            entry = next(oplog.find({}, {"ts": 1}).sort("$natural", direction).limit(1), None)
        if entry is None:
            hint = "Make it a replica set of one: start mongod with --replSet rs0 and run rs.initiate()."
            raise UsageError("MongoDB has no oplog, so no backup of it would be consistent", hint=hint)
        return Timestamp(entry["ts"].time, entry["ts"].inc)

    def read_oplog_end(self) -> OplogEnd:
        """`hello.lastWrite`, which needs no privilege."""
        with translate_errors("asking how far the oplog is"):
            last = self._client.admin.command("hello").get("lastWrite", {})
        try:
            times = [last[name]["ts"] for name in ("majorityOpTime", "opTime")]
        except KeyError:  # not a replica set, which reading its oplog will say with a hint
            newest = self._oplog_edge(-1)
            return OplogEnd(newest, newest)
        return OplogEnd(*(Timestamp(at.time, at.inc) for at in times))

    def find_oldest_open_transaction(self) -> Timestamp | None:
        """From `config.transactions`, which a user with the role `backup` may read."""
        rows = self._client.config.get_collection("transactions", codec_options=EXACT)
        with translate_errors("reading open transactions"):
            starts = [
                row["startOpTime"]["ts"]
                for row in rows.find({"state": {"$in": ["prepared", "inProgress"]}})
                if "startOpTime" in row
            ]
        oldest = min(starts, default=None)
        return Timestamp(oldest.time, oldest.inc) if oldest else None

    def read_oplog(self, start: Timestamp, end: Timestamp) -> Iterator[bytes]:
        """Raw entries, both bounds inclusive, in order."""
        bounds = {"$gte": _to_bson_timestamp(start), "$lte": _to_bson_timestamp(end)}
        with translate_errors("reading the oplog"):
            for batch in self._read_raw("local", "oplog.rs", {"ts": bounds}):
                yield bytes(batch.documents)  # its entries are held while there is room for more


def _round_trips(bound: bytes) -> bool:
    """Whether the driver sends this `_id` back as it came.

    Not so for a few deprecated types, nor for what it cannot decode: text that is not UTF-8.
    """
    try:
        return bson.encode({"_id": RawBSONDocument(bound, RAW).get("_id")}) == bound
    except BSONError:
        return False


def _to_bson_timestamp(at: Timestamp) -> BsonTimestamp:
    return BsonTimestamp(at.seconds, at.ordinal)
