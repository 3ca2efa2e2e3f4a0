"""Documents that a dump holds twice, and what the cap of a capped collection leaves."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Decimal128, Int64

from shared.formats.documents import tally_documents
from shared.mongodb.oplog import Operation
from shared.restore.duplicates import (
    CappedTail,
    RefusedDuplicates,
    cap_of,
    document_id,
    find_reinserted,
    fingerprints,
)


def doc(identity: Any, **fields: Any) -> bytes:
    return bson.encode({"_id": identity, **fields})


def insert(identity: Any, collection: str = "c", op: str = "i") -> Operation:
    return Operation(op, "rc", collection, doc(identity), b"", "1.1")


def refused(*identities: Any) -> RefusedDuplicates:
    made = RefusedDuplicates()
    for identity in identities:
        made.add(doc(identity))
    return made


def test_refused_documents_are_counted_as_they_are_and_known_by_their_ids() -> None:
    made = refused(1, "a")
    assert made.tally == tally_documents(doc(1) + doc("a"))
    assert made.ids == {document_id(doc(1, more=True)), document_id(doc("a"))}


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, Int64(1), True),
        (1, Decimal128("1.0"), True),
        (0.5, Decimal128("0.5"), True),
        (float("nan"), Decimal128("NaN"), True),
        (1, 2, False),
        (1, "1", False),
        (1, True, False),
        (0, False, False),
        ("a", b"a", False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_an_id_is_what_the_server_takes_for_one(left: Any, right: Any, same: bool) -> None:
    assert (document_id(doc(left)) == document_id(doc(right))) is same


def test_a_document_without_an_id_has_an_empty_one() -> None:
    assert document_id(bson.encode({"a": 1})) == b""


def test_only_what_the_window_inserts_of_the_refused_explains_them() -> None:
    operations = [
        None,
        insert(1),
        insert(9),
        insert(2, op="u"),
        insert(2, op="d"),
        insert(3, "other"),
        insert(4, "system.buckets.t"),
    ]
    wanted = {"rc.c": refused(1, 2), "rc.t": refused(4, 5), "rc.none": refused(1)}
    assert find_reinserted(operations, wanted) == {
        "rc.c": {document_id(doc(1))},
        "rc.t": {document_id(doc(4))},
        "rc.none": set(),
    }


@pytest.mark.parametrize(
    ("options", "cap"),
    [
        ({}, ("inf", "inf")),
        ({"max": 3, "size": 100}, (3, 100)),
        ({"max": 3.0, "size": Int64(100)}, (3, 100)),
        ({"max": 0, "size": 0}, ("inf", "inf")),
        ({"max": -1, "size": -1}, ("inf", "inf")),
        ({"max": "3", "size": None}, ("inf", "inf")),
        ({"max": 1, "size": 1}, (1, 1)),
    ],
)
def test_a_cap_that_says_nothing_keeps_everything(options: dict[str, Any], cap: tuple[Any, Any]) -> None:
    assert cap_of(options) == tuple(map(float, cap))


SIZE = len(doc(1))


def compared(options: dict[str, Any], dumped: range, stored: list[int]) -> list[str]:
    tail = CappedTail(options)
    for number in dumped:
        tail.add_batch(doc(number))
    return tail.compare(fingerprints(b"".join(map(doc, stored))))


def test_fewer_than_the_cap_keeps_are_told_with_their_numbers() -> None:
    fewer = "{} documents instead of the {} newest that the cap keeps".format
    assert compared({"max": 3}, range(6), [4, 5]) == [fewer(2, 3)]
    assert compared({"size": 2 * SIZE}, range(6), [5]) == [fewer(1, 2)]
    assert compared({"max": 3, "size": 2 * SIZE}, range(6), [4, 5]) == []


def test_the_newest_are_there_in_their_order_though_more_are_kept() -> None:
    wrong = ["not the newest documents of the capped collection in their order"]
    assert compared({"max": 3}, range(6), [2, 3, 4, 5]) == []
    assert compared({"max": 3}, range(6), [5, 4, 3]) == wrong
    assert compared({"max": 3}, range(6), [0, 4, 5]) == wrong
    assert compared({"max": 3}, range(2), []) == ["0 documents instead of the 2 newest that the cap keeps"]
    assert compared({"max": 3}, range(0), []) == []


def test_the_tail_of_a_large_collection_is_bounded_by_number_and_by_bytes() -> None:
    by_number = CappedTail({"max": 2})
    by_size = CappedTail({"size": 1 << 20})
    batch = b"".join(doc(number, data=bytes(1 << 20)) for number in range(40))
    by_number.add_batch(batch)
    by_size.add_batch(batch)
    # Older servers keep more than the cap: as much again, and some.
    assert (len(by_number._tail), len(by_size._tail)) == (4, 17)
