"""mongodump's archive format, version 0.1: writing.

A header, a prelude that announces every namespace, then blocks of raw documents, each block headed by
its namespace and ended by a terminator; the end of a namespace carries a CRC-64/XZ of its documents.
Stock `mongorestore --archive` reads it. Source: mongo-tools, common/archive/spec.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bson
from bson.int64 import Int64
from fastcrc import crc64

from shared.formats.documents import TalliedBatch, Tally
from shared.kernel.errors import Corrupt

MAGIC = b"\x6d\xe2\x99\x81"
TERMINATOR = b"\xff\xff\xff\xff"
FORMAT_VERSION = "0.1"
OPLOG = ("", "oplog")
_PIECE_BYTES = 1 << 20

# What is written may be a view of memory that is used again: it is taken at once, or copied.
Write = Callable[[bytes | memoryview], object]


@dataclass(frozen=True, slots=True)
class ArchiveHeader:
    """The archive's first document."""

    server_version: str  # X.Y.Z, or mongorestore aborts
    tool_version: str
    concurrent_collections: int = 1


@dataclass(frozen=True, slots=True)
class PreludeEntry:
    """A namespace in the prelude.

    `metadata` is canonical Extended JSON of options, indexes and uuid; empty for the oplog. `blocks` is
    the collection's name in the blocks where it differs (the buckets of a time-series collection).
    """

    db: str
    collection: str
    metadata: str
    kind: str = "collection"
    blocks: str = ""


class ArchiveWriter:
    """Writes one archive to `write`, one namespace after the other, without copying the documents.

    Call `documents` as often as there are batches, `end` once for each namespace of the prelude (empty
    ones and views too), then `finish`, which raises if one was forgotten.
    """

    def __init__(self, write: Write, header: ArchiveHeader, prelude: Sequence[PreludeEntry]) -> None:
        self._write = write
        self._open: dict[tuple[str, str], PreludeEntry] = {(e.db, e.collection): e for e in prelude}
        self._crc, self._tally = 0, Tally()
        self._current: tuple[str, str] | None = None
        write(b"".join((MAGIC, _header(header), *map(_prelude, prelude), TERMINATOR)))

    def documents(self, db: str, collection: str, batch: bytes) -> Tally:
        """Append a batch of whole documents; returns their tally. Raises Corrupt."""
        return self.tallied_documents(db, collection, TalliedBatch.of(batch))

    def tallied_documents(self, db: str, collection: str, batch: TalliedBatch) -> Tally:
        """Append a batch that was walked already; returns its tally."""
        entry = self._switch(db, collection)
        self._tally += batch.tally
        # Written as it came, without joining, in pieces that a core's cache holds until they are compressed.
        self._write(_block(entry, ended=False, crc=0))
        documents = memoryview(batch.documents)
        for start in range(0, len(documents), _PIECE_BYTES):
            piece = documents[start : start + _PIECE_BYTES]
            self._crc = crc64.xz(piece, self._crc)
            self._write(piece)
        self._write(TERMINATOR)
        return batch.tally

    def end(self, db: str, collection: str) -> Tally:
        """Close the namespace; returns the tally of all its documents."""
        entry = self._switch(db, collection)
        self._write(_block(entry, ended=True, crc=self._crc) + TERMINATOR)
        ended, self._crc, self._tally, self._current = self._tally, 0, Tally(), None
        del self._open[db, collection]
        return ended

    def finish(self) -> None:
        """Raises Corrupt if a namespace of the prelude was not ended: the archive would not restore."""
        if self._open:
            raise Corrupt("the archive lacks a namespace of its prelude", value=sorted(self._open))

    def _switch(self, db: str, collection: str) -> PreludeEntry:
        # One namespace at a time keeps the CRC and the tally in two variables.
        if self._current not in (None, (db, collection)):
            raise Corrupt("two namespaces of an archive are open at once", value=f"{db}.{collection}")
        self._current = (db, collection)
        return self._open[db, collection]


def bucket_collection(collection: str, kind: str, server_version: str) -> str:
    """The name of the collection in the archive's blocks, if it differs from the prelude's.

    mongodump names a time-series collection itself in the prelude, and its buckets in the blocks, until
    MongoDB 8.3, which has no such collection any more.
    """
    release = tuple(int(part) for part in server_version.split(".")[:2] if part.isdigit())
    return f"system.buckets.{collection}" if kind == "timeseries" and release < (8, 3) else ""


def _header(header: ArchiveHeader) -> bytes:
    return bson.encode(
        {
            "concurrent_collections": header.concurrent_collections,
            "version": FORMAT_VERSION,
            "server_version": header.server_version,
            "tool_version": header.tool_version,
        }
    )


def _prelude(entry: PreludeEntry) -> bytes:
    return bson.encode(
        {
            "db": entry.db,
            "collection": entry.collection,
            "metadata": entry.metadata,
            "size": 0,
            "type": entry.kind,
        }
    )


def _block(entry: PreludeEntry, *, ended: bool, crc: int) -> bytes:
    # BSON has no unsigned 64-bit integer; mongo-tools write Go's int64 of the same bits.
    signed = struct.unpack("<q", struct.pack("<Q", crc))[0]
    return bson.encode(
        {
            "db": entry.db,
            "collection": entry.blocks or entry.collection,
            "EOF": ended,
            "CRC": Int64(signed),
        }
    )
