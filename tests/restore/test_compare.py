"""What counts as equal to the backup, clause by clause."""

from __future__ import annotations

from dataclasses import replace

import bson
import pytest

from shared.formats.backupset import NamespaceEntry
from shared.formats.documents import Tally, tally_documents
from shared.restore.compare import compare_documents, compare_gaps, compare_indexes, compare_options
from shared.restore.duplicates import CappedTail, fingerprints

ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
BATCH = b"".join(bson.encode({"_id": n, "msg": "hello"}) for n in range(3))


def entry_of(tally: Tally) -> NamespaceEntry:
    content = f"{tally.content_hash:032x}"
    return NamespaceEntry("db", "c", "collection", "", "", tally.documents, tally.data_bytes, content)


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ({}, []),
        ({"documents": 2}, ["2 documents instead of 3"]),
        ({"data_bytes": 7}, [f"7 bytes instead of {len(BATCH)}"]),
        ({"content_hash": 1}, ["as many documents, with other content"]),
        ({"documents": 4, "content_hash": 1}, ["4 documents instead of 3"]),
    ],
    ids=["nothing", "count", "bytes", "content of equal size", "count and content"],
)
def test_documents_differ_by_count_by_bytes_and_by_content(change: dict, differences: list[str]) -> None:
    tally = tally_documents(BATCH)
    assert compare_documents(entry_of(tally), replace(tally, **change)) == differences


def test_one_changed_bit_of_one_document_is_other_content() -> None:
    changed = bytearray(BATCH)
    changed[len(BATCH) // 2] ^= 1
    expected = entry_of(tally_documents(BATCH))
    assert compare_documents(expected, tally_documents(bytes(changed))) == [
        "as many documents, with other content"
    ]


def index(name: str = "a_1", **fields: object) -> dict[str, object]:
    return {"v": 2, "key": {"a": 1, "b": 1}, "name": name, **fields}


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        ([ID, index()], [ID, index()], []),
        ([ID, index()], [ID], ["index a_1 is missing"]),
        ([ID], [ID, index()], ["index a_1 is not in the backup"]),
        ([index()], [ID, index()], []),
        ([ID, index(unique=True)], [ID, index()], ["index a_1 is "]),
        ([ID, index()], [ID, index(unique=True)], ["index a_1 is "]),
        ([index(key={"a": 1, "b": 1})], [index(key={"b": 1, "a": 1})], ["index a_1 is "]),
        ([index(key={"a": 1})], [index(key={"a": -1})], ["index a_1 is "]),
        ([index(v=1, background=True, ns="x.y")], [index()], []),
        ([index(textIndexVersion=2)], [index(textIndexVersion=3)], []),
        ([index("a"), index("b")], [index("b", sparse=True), index("a")], ["index b is "]),
        ([index(dropDups=True, safe=None)], [index()], []),
        ([index(dropDups=True)], [index(dropDups=False)], ["index a_1 is "]),
        ([index(hidden=True)], [index()], ["index a_1 is "]),
        ([index(expireAfterSeconds=float("nan"))], [index(expireAfterSeconds=float("nan"))], []),
        ([index(expireAfterSeconds=float("nan"))], [index(expireAfterSeconds=2147483647)], []),
        ([index(expireAfterSeconds=float("nan"))], [index(expireAfterSeconds=0)], ["index a_1 is "]),
        ([index(expireAfterSeconds=5.0)], [index(expireAfterSeconds=2147483647)], ["index a_1 is "]),
        ([index(weights={"m": [float("nan")]})], [index(weights={"m": [float("nan")]})], []),
        ([index(weights={"m": [1, 2]})], [index(weights={"m": [1]})], ["index a_1 is "]),
    ],
)
def test_indexes_are_equal_but_for_what_servers_choose(expected: list, actual: list, told: list[str]) -> None:
    differences = compare_indexes(expected, actual, [])
    assert len(differences) == len(told)
    assert all(one.startswith(start) for one, start in zip(differences, told, strict=True))


def test_what_the_server_refused_is_a_difference_even_if_all_else_is_equal() -> None:
    assert compare_indexes([ID], [ID], ["index x was refused"]) == ["index x was refused"]


@pytest.mark.parametrize(
    ("expected", "actual", "differences"),
    [
        ({"capped": True}, {"capped": True}, []),
        ({"capped": True}, {}, ["option capped is 'absent' instead of True"]),
        ({}, {"capped": True}, ["option capped is True instead of 'absent'"]),
        ({"size": 1, "max": 2}, {"size": 1, "max": 3}, ["option max is 3 instead of 2"]),
        ({"expireAfterSeconds": float("nan")}, {"expireAfterSeconds": float("nan")}, []),
        ({"expireAfterSeconds": float("nan")}, {"expireAfterSeconds": "nan"},
         ["option expireAfterSeconds is 'nan' instead of nan"]),
        ({"expireAfterSeconds": 1.0}, {"expireAfterSeconds": float("nan")},
         ["option expireAfterSeconds is nan instead of 1.0"]),
        # Of another kind on one side only.
        ({"validator": {"a": 1}}, {"validator": "a"}, ["option validator is 'a' instead of {'a': 1}"]),
        ({"validator": "a"}, {"validator": {"a": 1}}, ["option validator is {'a': 1} instead of 'a'"]),
        ({"pipeline": [1]}, {"pipeline": 1}, ["option pipeline is 1 instead of [1]"]),
        ({"pipeline": 1}, {"pipeline": [1]}, ["option pipeline is [1] instead of 1"]),
        ({"pipeline": [{"a": 1}]}, {"pipeline": ({"a": 1},)}, []),
        ({"validator": {"a": 1}}, {"validator": {"b": 1}},
         ["option validator is {'b': 1} instead of {'a': 1}"]),
    ],
)  # fmt: skip
def test_options_differ_on_either_side(expected: dict, actual: dict, differences: list[str]) -> None:
    assert compare_options(expected, actual) == differences


def test_gaps_that_were_there_before_the_replay_are_notes_and_new_ones_differences() -> None:
    assert compare_gaps("db.fs.files", ["a"], ["a", "b"]) == (
        ["b"],
        ["db.fs.files: a; so it is in the source"],
    )
    assert compare_gaps("db.fs.files", ["healed"], []) == ([], [])


def documents(*numbers: int) -> bytes:
    return b"".join(bson.encode({"_id": n}) for n in numbers)


SIZE = len(documents(1))


@pytest.mark.parametrize(
    ("options", "stored", "equal"),
    [
        ({"max": 3, "size": 10_000}, (4, 5, 6), True),
        ({"max": 3, "size": 10_000}, (3, 4, 5, 6), True),
        ({"max": 3, "size": 10_000}, (5, 6), False),
        ({"max": 3, "size": 10_000}, (3, 4, 5), False),
        ({"max": 3, "size": 10_000}, (4, 6, 5), False),
        ({"max": 3, "size": 10_000}, (), False),
        ({"size": 2 * SIZE}, (5, 6), True),
        ({"size": 2 * SIZE}, (6,), False),
        ({"size": 2 * SIZE - 1}, (6,), True),
        ({"size": 1}, (6,), True),
        ({"size": 1}, (), False),
        ({"size": 1, "max": 0}, (6,), True),
        ({"max": 9, "size": 10_000}, (4, 5, 6), False),
    ],
)
def test_a_capped_collection_holds_the_newest_in_their_order(
    options: dict, stored: tuple[int, ...], equal: bool
) -> None:
    tail = CappedTail(options)
    tail.add_batch(documents(1, 2, 3))
    tail.add_batch(documents(4, 5, 6))
    assert (tail.compare(fingerprints(documents(*stored))) == []) is equal


def test_what_a_capped_collection_never_held_is_no_tail_of_it() -> None:
    tail = CappedTail({"max": 2, "size": 10_000})
    tail.add_batch(documents(*range(1000)))
    assert tail.compare(fingerprints(documents(998, 999))) == []
    assert tail.compare(fingerprints(documents(*range(1000), 998, 999))) != []
    assert len(tail._tail) == 4
