"""mongodump's archive format, version 0.1: reading, from any tool, trusting nothing.

Lengths, terminators, namespaces, checksums and the end are checked; whatever is off raises Corrupt with
the place and the reason. Memory is bounded by one document and one batch. Source: see `archive`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bson
from bson.errors import BSONError
from bson.int64 import Int64
from fastcrc import crc64

from shared.formats.archive import (
    FORMAT_VERSION,
    MAGIC,
    OPLOG,
    TERMINATOR,
    ArchiveHeader,
    PreludeEntry,
    bucket_collection,
)
from shared.formats.documents import MAX_DOCUMENT_BYTES, MAX_OPLOG_ENTRY_BYTES
from shared.kernel.errors import Corrupt

_BATCH_BYTES = 4 << 20
_MAX_METADATA_BYTES = 16 << 20  # a prelude's metadata may hold a long pipeline
_LENGTH = struct.Struct("<i")
_TERMINATOR_LENGTH = -1  # the four bytes of a terminator, read as a length
_BLOCK_KEYS = {"db", "collection", "EOF", "CRC"}


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Some whole documents of a namespace, concatenated."""

    db: str
    collection: str
    batch: bytes


@dataclass(frozen=True, slots=True)
class NamespaceEnd:
    """The namespace is complete and its checksum agreed."""

    db: str
    collection: str


class ArchiveReader:
    """Reads an archive from an iterator of byte strings.

    `header` and `prelude` are read at once; iterate for `DocumentBatch` and `NamespaceEnd`. Segments of
    several namespaces may interleave. Collections in blocks are given as the prelude names them.
    """

    def __init__(self, chunks: Iterator[bytes], *, name: str) -> None:
        self._buffer = _Buffer(chunks, name)
        self._name = name
        if self._buffer.read_exact(4) != MAGIC:
            raise Corrupt(f"{name} holds no mongodump archive", hint="Its first bytes are of another format.")
        self.header = self._read_header()
        self.prelude = self._read_prelude()
        self._waiting = {(e.db, e.blocks or e.collection): e for e in self.prelude}
        # The second one would end the first, and what is between them would belong to neither.
        if len(self._waiting) != len(self.prelude):
            raise self._corrupt("the prelude names a namespace twice")
        self._crcs: dict[tuple[str, str], int] = {}

    def __iter__(self) -> Iterator[DocumentBatch | NamespaceEnd]:
        while not self._buffer.is_exhausted():
            yield from self._read_block()
        if self._waiting:
            db, collection = min(self._waiting)
            raise self._corrupt("the archive is cut short", f"{db}.{collection} did not end")

    def _read_block(self) -> Iterator[DocumentBatch | NamespaceEnd]:
        head = self._decode_document("a block's header")
        # Another tool's field could mean that the documents behind it are to be read in another way.
        if head.keys() != _BLOCK_KEYS:
            raise self._corrupt("a block's header has other fields than it should", sorted(head))
        key = (_require_string(head, "db"), _require_string(head, "collection"))
        entry = self._waiting.get(key)
        if entry is None:
            raise self._corrupt("a block of a namespace that the prelude lacks, or that ended", ".".join(key))
        if not isinstance(head["CRC"], Int64) or not isinstance(head["EOF"], bool):
            raise self._corrupt("a block's header has fields of the wrong type", ".".join(key))
        if not head["EOF"]:
            yield from self._read_documents(key, entry)
            return
        self._finish_namespace(key, head["CRC"])
        yield NamespaceEnd(entry.db, entry.collection)

    def _read_documents(self, key: tuple[str, str], entry: PreludeEntry) -> Iterator[DocumentBatch]:
        limit = MAX_OPLOG_ENTRY_BYTES if key == OPLOG else MAX_DOCUMENT_BYTES
        while batch := self._buffer.read_documents(limit):
            self._crcs[key] = crc64.xz(batch, self._crcs.get(key, 0))
            yield DocumentBatch(entry.db, entry.collection, batch)

    def _finish_namespace(self, key: tuple[str, str], signed: int) -> None:
        if self._buffer.read_exact(4) != TERMINATOR:
            raise self._corrupt("the end of a namespace lacks its terminator", ".".join(key))
        if struct.unpack("<Q", struct.pack("<q", signed))[0] != self._crcs.pop(key, 0):
            raise self._corrupt("the checksum does not match", ".".join(key))
        del self._waiting[key]

    def _read_header(self) -> ArchiveHeader:
        document = self._decode_document("the header")
        if document.get("version") != FORMAT_VERSION:
            raise self._corrupt("an archive of a version we do not know", document.get("version"))
        concurrent = document.get("concurrent_collections")
        if not isinstance(concurrent, int):
            raise self._corrupt("the header lacks concurrent_collections")
        return ArchiveHeader(
            _require_string(document, "server_version"), _require_string(document, "tool_version"), concurrent
        )

    def _read_prelude(self) -> list[PreludeEntry]:
        entries: list[PreludeEntry] = []
        while not self._buffer.skip_terminator():
            d = self._decode_document("the prelude")
            kind, db, collection = (
                str(d.get("type") or "collection"),
                _require_string(d, "db"),
                _require_string(d, "collection"),
            )
            blocks = bucket_collection(collection, kind, self.header.server_version)
            entries.append(PreludeEntry(db, collection, _require_string(d, "metadata"), kind, blocks))
        return entries

    def _decode_document(self, what: str) -> dict[str, Any]:
        raw = self._buffer.read_document(_MAX_METADATA_BYTES)
        try:
            return bson.decode(raw)
        except (BSONError, ValueError, OverflowError, RecursionError) as error:
            raise self._corrupt(f"{what} is not BSON", error) from error

    def _corrupt(self, problem: str, value: object = None) -> Corrupt:
        return Corrupt(f"{self._name}: {problem}", value=value)


def _require_string(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise Corrupt("an archive's document lacks a text", value=key)
    return value


class _Buffer:
    """Exact reads and length-prefixed documents over an iterator of byte strings."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks, self._name = chunks, name
        self._held, self._position = b"", 0

    def _fill(self, size: int) -> bool:
        """Hold at least `size` bytes, or all that is left: whether it sufficed."""
        missing = size - (len(self._held) - self._position)
        if missing <= 0:
            return True
        pieces = [self._held[self._position :]]
        while missing > 0 and (chunk := next(self._chunks, None)) is not None:
            pieces.append(chunk)
            missing -= len(chunk)
        self._held, self._position = b"".join(pieces), 0
        return missing <= 0

    def is_exhausted(self) -> bool:
        return not self._fill(1)

    def read_exact(self, size: int) -> bytes:
        if not self._fill(size):
            raise Corrupt(f"{self._name} is cut short", value=f"{size} bytes were expected")
        start, self._position = self._position, self._position + size
        return self._held[start : self._position]

    def skip_terminator(self) -> bool:
        """Whether a terminator comes next; if so it is consumed."""
        if not self._fill(4):
            raise Corrupt(f"{self._name} is cut short", value="a terminator was expected")
        if _LENGTH.unpack_from(self._held, self._position)[0] != _TERMINATOR_LENGTH:
            return False
        self._position += 4
        return True

    def _read_length(self, limit: int) -> int:
        size: int = _LENGTH.unpack_from(self._held, self._position)[0]
        if not 5 <= size <= limit:
            raise Corrupt(f"{self._name}: a document cannot have this length", value=size)
        return size

    def read_document(self, limit: int) -> bytes:
        """The next document, which must be there."""
        if not self._fill(4):
            raise Corrupt(f"{self._name} is cut short", value="a document was expected")
        return self.read_exact(self._read_length(limit))

    def read_documents(self, limit: int) -> bytes:
        """Whole documents up to a batch's size; empty at the end of the block (terminator consumed)."""
        if self.skip_terminator():
            return b""
        first = self._read_length(limit)
        if not self._fill(max(first, _BATCH_BYTES)) and len(self._held) - self._position < first:
            raise Corrupt(f"{self._name} is cut short", value="in a document")
        start = end = self._position
        available = len(self._held)
        unpack, held = _LENGTH.unpack_from, self._held
        while end + 4 <= available and (end == start or end - start < _BATCH_BYTES):
            size = unpack(held, end)[0]
            if size == _TERMINATOR_LENGTH:
                break
            if not 5 <= size <= limit:
                raise Corrupt(f"{self._name}: a document cannot have this length", value=size)
            if end + size > available:
                break
            if held[end + size - 1]:
                raise Corrupt(f"{self._name}: a document does not end in a zero byte")
            end += size
        self._position = end
        return held[start:end]
