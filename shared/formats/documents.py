"""Raw BSON documents, one after the other: walked by their length prefixes, never decoded.

A document is an int32 length (little-endian, counting itself), elements, and a zero byte.
Source: https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple, Self

from xxhash import xxh3_128_intdigest

from shared.kernel.errors import Corrupt

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024  # what mongorestore's parser takes; the server's own limit
# An oplog entry holds a whole document and its own fields: mongo-tools, mongorestore/oplog.go.
MAX_OPLOG_ENTRY_BYTES = MAX_DOCUMENT_BYTES + 16 * 1024
_LENGTH = struct.Struct("<i")
_MASK = (1 << 128) - 1
_TOGETHER, _SMALL_BYTES = 256, 8 << 10  # so many are gathered at once, each smaller than that
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
    digest, view, last = xxh3_128_intdigest, memoryview(raw), end - 1
    before, following, total, count = start + 3, start + 4, 0, 0
    gathered = _Gathered(bytearray(end - start) if into is None else into)
    write, small = gathered.few.write, _SMALL_BYTES
    try:
        if _LENGTH.unpack_from(raw, start)[0] != end - start or raw[last]:
            raise Corrupt("not a BSON array", value=f"{end - start} bytes")
        # Before the first document there is a byte of the array's length, before each other the zero that
        # ends the one before it, without which a wrong length could not be told from a right one.
        expected = _DOCUMENT << 8 | raw[before]
        for digits, most in _list_runs():
            if following == last:
                break
            unpack, skipped, done = _ELEMENTS[digits], digits + 3, 0
            for done in range(1, most + 1):  # noqa: B007
                head, named, length = unpack(raw, before)
                begin = before + skipped
                following = begin + length
                if head != expected or named or length < 5 or following > last:
                    raise Corrupt("not a BSON array of documents", value=f"at byte {before + 1 - start}")
                before = following - 1
                document = view[begin:following]
                total += digest(document)
                if length < small:
                    write(document)
                else:
                    gathered.append(document)
                if following == last:
                    break
            count += done
            gathered.collect()
            expected = _DOCUMENT << 8
        if following != last or raw[last - 1]:
            raise Corrupt("not a BSON array of documents", value=f"at byte {following - start}")
    except (struct.error, IndexError) as error:
        raise Corrupt("not a BSON array of documents", value="it is cut short") from error
    return TalliedBatch(gathered.finish(), Tally(count, gathered.size, total & _MASK))


def _list_runs() -> Iterator[tuple[int, int]]:
    """How many digits an element's name has, and how many elements follow that have as many, a few at a time.

    The first one alone: what lies before it is not the end of a document.
    """
    yield 1, 1
    yield 1, 9
    for digits in range(2, len(_ELEMENTS)):
        first = 10 ** (digits - 1)
        for place in range(first, 10 * first, _TOGETHER):
            yield digits, min(_TOGETHER, 10 * first - place)


class _Gathered:
    """Documents one after the other in memory that is given.

    Small ones are first written to `few`, which a core's cache holds: that is a third of what it takes to put
    each in its place, and they are moved some hundred at a time.
    """

    def __init__(self, memory: bytearray) -> None:
        self._memory, self.size, self.few = memoryview(memory), 0, BytesIO()

    def append(self, document: memoryview) -> None:
        """Behind what is in `few`."""
        self.collect()
        filled = self.size + len(document)
        self._memory[self.size : filled] = document
        self.size = filled

    def collect(self) -> None:
        """Move what is in `few`."""
        filled = self.size + self.few.tell()
        with self.few.getbuffer() as few:
            self._memory[self.size : filled] = few[: filled - self.size]
        self.few.seek(0)
        self.size = filled

    def finish(self) -> memoryview:
        """What was gathered. Behind it, memory that was used before holds what it held."""
        return self._memory[: self.size].toreadonly()


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
