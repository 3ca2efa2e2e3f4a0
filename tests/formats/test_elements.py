"""Raw BSON, one level deep: what is taken apart comes together again, whatever it holds."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats.elements import (
    MAX_ARRAY,
    NULL,
    Element,
    find_element,
    join_elements,
    locate_value,
    renumber_items,
    resize_array,
    split_elements,
    string_value,
)
from shared.kernel.errors import Corrupt

int64 = st.integers(-(2**63), 2**63 - 1)
names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    int64.map(Int64),
    st.floats(),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=12),
    st.builds(Binary, st.binary(max_size=12), st.sampled_from([0, 2, 3, 4, 5, 128, 255])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    int64.map(DatetimeMS),
    st.builds(Regex, names, st.integers(0, 127)),
    st.builds(Code, names),
    st.builds(Code, names, st.dictionaries(names, int64.map(Int64), max_size=2)),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.integers(-(10**9), 10**9).map(lambda n: Decimal128(str(n))),
    st.just(MinKey()),
    st.just(MaxKey()),
)
values = st.recursive(
    scalars,
    lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(names, v, max_size=4)),
    max_leaves=12,
)
documents = st.dictionaries(names, values, max_size=6).map(bson.encode)


def _string(value: bytes) -> bytes:
    return struct.pack("<i", len(value) + 1) + value + b"\0"


# Types that the driver reads but never writes.
deprecated = st.one_of(
    names.map(lambda n: Element(0x06, n.encode(), b"")),  # undefined
    st.builds(lambda n, t: Element(0x0E, n.encode(), _string(t.encode())), names, names),  # symbol
    st.builds(
        lambda n, t, i: Element(0x0C, n.encode(), _string(t.encode()) + i),
        names,
        names,
        st.binary(min_size=12, max_size=12),
    ),  # DBPointer
)


@given(documents, st.lists(deprecated, max_size=3))
@settings(max_examples=150, deadline=None)
def test_every_document_is_the_join_of_its_elements(document: bytes, old: list[Element]) -> None:
    elements = [*split_elements(document), *old]
    whole = join_elements(elements)
    assert list(split_elements(whole)) == elements
    assert join_elements(split_elements(whole)) == whole
    assert join_elements(split_elements(document)) == document


@given(st.dictionaries(names, values, max_size=6))
@settings(max_examples=60, deadline=None)
def test_names_come_in_their_order_and_values_end_where_the_next_begins(document: dict[str, Any]) -> None:
    elements = list(split_elements(bson.encode(document)))
    assert [e.name.decode() for e in elements] == list(document)
    for element, (name, value) in zip(elements, document.items(), strict=True):
        assert join_elements([element]) == bson.encode({name: value})
        assert find_element(bson.encode(document), name.encode()) == element


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_noise_is_corrupt_or_a_document_and_nothing_else(noise: bytes) -> None:
    framed = struct.pack("<i", len(noise) + 5) + noise + b"\0"
    for candidate in (noise, framed):
        try:
            elements = list(split_elements(candidate))
        except Corrupt:
            continue
        assert join_elements(elements) == candidate
        assert all(isinstance(string_value(element), str) for element in elements)


@given(documents, st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_never_crashes_the_reader(document: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(document) - 1))
    changed = bytearray(document)
    changed[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Corrupt):
        assert join_elements(split_elements(bytes(changed))) == bytes(changed)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_document_cut_short_is_corrupt(cut: int) -> None:
    document = bson.encode({"a": "text", "b": Code("x", {"s": 1}), "c": Regex("p", 2), "d": [1, 2]})
    with pytest.raises(Corrupt):
        list(split_elements(document[:-cut]))
    shorter = document[:-cut]
    with pytest.raises(Corrupt):
        list(split_elements(struct.pack("<i", len(shorter)) + shorter[4:-1] + b"\x02"))


def test_duplicate_names_are_all_kept_and_the_first_is_found() -> None:
    twice = join_elements([Element(0x10, b"a", b"\1\0\0\0"), Element(0x10, b"a", b"\2\0\0\0")])
    assert [e.value[0] for e in split_elements(twice)] == [1, 2]
    found = find_element(twice, b"a")
    assert found is not None
    assert found.value[0] == 1
    assert find_element(twice, b"b") is None


def test_only_strings_have_text() -> None:
    document = bson.encode({"s": "größer", "n": 5, "c": Code("x")})
    assert [string_value(find_element(document, name)) for name in (b"s", b"n", b"c", b"none")] == [
        "größer",
        "",
        "",
        "",
    ]


def test_arrays_are_filled_up_with_null_and_renumbered() -> None:
    items = list(split_elements(bson.encode({"0": "a", "1": "b", "2": "c"})))
    assert bson.decode(renumber_items(resize_array(items, 2))) == {"0": "a", "1": "b"}
    assert bson.decode(renumber_items(resize_array(items[2:], 3))) == {"0": "c", "1": None, "2": None}
    assert resize_array([], 1) == [Element(NULL, b"", b"")]


@pytest.mark.parametrize("length", [-1, MAX_ARRAY + 1, 2**31 - 1])
def test_an_array_of_a_length_no_server_makes_is_corrupt(length: int) -> None:
    with pytest.raises(Corrupt):
        resize_array([], length)


# Where a value is, without taking the document apart.


@given(st.dictionaries(names, values, max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_value_is_located_where_the_elements_have_it(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    assert locate_value(raw) == (0, len(raw))
    for element in split_elements(raw):
        place = locate_value(raw, element.name)
        assert place is not None
        assert raw[slice(*place)] == element.value
        assert locate_value(bytearray(raw) + b"more of the memory", element.name, size=len(raw)) == place
        if element.type in (0x03, 0x04):
            for inner in split_elements(element.value):
                within = locate_value(raw, element.name, inner.name)
                assert within is not None
                assert raw[slice(*within)] == inner.value
    assert locate_value(raw, b"a name that is longer than any") is None


def test_the_first_of_two_is_located_and_nothing_below_another() -> None:
    raw = bson.encode({"a": {"x": 1}, "b": {"x": 2, "y": 3}})
    assert locate_value(raw, b"a", b"y") is None
    place = locate_value(raw, b"b", b"y")
    assert place is not None
    assert raw[slice(*place)] == b"\3\0\0\0"
    twice = join_elements([Element(0x10, b"a", b"\1\0\0\0"), Element(0x10, b"a", b"\2\0\0\0")])
    place = locate_value(twice, b"a")
    assert place is not None
    assert twice[slice(*place)] == b"\1\0\0\0"


def framed(body: bytes) -> bytes:
    return struct.pack("<i", len(body) + 5) + body + b"\0"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\x10name", "a BSON element has no name: at byte 4"),
        (b"\x0aok\0\x10name", "a BSON element has no name: at byte 8"),
        (b"\x10n\0\1\0\0", "a BSON element is longer than its document: at byte 4"),
        (b"\x02n\0\x05\0\0\0abc\0", "a BSON element is longer than its document: at byte 4"),
        (b"\x05n\0\x05\0\0\0\0abcd", "a BSON element is longer than its document: at byte 4"),
        (b"\x02n\0\5\0\0", "unknown type or cut short: type 0x2"),
        (b"\x14n\0\5\0\0\0abcd\0", "unknown type or cut short: type 0x14"),
        (b"\x02n\0\xff\xff\xff\xffabcd", "a BSON element has an impossible length: -1"),
        (b"\x03n\0\4\0\0\0abcd", "a BSON element has an impossible length: 4"),
        (b"\x0bn\0pattern", "a BSON regular expression has no end: at byte 7"),
        (b"\x0bn\0pattern\0options", "a BSON regular expression has no end: at byte 7"),
    ],
)
def test_what_is_wrong_with_a_document_is_told_with_its_place(body: bytes, told: str) -> None:
    raw = framed(body)
    with pytest.raises(Corrupt, match=told):
        list(split_elements(raw))
    with pytest.raises(Corrupt, match=told):
        locate_value(raw, b"none")


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0\0\0\0", b"\4\0\0\0", b"\5\0\0\0\1", b"\6\0\0\0\0", b"\5\0\0\0\0\0", b"\xff\xff\xff\xff\0"],
)
def test_what_is_no_document_is_corrupt_with_its_size(raw: bytes) -> None:
    with pytest.raises(Corrupt, match=f"not a BSON document: {len(raw)} bytes"):
        list(split_elements(raw))


def test_elements_that_fill_their_document_to_the_last_byte_are_read() -> None:
    assert list(split_elements(framed(b""))) == []
    for body in (b"\x10n\0\1\0\0\0", b"\x02n\0\1\0\0\0\0", b"\x05n\0\0\0\0\0\0", b"\x0bn\0\0\0", b"\xffn\0"):
        (element,) = split_elements(framed(body))
        assert (element.type, element.name, element.value) == (body[0], b"n", body[3:])


def test_an_array_of_the_oplog_may_be_as_long_as_it_is() -> None:
    items = [Element(NULL, b"", b"")] * 3
    assert resize_array(items, 0) == []
    assert len(resize_array([], MAX_ARRAY)) == MAX_ARRAY
    with pytest.raises(Corrupt, match=f"an array of the oplog has an impossible length: {MAX_ARRAY + 1}"):
        resize_array(items, MAX_ARRAY + 1)
