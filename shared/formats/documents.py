"""Raw BSON documents, one after the other: walked by their length prefixes, never decoded.

A document is an int32 length (little-endian, counting itself), elements, and a zero byte.
Source: https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from xxhash import xxh3_128_intdigest

from shared.kernel.errors import Corrupt

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024  # what mongorestore's parser takes; the server's own limit
# An oplog entry holds a whole document and its own fields: mongo-tools, mongorestore/oplog.go.
MAX_OPLOG_ENTRY_BYTES = MAX_DOCUMENT_BYTES + 16 * 1024
_LENGTH = struct.Struct("<i")
_MASK = (1 << 128) - 1
_DOCUMENT = 0x03  # the type of an element that is a document
# By the digits of an element's name: the byte before the element and its type, the zero behind its name, and
# the document's length, taken at once. A reply of 48 MB has fewer than 10^8 documents of five bytes.
_ELEMENTS = tuple(struct.Struct(f"<H{digits}xBi").unpack_from for digits in range(9))


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


class TalliedBatch(NamedTuple):
    """Whole documents one after the other, and what they amount to.

    A view is of memory that is used again once it is gone: whoever keeps documents for long copies them.
    """

    documents: bytes | memoryview
    tally: Tally

    @classmethod
    def of(cls, documents: bytes) -> Self:
        """Documents that nobody walked yet. Raises Corrupt."""
        return cls(documents, tally_documents(documents))


def gather_array(raw: bytes | bytearray, start: int, end: int, into: bytearray | None = None) -> TalliedBatch:
    """The documents of the BSON array at `raw[start:end]`, a reply's batch, copied to `into`, which has room
    for `end - start` bytes. Raises Corrupt.

    An array's elements are named by their place in decimal digits, so that the length of each name is known
    and one walk takes every document, its digest included. https://bsonspec.org/spec.html
    """
    # The hot loop of the dump, as below: what a document costs is paid a million times for a gigabyte.
    digest, view = xxh3_128_intdigest, memoryview(raw)
    position, last, total, digits, widen_at, count = start + 4, end - 1, 0, 1, 10, 0
    # Written one by one: a list of them all would be walked by the garbage collector again and again.
    gathered, size = memoryview(bytearray(end - start) if into is None else into), 0
    unpack = _ELEMENTS[digits]
    try:
        if _LENGTH.unpack_from(raw, start)[0] != end - start or raw[last]:
            raise Corrupt("not a BSON array", value=f"{end - start} bytes")
        # Before the first document there is a byte of the array's length, before each other the zero that
        # ends the one before it, without which a wrong length could not be told from a right one.
        expected = _DOCUMENT << 8 | raw[position - 1]
        while position < last:
            head, named, length = unpack(raw, position - 1)
            begin = position + digits + 2
            following = begin + length
            if head != expected or named or length < 5 or following > last:
                raise Corrupt("not a BSON array of documents", value=f"at byte {position - start}")
            document = view[begin:following]
            total += digest(document)
            filled = size + length
            gathered[size:filled] = document
            size, position = filled, following
            expected = _DOCUMENT << 8
            count += 1
            if count == widen_at:
                digits, widen_at = digits + 1, widen_at * 10
                unpack = _ELEMENTS[digits]
        if raw[last - 1]:
            raise Corrupt("not a BSON array of documents", value=f"at byte {last - start}")
    except (struct.error, IndexError) as error:
        raise Corrupt("not a BSON array of documents", value="it is cut short") from error
    # Behind them a buffer that was used before holds what it held.
    return TalliedBatch(gathered[:size].toreadonly(), Tally(count, size, total & _MASK))


def tally_documents(batch: bytes | memoryview) -> Tally:
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


def split_documents(batch: bytes | memoryview) -> Iterator[bytes]:
    """The documents of a batch, one by one, copied. Raises Corrupt."""
    position, end = 0, len(batch)
    while position < end:
        if end - position < 5:
            raise Corrupt("not whole BSON documents", value=f"{end - position} bytes are left over")
        following = position + _LENGTH.unpack_from(batch, position)[0]
        if following < position + 5 or following > end:
            raise Corrupt("not whole BSON documents", value=f"at byte {position} of a batch of {end}")
        yield bytes(batch[position:following])
        position = following
