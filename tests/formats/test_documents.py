"""Documents in a row, and in the array of a reply: cut out by length, counted and hashed."""

from __future__ import annotations

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.documents import TalliedBatch, Tally, gather_array, split_documents, tally_documents
from shared.formats.elements import locate_value
from shared.kernel.errors import Corrupt

VALUES = st.none() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=8) | st.binary(max_size=8)
DOCUMENTS = st.dictionaries(st.text("abc", min_size=1, max_size=3), VALUES, max_size=3).map(bson.encode)


def in_reply(documents: list[bytes]) -> tuple[bytes, int, int]:
    raw = bson.encode({"cursor": {"id": 1, "nextBatch": [RawBSONDocument(d) for d in documents]}, "ok": 1})
    at = locate_value(raw, b"cursor", b"nextBatch")
    assert at is not None
    return raw, *at


@given(st.lists(DOCUMENTS, max_size=12))
def test_an_array_gives_its_documents_and_their_tally(documents: list[bytes]) -> None:
    joined = b"".join(documents)
    assert gather_array(*in_reply(documents)) == TalliedBatch(joined, tally_documents(joined))


@given(st.lists(st.lists(DOCUMENTS, max_size=12), min_size=1, max_size=4))
def test_memory_that_was_used_before_gives_what_fresh_memory_gives(replies: list[list[bytes]]) -> None:
    into = bytearray(b"\xff" * max(len(in_reply(documents)[0]) for documents in replies))
    for documents in replies:
        raw, start, end = in_reply(documents)
        batch = gather_array(bytearray(raw) + b"left over", start, end, into)
        assert batch == TalliedBatch.of(b"".join(documents))
        assert list(split_documents(batch.documents)) == documents


@pytest.mark.parametrize("count", [9, 10, 11, 99, 100, 101, 1_000, 1_001, 10_001])
def test_the_names_of_elements_grow_by_a_digit(count: int) -> None:
    documents = [bson.encode({"_id": number}) for number in range(count)]
    batch = gather_array(*in_reply(documents))
    assert batch == TalliedBatch.of(b"".join(documents))
    assert batch.tally.documents == count


def test_small_and_large_documents_stay_in_their_order() -> None:
    sizes = (1, 8_100, 8_192, 9_000, 2, 3, 70_000, 8_191, 1) * 40
    documents = [bson.encode({"_id": number, "data": bytes(size)}) for number, size in enumerate(sizes)]
    batch = gather_array(*in_reply(documents))
    assert list(split_documents(batch.documents)) == documents
    assert batch == TalliedBatch.of(b"".join(documents))


def test_an_array_may_be_longer_than_sixteen_mebibytes() -> None:
    documents = [bson.encode({"_id": number, "data": bytes(9 << 20)}) for number in range(2)]
    array = b"\x030\0" + documents[0] + b"\x031\0" + documents[1] + b"\0"
    array = (len(array) + 4).to_bytes(4, "little") + array
    assert array[3]  # the byte before the first element is not zero then
    assert gather_array(array, 0, len(array)) == TalliedBatch.of(b"".join(documents))


@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.data())
def test_a_damaged_array_is_refused_or_gives_whole_documents(
    documents: list[bytes], data: st.DataObject
) -> None:
    raw, start, end = in_reply(documents)
    at = data.draw(st.integers(start, end - 1))
    damaged = bytearray(raw)
    damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        batch = gather_array(bytes(damaged), start, end)
    except Corrupt:
        return
    assert tally_documents(batch.documents) == batch.tally


@pytest.mark.parametrize(
    "array",
    [
        b"",
        b"\x05\0\0",
        b"\x06\0\0\0\0",  # longer than it is
        b"\x05\0\0\0\x01",  # no zero at its end
        bson.encode({"0": 1}),  # no document
        bson.encode({"1": {}})[:-1] + b"\x01",
        bson.encode({"00": {}}),  # a name of another length
        b"\x0d\0\0\0\x030\0\x04\0\0\0\0\0",  # a document of four bytes
        b"\x0d\0\0\0\x030\0\x06\0\0\0\0\0",  # one that is longer than the array
        b"\x0d\0\0\0\x030\0\x05\0\0\0\x01\0",  # one without its zero
        b"\x15\0\0\0\x030\0\x05\0\0\0\x01\x031\0\x05\0\0\0\0\0",  # the first of two without its zero
        b"\x15\0\0\0\x030\0\x05\0\0\0\0\x031\x01\x05\0\0\0\0\0",  # the second's name without its zero
        b"\x15\0\0\0\x030\0\x05\0\0\0\0\x011\0\x05\0\0\0\0\0",  # the second no document
        b"\x08\0\0\0\x030\0\0",  # cut short
    ],
)
def test_what_is_no_array_of_documents_is_refused(array: bytes) -> None:
    with pytest.raises(Corrupt):
        gather_array(array, 0, len(array))


def test_values_are_located_without_copying() -> None:
    raw = bson.encode({"a": 1, "cursor": {"id": 7, "ns": "x"}, "id": 9})
    assert raw[slice(*locate_value(raw, b"cursor", b"id"))] == b"\x07\0\0\0"
    assert raw[slice(*locate_value(raw, b"id"))] == b"\x09\0\0\0"
    assert locate_value(raw, b"cursor", b"nextBatch") is None


def test_nothing_is_located_behind_the_size_that_is_given() -> None:
    raw, other = bson.encode({"a": 1}), bson.encode({"b": 2})
    buffer = bytearray(raw[:-1] + other[4:])  # a shorter reply in memory that held a longer one
    assert locate_value(buffer, b"b") is not None
    assert locate_value(bytearray(raw + other[4:]), b"b", size=len(raw)) is None
    assert locate_value(raw, b"nothing", b"id") is None
    assert locate_value(raw) == (0, len(raw))


@pytest.mark.parametrize("cut", [6, 9])
def test_what_is_no_document_has_no_values(cut: int) -> None:
    raw = bson.encode({"a": {"b": "text"}})
    with pytest.raises(Corrupt):
        locate_value(raw[:cut] + b"\0", b"z")


@given(st.lists(DOCUMENTS, max_size=6), st.randoms())
def test_the_order_of_documents_does_not_show_in_their_tally(documents: list[bytes], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(documents)
    random.shuffle(shuffled)
    assert tally_documents(b"".join(shuffled)) == tally_documents(b"".join(documents))
    assert sum(map(tally_documents, documents), Tally()) == tally_documents(b"".join(documents))
