"""Raw BSON documents, one after the other: walked by their length prefixes, never decoded.

A document is an int32 length (little-endian, counting itself), elements, and a zero byte.
Source: https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from xxhash import xxh3_128_intdigest

from shared.kernel.errors import Corrupt

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024  # what mongorestore's parser takes; the server's own limit
# An oplog entry holds a whole document and its own fields: mongo-tools, mongorestore/oplog.go.
MAX_OPLOG_ENTRY_BYTES = MAX_DOCUMENT_BYTES + 16 * 1024
_LENGTH = struct.Struct("<i")
_MASK = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Tally:
    """What a set of documents amounts to, independent of their order and of how they were batched.

    `content_hash` is the sum modulo 2^128 of each document's xxh3-128: adding a document, changing one
    bit or losing one shows, reordering does not. It detects mistakes; forgery is the signature's business.
    """

    documents: int = 0
    data_bytes: int = 0
    content_hash: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.documents + other.documents,
            self.data_bytes + other.data_bytes,
            (self.content_hash + other.content_hash) & _MASK,
        )


def tally_documents(batch: bytes) -> Tally:
    """The tally of a batch of whole documents. Raises Corrupt if it is anything else."""
    # The hot loop of the dump: one pass, one slice and one digest per document.
    unpack, digest, view = _LENGTH.unpack_from, xxh3_128_intdigest, memoryview(batch)
    position, end, count, total = 0, len(batch), 0, 0
    try:
        while position < end:
            following = position + unpack(batch, position)[0]
            # Five bytes are the empty document. The zero at the end is all that tells a wrong length apart
            # from a right one.
            if following < position + 5 or following > end or batch[following - 1]:
                raise Corrupt("not whole BSON documents", value=f"at byte {position} of a batch of {end}")
            total += digest(view[position:following])
            position = following
            count += 1
    except struct.error as error:
        raise Corrupt("not whole BSON documents", value=f"{end - position} bytes are left over") from error
    return Tally(count, end, total & _MASK)


def split_documents(batch: bytes) -> Iterator[bytes]:
    """The documents of a batch, one by one. Raises Corrupt."""
    position, end = 0, len(batch)
    while position < end:
        if end - position < 5:
            raise Corrupt("not whole BSON documents", value=f"{end - position} bytes are left over")
        following = position + _LENGTH.unpack_from(batch, position)[0]
        if following < position + 5 or following > end:
            raise Corrupt("not whole BSON documents", value=f"at byte {position} of a batch of {end}")
        yield batch[position:following]
        position = following
