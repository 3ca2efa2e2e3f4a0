"""A document that a dump holds twice, and what the cap of a capped collection leaves. Pure.

A natural scan meets a document again that was deleted and inserted anew under its `_id` while the collection
was read. Either copy may stay: delete and insert are in the oplog's window, so the replay puts the right one
in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import bson

from shared.formats.documents import Tally, split_documents, tally_documents
from shared.formats.elements import DECIMAL, DOUBLE, INT32, INT64, find_element, join_elements
from shared.mongodb.oplog import Operation

_NUMBERS = (DOUBLE, INT32, INT64, DECIMAL)
Fingerprint = tuple[int, int]  # a document's bytes and hash


@dataclass
class RefusedDuplicates:
    """The documents of a namespace that the target refused, since their `_id` was there already."""

    tally: Tally = field(default_factory=Tally)
    ids: set[Hashable] = field(default_factory=set)

    def add(self, document: bytes) -> None:
        """Remember one. Raises Corrupt."""
        self.tally += tally_documents(document)
        self.ids.add(document_id(document))


def document_id(document: bytes) -> Hashable:
    """What the server tells the document by: its `_id` as raw BSON, empty if there is none. Raises Corrupt.

    A number is that number whatever its type: the index on `_id` takes 1 and 1.0 for the same. Source:
    https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/#numeric-types.
    """
    identity = find_element(document, b"_id")
    if identity is None:
        return b""
    raw = join_elements([identity])
    if identity.type not in _NUMBERS:
        return raw
    value = bson.decode(raw)["_id"]
    number: float | Decimal = value.to_decimal() if isinstance(value, bson.Decimal128) else value
    # NaN equals nothing, itself included, and the index holds it once.
    return number if number == number else "NaN"


def find_reinserted(
    operations: Iterable[Operation | None], refused: Mapping[str, RefusedDuplicates]
) -> dict[str, set[Hashable]]:
    """Of the refused `_id`s, by namespace, those that the oplog's window inserts. Raises Corrupt."""
    result: dict[str, set[Hashable]] = {name: set() for name in refused}
    for operation in operations:
        # The subject: a time series is known by its own name, and its buckets have another in the oplog.
        if operation is not None and operation.op == "i" and operation.subject in refused:
            identity = document_id(operation.o)
            if identity in refused[operation.subject].ids:
                result[operation.subject].add(identity)
    return result


class CappedTail:
    """The newest documents of a capped collection, in order: as many as its cap can keep, and some more."""

    def __init__(self, options: Mapping[str, object]) -> None:
        self._most, self._size = cap_of(options)
        self._tail: deque[Fingerprint] = deque()
        self._bytes = 0

    def add_batch(self, batch: bytes | memoryview) -> None:
        """Remember whole documents. Raises Corrupt."""
        for fingerprint in fingerprints(batch):
            self._tail.append(fingerprint)
            self._bytes += fingerprint[0]
        # Older servers evict late: they may keep more than the cap.
        while len(self._tail) > 2 * self._most or self._bytes > 2 * self._size + (16 << 20):
            self._bytes -= self._tail.popleft()[0]

    def compare(self, stored: Sequence[Fingerprint]) -> list[str]:
        """The differences between what the cap keeps of the dump and what the target holds, in order."""
        dumped = list(self._tail)
        least = _count_kept(dumped, self._most, self._size)
        if len(stored) < least:
            return [f"{len(stored)} documents instead of the {least} newest that the cap keeps"]
        if dumped[len(dumped) - len(stored) :] != list(stored):
            return ["not the newest documents of the capped collection in their order"]
        return []


def fingerprints(batch: bytes | memoryview) -> list[Fingerprint]:
    """Size and hash of each document of a batch. Raises Corrupt."""
    return [(len(one), tally_documents(one).content_hash) for one in split_documents(batch)]


def cap_of(options: Mapping[str, object]) -> tuple[float, float]:
    """The most documents and the most bytes that a capped collection keeps."""
    most, size = options.get("max"), options.get("size")
    return (
        float(most) if isinstance(most, int | float) and most > 0 else float("inf"),
        float(size) if isinstance(size, int | float) and size > 0 else float("inf"),
    )


def _count_kept(dumped: Sequence[Fingerprint], most: float, size: float) -> int:
    """How many of the newest documents fit under the cap; the newest always does."""
    count = total = 0
    for length, _ in reversed(dumped):
        total += length
        if count and (count + 1 > most or total > size):
            break
        count += 1
    return count
