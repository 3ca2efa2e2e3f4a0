"""Updates of the oplog on raw documents, against an oracle that works on decoded ones."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from bson import Binary, Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats.diff import apply_update
from shared.formats.elements import Element, join_elements, split_elements
from shared.kernel.errors import Corrupt

NAMES = ("a", "b", "c", "0", "1", "")
names = st.sampled_from(NAMES)
scalars = st.sampled_from([None, True, 1, 2.5, "x", Int64(3), Binary(b"y", 5)])
values = st.recursive(
    scalars,
    lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(names, v, max_size=4)),
    max_leaves=10,
)
documents = st.dictionaries(names, values, max_size=5)


def updated(document: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(apply_update(bson.encode(document), bson.encode(update)))


def same(left: object, right: object) -> bool:
    """Equal with types and the order of fields."""
    return bson.encode({"x": left}) == bson.encode({"x": right})


# --- MongoDB's own form ---


@st.composite
def document_diffs(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Sections over a few names, each named once, as a server writes them."""
    kinds = draw(st.dictionaries(names, st.sampled_from("duis" if depth else "dui"), max_size=4))
    diff: dict[str, Any] = {}
    for kind in "dui":
        if chosen := [name for name, k in kinds.items() if k == kind]:
            diff[kind] = {name: False if kind == "d" else draw(values) for name in chosen}
    for name in (name for name, k in kinds.items() if k == "s"):
        below = document_diffs(depth - 1) if draw(st.booleans()) else array_diffs(depth - 1)
        diff[f"s{name}"] = draw(below)
    return diff


@st.composite
def array_diffs(draw: st.DrawFn, depth: int = 1) -> dict[str, Any]:
    diff: dict[str, Any] = {"a": True}
    length = draw(st.none() | st.integers(0, 5))
    if length is not None:
        diff["l"] = length
    for index in sorted(
        draw(st.sets(st.integers(0, 5 if length is None else max(0, length - 1)), max_size=3))
    ):
        if length == 0:
            break
        if depth and draw(st.booleans()):
            diff[f"s{index}"] = draw(document_diffs(depth - 1) | array_diffs(depth - 1))
        else:
            diff[f"u{index}"] = draw(values)
    return diff


def oracle(document: dict[str, Any], diff: dict[str, Any]) -> dict[str, Any]:
    """One change after the other."""
    result = dict(document)
    for name in diff.get("d", {}):
        result.pop(name, None)
    result.update(diff.get("u", {}))
    for section, change in diff.items():
        if section.startswith("s") and section[1:] in result:
            result[section[1:]] = oracle_below(result[section[1:]], change)
    for name, value in diff.get("i", {}).items():
        result.pop(name, None)
        result[name] = value
    return result


def oracle_below(value: Any, diff: dict[str, Any]) -> Any:
    if diff.get("a") is True:
        return oracle_array(value, diff) if isinstance(value, list) else None
    return oracle(value, diff) if isinstance(value, dict) else None


def oracle_array(value: list[Any], diff: dict[str, Any]) -> list[Any]:
    result = list(value)
    if "l" in diff:
        result = (result + [None] * diff["l"])[: diff["l"]]
    for section, change in diff.items():
        if section in ("a", "l"):
            continue
        index = int(section[1:])
        result += [None] * (index + 1 - len(result))
        result[index] = change if section[0] == "u" else oracle_below(result[index], change)
    return result


@given(documents, document_diffs())
@settings(max_examples=250, deadline=None)
def test_a_diff_of_the_server_does_what_the_oracle_does(
    document: dict[str, Any], diff: dict[str, Any]
) -> None:
    once = updated(document, {"$v": 2, "diff": diff})
    assert same(once, oracle(document, diff))
    assert same(updated(once, {"$v": 2, "diff": diff}), once), "applied twice it changed something"


@pytest.mark.parametrize(
    ("before", "diff", "after"),
    [
        pytest.param({"_id": 1, "n": 1}, {"u": {"n": 2}}, {"_id": 1, "n": 2}, id="in place"),
        pytest.param({"_id": 1}, {"u": {"n": 2}}, {"_id": 1, "n": 2}, id="an update of what is gone appends"),
        pytest.param(
            {"_id": 1, "n": 1, "m": 2}, {"i": {"n": 3}}, {"_id": 1, "m": 2, "n": 3}, id="insert moves"
        ),
        pytest.param({"_id": 1, "n": 1}, {"d": {"n": False}}, {"_id": 1}, id="delete"),
        pytest.param({"_id": 1}, {"i": {"b": 1}, "u": {"a": 2}}, {"_id": 1, "a": 2, "b": 1}, id="u before i"),
        pytest.param(
            {"_id": 1, "s": {"x": {"y": 1}}},
            {"ss": {"sx": {"u": {"y": 2}, "i": {"z": 3}}}},
            {"_id": 1, "s": {"x": {"y": 2, "z": 3}}},
            id="two levels down",
        ),
        pytest.param(
            {"_id": 1, "l": [1, 2, {"q": 1}, 4]},
            {"sl": {"a": True, "l": 3, "u0": 9, "s2": {"u": {"q": 5}}}},
            {"_id": 1, "l": [9, 2, {"q": 5}]},
            id="array cut off",
        ),
        pytest.param(
            {"l": [1]}, {"sl": {"a": True, "u3": 4}}, {"l": [1, None, None, 4]}, id="array filled up"
        ),
        pytest.param(
            {"l": [1]}, {"sl": {"a": True, "s2": {"u": {"q": 1}}}}, {"l": [1, None, None]}, id="too short"
        ),
        pytest.param({"l": [1]}, {"sl": {"a": True, "l": 3}}, {"l": [1, None, None]}, id="array grown"),
        pytest.param({"l": 5}, {"sl": {"a": True, "u0": 1}}, {"l": None}, id="no array any longer"),
        pytest.param({"l": [5]}, {"sl": {"u": {"x": 1}}}, {"l": None}, id="no document any longer"),
        pytest.param({"x": 1}, {"sl": {"u": {"x": 1}}}, {"x": 1}, id="nothing there to go into"),
        pytest.param({"": {"a": 1}}, {"s": {"u": {"a": 2}}}, {"": {"a": 2}}, id="an empty name"),
        pytest.param({"a.b": 1, "$c": 2}, {"u": {"a.b": 3}}, {"a.b": 3, "$c": 2}, id="names are no paths"),
        pytest.param({"d": {"diff": 1}}, {"u": {"diff": {"updatedX": 1}}}, None, id="a field called diff"),
    ],
)
def test_the_sections_of_a_diff(before: Any, diff: Any, after: Any) -> None:
    if after is None:
        after = {**before, **diff["u"]}
    assert same(updated(before, {"$v": 2, "diff": diff}), after)


def test_what_a_diff_does_not_touch_keeps_its_bytes() -> None:
    odd = [
        Element(0x0E, b"symbol", struct.pack("<i", 2) + b"s\0"),
        Element(0x06, b"undefined", b""),
        Element(0x0C, b"pointer", struct.pack("<i", 2) + b"c\0" + bytes(12)),
        Element(0x01, b"nan", b"\x01\0\0\0\0\0\xf8\xff"),
        Element(0x09, b"far", struct.pack("<q", 2**62)),
        Element(0x10, b"twice", b"\1\0\0\0"),
        Element(0x10, b"twice", b"\2\0\0\0"),
    ]
    inner = Element(0x03, b"s", join_elements([*odd, *split_elements(bson.encode({"n": 1}))]))
    document = join_elements(
        [*split_elements(bson.encode({"_id": 1})), *odd, inner, *split_elements(bson.encode({"n": 1}))]
    )
    for update in (
        {"$v": 2, "diff": {"u": {"n": 2}, "ss": {"u": {"n": 2}}}},
        {"$v": 2, "diff": {"updatedFields": {"n": 2, "s.n": 2}, "removedFields": [], "truncatedArrays": []}},
        {"$v": 1, "$set": {"n": 2, "s.n": 2}},
    ):
        result = list(split_elements(apply_update(document, bson.encode(update))))
        assert result[1:8] == odd
        assert list(split_elements(result[8].value))[:7] == odd
        assert bson.decode(join_elements(result[-1:])) == {"n": 2}
        assert bson.decode(join_elements(list(split_elements(result[8].value))[-1:])) == {"n": 2}


# --- dotted paths: the embedded server, and servers before 5.0 ---


def dotted(before: Any, after: Any, path: str, updated_: dict[str, Any], removed: list[str]) -> None:
    """What changed, as paths; arrays as a whole unless they only grew."""
    if isinstance(before, dict) and isinstance(after, dict):
        removed += [path + name for name in before if name not in after]
        for name, value in after.items():
            if name not in before:
                updated_[path + name] = value
            elif not same(before[name], value):
                _changed(before[name], value, path + name, updated_, removed)


def _changed(before: Any, after: Any, path: str, updated_: dict[str, Any], removed: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict) and before and after:
        dotted(before, after, path + ".", updated_, removed)
    elif isinstance(before, list) and isinstance(after, list) and len(before) < len(after):
        for index, value in enumerate(after):
            if index >= len(before) or not same(before[index], value):
                updated_[f"{path}.{index}"] = value
    else:
        updated_[path] = after


plain = st.sampled_from(["a", "b", "c", "0", "12"])
plain_values = st.recursive(
    scalars,
    lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(plain, v, max_size=4)),
    max_leaves=10,
)
plain_documents = st.dictionaries(plain, plain_values, max_size=5)


def unordered(value: Any) -> Any:
    """Without the order of fields, which this dialect does not carry; everything else counts."""
    if isinstance(value, dict):
        return {name: unordered(value[name]) for name in sorted(value)}
    return [unordered(item) for item in value] if isinstance(value, list) else value


@given(plain_documents, plain_documents)
@settings(max_examples=250, deadline=None)
def test_dotted_paths_lead_from_one_document_to_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {}
    removed: list[str] = []
    dotted(before, after, "", fields, removed)
    diff = {"updatedFields": fields, "removedFields": removed, "truncatedArrays": []}
    once = updated(before, {"$v": 2, "diff": diff})
    assert same(unordered(once), unordered(after))
    assert same(updated(once, {"$v": 2, "diff": diff}), once)
    old = {"$v": 1, "$set": fields, "$unset": dict.fromkeys(removed, True)}
    assert same(unordered(updated(before, old)), unordered(after))


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        pytest.param(
            {"l": [1, 2, 3]}, {"truncatedArrays": [{"field": "l", "newSize": 1}]}, {"l": [1]}, id="cut"
        ),
        pytest.param(
            {"s": {"l": [1, 2]}, "l": [0]},
            {"truncatedArrays": [{"field": "s.l", "newSize": 0}]},
            {"s": {"l": []}, "l": [0]},
            id="cut below",
        ),
        pytest.param(
            {"a": [1, 2], "l": [1, 2], "z": [1, 2]},
            {"truncatedArrays": [{"field": "l", "newSize": 1}]},
            {"a": [1, 2], "l": [1], "z": [1, 2]},
            id="the others keep their items",
        ),
        pytest.param(
            {"s": [0, {"l": [1, 2]}]},
            {"truncatedArrays": [{"field": "s.1.l", "newSize": 1}]},
            {"s": [0, {"l": [1]}]},
            id="cut through an array",
        ),
        pytest.param(
            {"l": {"0": 1, "1": 2}, "n": 5},
            {"truncatedArrays": [{"field": "l", "newSize": 1}, {"field": "n.l", "newSize": 1}]},
            {"l": {"0": 1, "1": 2}, "n": 5},
            id="no array any longer, to be cut",
        ),
        pytest.param(
            {"s.l": [1, 2]},
            {"truncatedArrays": [{"field": "s.l", "newSize": 1}]},
            {"s.l": [1]},
            id="cut, by a dot",
        ),
        pytest.param(
            {"l": [{"a": 1, "b": 2}, 5]},
            {"removedFields": ["l.0.a", "l.1.b"]},
            {"l": [{"b": 2}, 5]},
            id="unset below",
        ),
        pytest.param(
            {"a": 1}, {"updatedFields": {"n.m.k": 2}}, {"a": 1, "n": {"m": {"k": 2}}}, id="made on the way"
        ),
        pytest.param({"l": [1]}, {"updatedFields": {"l.x": 2}}, {"l": [1, 2]}, id="a name in an array"),
        pytest.param({"l": []}, {"updatedFields": {"l.0.a": 1}}, {"l": [{"a": 1}]}, id="made in an array"),
        pytest.param(
            {"a": 1, "x": 2}, {"updatedFields": {"a": [3]}}, {"a": [3], "x": 2}, id="of another type"
        ),
        pytest.param(
            {"a": 1},
            {"updatedFields": {"a": 2}, "disambiguatedPaths": {}},
            {"a": 2},
            id="a section beside them",
        ),
        pytest.param(
            {"a": {"b": 1}},
            {"removedFields": ["a"], "updatedFields": {"a.c": 2}},
            {"a": {"c": 2}},
            id="removed before it is updated",
        ),
        pytest.param({"l": [1]}, {"updatedFields": {"l.3": 4}}, {"l": [1, None, None, 4]}, id="filled up"),
        pytest.param({"l": {"0": 1}}, {"updatedFields": {"l.3": 4}}, {"l": {"0": 1, "3": 4}}, id="no array"),
        pytest.param(
            {"l": [{"a": 1}]}, {"updatedFields": {"l.0.a": 2}}, {"l": [{"a": 2}]}, id="through an array"
        ),
        pytest.param({"l": [1, 2]}, {"removedFields": ["l.0"]}, {"l": [None, 2]}, id="unset in an array"),
        pytest.param({"x.y": 1}, {"updatedFields": {"x.y": 2}}, {"x.y": 2}, id="a dot in a name"),
        pytest.param(
            {"x.y": 1, "x": {}}, {"updatedFields": {"x.y": 2}}, {"x.y": 1, "x": {"y": 2}}, id="path wins"
        ),
        pytest.param({"d": {"x.y": 1}}, {"removedFields": ["d.x.y"]}, {"d": {}}, id="a dot in a name below"),
        pytest.param({"a": 5}, {"updatedFields": {"a.b": 1}}, {"a": {"b": 1}}, id="a scalar gives way"),
        pytest.param({"a": 1}, {"removedFields": ["b", "a.c"]}, {"a": 1}, id="nothing to remove"),
        pytest.param({"a": 1}, {"updatedFields": {}, "removedFields": []}, {"a": 1}, id="nothing"),
    ],
)
def test_dotted_changes(before: Any, change: Any, after: Any) -> None:
    assert same(updated(before, {"$v": 2, "diff": change}), after)


# --- whole documents ---


@pytest.mark.parametrize(
    ("update", "after"),
    [
        pytest.param({"_id": 1, "b": 2, "a": 1}, {"_id": 1, "b": 2, "a": 1}, id="as it is"),
        pytest.param({"b": 2}, {"_id": 1, "b": 2}, id="without its id"),
        pytest.param({}, {"_id": 1}, id="empty"),
        pytest.param(
            {"_id": 1, "diff": {"u": {"a": 1}}}, {"_id": 1, "diff": {"u": {"a": 1}}}, id="a field diff"
        ),
        pytest.param(
            {"_id": 1, "$set": {"a": 1}}, {"_id": 1, "$set": {"a": 1}}, id="a field like an operator"
        ),
        pytest.param({"_id": 1, "x.y": 1, "": 2}, {"_id": 1, "x.y": 1, "": 2}, id="odd names"),
    ],
)
def test_anything_else_replaces_the_document(update: Any, after: Any) -> None:
    assert same(updated({"_id": 1, "old": True}, update), after)


# --- what we do not know ---


@pytest.mark.parametrize(
    "update",
    [
        {"$inc": {"a": 1}},
        {"$v": 1, "$set": {"a": 1}, "$push": {"b": 1}},
        {"$set": 5},
        {"$v": 2, "diff": {"u": 5}},
        {"$v": 2, "diff": {"sl": {"a": True, "x0": 1}}},
        {"$v": 2, "diff": {"sl": {"a": True, "u": 1}}},
        {"$v": 2, "diff": {"sl": {"a": True, "l": -1}}},
        {"$v": 2, "diff": {"sl": {"a": True, "l": "2"}}},
        {"$v": 2, "diff": {"sl": {"a": True, "l": 2_000_000}}},
        {"$v": 2, "diff": {"sl": {"a": True, "u999999999": 1}}},
        {"$v": 2, "diff": {"sl": {"a": True, "s0": 5}}},
        {"$v": 2, "diff": {"updatedFields": 5}},
        {"$v": 2, "diff": {"removedFields": [5]}},
        {"$v": 2, "diff": {"truncatedArrays": [{"field": "l"}]}},
        {"$v": 2, "diff": {"truncatedArrays": [5]}},
        {"$v": 2, "diff": {"truncatedArrays": [{"newSize": 1}]}},
        {"$v": 2, "diff": {"truncatedArrays": [{"field": 5, "newSize": 1}]}},
        {"$v": 2, "diff": {"removedFields": "l"}},
        {"$unset": 5},
        {"$v": 1, "$set": [5]},
        {"$v": 2, "diff": {"updatedFields": {"l.99999999": 1}}},
    ],
)
def test_an_update_in_an_unknown_dialect_is_corrupt(update: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        updated({"_id": 1, "l": [1], "data": b"abcdefgh"}, update)


@pytest.mark.parametrize("section", ["updatedFields", "removedFields", "truncatedArrays"])
def test_a_section_that_is_none_is_named(section: str) -> None:
    with pytest.raises(Corrupt, match=f"diff of the oplog is malformed: b'{section}'"):
        updated({"_id": 1}, {"$v": 2, "diff": {section: 5}})


@given(
    documents,
    st.recursive(
        scalars,
        lambda v: (
            st.dictionaries(
                st.sampled_from(
                    [
                        "$v",
                        "diff",
                        "u",
                        "d",
                        "i",
                        "sa",
                        "s",
                        "a",
                        "l",
                        "u0",
                        "s0",
                        "updatedFields",
                        "removedFields",
                        "truncatedArrays",
                        "field",
                        "newSize",
                        "$set",
                        "$unset",
                        "a.0",
                    ]
                ),
                v,
                max_size=4,
            )
            | st.lists(v, max_size=2)
        ),
        max_leaves=12,
    ),
)
@settings(max_examples=300, deadline=None)
def test_an_update_is_applied_or_corrupt_and_nothing_else(document: dict[str, Any], noise: Any) -> None:
    for update in ({"$v": 2, "diff": noise}, {"$set": noise}, {"$v": 2, "diff": {"sa": noise}}):
        try:
            result = apply_update(bson.encode(document), bson.encode(update))
        except Corrupt:
            continue
        assert isinstance(bson.decode(result), dict)


@pytest.mark.parametrize(
    ("old", "change", "new"),
    [
        (b"abcdef", {"o": 3, "d": b"XY"}, b"abcXY"),
        (b"abc", {"o": 3, "d": b"def"}, b"abcdef"),
        (b"abc", {"o": 0, "d": b""}, b""),
        (b"abc", {"o": 4, "d": b"x"}, None),
        (b"abc", {"o": -1, "d": b"x"}, None),
        ("text", {"o": 0, "d": b"x"}, None),
    ],
)
def test_a_binary_diff_replaces_what_is_behind_its_offset(
    old: object, change: dict, new: bytes | None
) -> None:
    column = Binary(old, 7) if isinstance(old, bytes) else old
    document = bson.encode({"_id": 1, "data": {"ts": column, "other": Binary(b"o", 7)}})
    update = bson.encode({"$v": 2, "diff": {"sdata": {"b": {"ts": change}}}})
    expected = None if new is None else Binary(new, 7)
    assert bson.decode(apply_update(document, update))["data"] == {"ts": expected, "other": Binary(b"o", 7)}


@pytest.mark.parametrize("change", [{"o": 1}, {"d": b"x"}, {"o": "1", "d": b"x"}, {"o": 1, "d": "x"}, 5])
def test_a_binary_diff_without_offset_or_bytes_is_corrupt(change: object) -> None:
    document = bson.encode({"_id": 1, "ts": Binary(b"abc", 7)})
    with pytest.raises(Corrupt):
        apply_update(document, bson.encode({"$v": 2, "diff": {"b": {"ts": change}}}))
