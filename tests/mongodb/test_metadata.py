"""mongodump's metadata: what a catalogue says comes back with the types and the order it had."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from bson import SON, Binary, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.errors import Corrupt
from shared.mongodb.metadata import encode_metadata, parse_metadata
from shared.mongodb.model import Namespace

ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
ROCKET_CHAT = [
    ID,
    {"v": 2, "key": {"username": 1}, "name": "username_1", "unique": True, "sparse": True},
    {"v": 2, "key": {"rid": 1, "ts": -1, "editedAt": 1}, "name": "rid_1_ts_-1"},
    {"v": 2, "key": {"ts": 1}, "name": "ttl", "expireAfterSeconds": Int64(7_776_000)},
    {"v": 2, "key": {"at": 1}, "name": "ttl_of_a_float", "expireAfterSeconds": 60.0},
    {
        "v": 2,
        "key": {"_fts": "text", "_ftsx": 1},
        "name": "msg_text",
        "weights": {"msg": 1},
        "default_language": "english",
        "language_override": "language",
        "textIndexVersion": 3,
    },
    {
        "v": 2,
        "key": {"t": 1},
        "name": "partial",
        "partialFilterExpression": {"open": True, "at": {"$lt": DatetimeMS(2**60)}},
    },
    {"v": 2, "key": {"location": "2dsphere"}, "name": "geo", "2dsphereIndexVersion": 3},
    {"v": 2, "key": {"rid": "hashed"}, "name": "hashed"},
    {"v": 2, "key": {"$**": 1}, "name": "wild", "wildcardProjection": {"a": 0}, "hidden": True},
    {"v": 2, "key": {"name": 1}, "name": "collated", "collation": {"locale": "de", "strength": 2}},
]
OPTIONS: dict[str, Any] = {
    "capped": True,
    "size": Int64(1_048_576),
    "max": 500,
    "validator": {"$jsonSchema": {"required": ["z", "a"], "properties": {"z": {"bsonType": "long"}}}},
    "pipeline": [{"$match": {"u": ObjectId("0123456789abcdef01234567"), "r": Regex("^a", "i")}}],
    "viewed": [{"$match": {"msg": {"$regex": "^a", "$options": "i"}, "t": {"$type": "long"}}}],
    "odd": [Binary(b"x", 5), Decimal128("1.10"), Timestamp(1, 2), MaxKey(), float("inf"), None, 1.0],
}


def _same(left: object, right: object) -> bool:
    return bson.encode({"x": left}) == bson.encode({"x": right})


def test_options_and_indexes_come_back_with_their_types_and_their_order() -> None:
    namespace = Namespace("rocketchat", "m", "collection", "ab" * 16, OPTIONS, tuple(ROCKET_CHAT))
    options, indexes = parse_metadata(encode_metadata(namespace))
    assert _same(options, OPTIONS)
    assert _same(list(indexes), ROCKET_CHAT)
    assert list(indexes[2]["key"]) == ["rid", "ts", "editedAt"]  # type: ignore[call-overload]


def test_the_text_is_what_mongorestore_reads() -> None:
    told = json.loads(encode_metadata(Namespace("db", "größe", "collection", "ab" * 16, {}, (ID,))))
    assert list(told) == ["indexes", "uuid", "collectionName", "type"]
    assert told["uuid"] == "ab" * 16
    assert told["collectionName"] == "größe"
    assert told["indexes"][0]["v"] == {"$numberInt": "2"}


def test_a_view_has_an_empty_list_of_indexes_and_no_uuid() -> None:
    view = Namespace("db", "v", "view", options={"viewOn": "m", "pipeline": []})
    told = json.loads(encode_metadata(view))
    assert told["indexes"] == []
    assert told["type"] == "view"
    assert "uuid" not in told
    assert parse_metadata(encode_metadata(view)) == ({"viewOn": "m", "pipeline": []}, ())


def test_no_metadata_is_no_options_and_no_indexes() -> None:
    assert parse_metadata("") == ({}, ())
    assert parse_metadata("{}") == ({}, ())
    assert parse_metadata('{"indexes": null, "options": null}') == ({}, ())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        '"text"',
        "null",
        '{"indexes": 5}',
        '{"indexes": [5]}',
        '{"indexes": {"a": 1}}',
        '{"indexes": [{"key": {"a": 1}}]}',
        '{"indexes": [{"key": "a", "name": "a"}]}',
        '{"indexes": [{"key": {"a": 1}, "name": 5}]}',
        '{"options": []}',
        '{"options": [1]}',
        '{"options": {"size": {"$numberLong": "many"}}}',
        '{"options": {"u": {"$oid": "short"}}}',
        '{"options": {"d": {"$date": {"$numberLong": "soon"}}}}',
        '{"options": {"d": {"$numberDecimal": "much"}}}',
        '{"options": {"b": {"$binary": {"base64": "???", "subType": "zz"}}}}',
        "[" * 100_000,
    ],
)
def test_malformed_metadata_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        parse_metadata(text)


@given(
    st.text(max_size=40)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps)
)
@settings(max_examples=100, deadline=None)
def test_noise_is_corrupt_or_metadata(text: str) -> None:
    try:
        options, indexes = parse_metadata(text)
    except Corrupt:
        return
    assert isinstance(options, dict)
    assert isinstance(indexes, tuple)


def test_keys_whose_order_matters_keep_it() -> None:
    ordered = SON([("z", 1), ("a", -1), ("m", "2d")])
    namespace = Namespace("db", "c", indexes=({"v": 2, "key": ordered, "name": "zam"},))
    (index,) = parse_metadata(encode_metadata(namespace))[1]
    assert list(index["key"].items()) == list(ordered.items())  # type: ignore[attr-defined]
