"""What breaks careless dumps: every BSON type, ids of every type, dots in keys, a document near 16 MB."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from local.rocketchat.dice import Dice, bson_date
from local.rocketchat.messages import Messenger
from local.rocketchat.text import Speaker
from local.rocketchat.vocabulary import ODD_TEXTS
from local.rocketchat.world import DAY, SECOND, TTL_MARGIN, ChatWorld, Document

LARGEST_BYTES = 16_777_216
"""What a document may have at most; its entry in the oplog is longer."""

_ID = ObjectId(b"\x00\xff" * 6)


def every_type() -> Iterator[bytes]:
    """`odd_types`: raw documents, one for each kind of value, deprecated ones included."""
    for kind, value in _typed_values().items():
        yield bson.encode({"_id": kind, "kind": kind.partition(" ")[0], "value": value})
    for kind, payload in _RAW.items():
        yield _raw_element(kind, payload)


def _typed_values() -> dict[str, Any]:
    return _number_values() | _texts_and_containers() | _binary_values() | _other_values()


def _number_values() -> dict[str, Any]:
    doubles = (
        0.0,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        2.0**53,
        0.1,
        float("inf"),
        float("-inf"),
        float("nan"),
    )
    decimals = ("1.5", "1.500", "-0", "NaN", "Infinity", "-Infinity", "1E-6176", "9.999E+6144", "0E+3")
    return {
        **{f"double {number}": value for number, value in enumerate(doubles)},
        **{f"decimal {text}": Decimal128(text) for text in decimals},
        "int32 lowest": -(2**31),
        "int32 highest": 2**31 - 1,
        "int64 small": Int64(5),
        "int64 lowest": Int64(-(2**63)),
        "int64 highest": Int64(2**63 - 1),
    }


def _texts_and_containers() -> dict[str, Any]:
    deep: Document = {}
    # The server refuses more than 100: https://www.mongodb.com/docs/manual/reference/limits/
    for level in range(80):
        deep = {"level": level, "in": [deep] if level % 2 else deep}
    return {
        "string empty": "",
        "string with NUL": "a\x00b",
        "string long": "ä" * 20_000,
        **{f"string {number}": text for number, text in enumerate(ODD_TEXTS)},
        "document empty": {},
        "document deep": deep,
        # What a query, a path or JavaScript would take for something else.
        "document keys": {
            "": 1,
            "a.b": 2,
            "$set": 3,
            "0": 4,
            "ключ": 5,
            "__proto__": 6,
            "k" * 2000: 7,
            " ": 8,
        },
        "document wide": {f"field{number}": number for number in range(3000)},
        "array empty": [],
        "array mixed": [1, "a", None, [], {}, [[[]]], 2.5, True],
    }


def _binary_values() -> dict[str, Any]:
    # Subtype 2 has a second length within, which a copy by hand easily counts twice.
    subtypes = (0, 1, 2, 3, 4, 5, 7, 8, 9, 128, 255)
    return {f"binary {subtype}": Binary(bytes(range(16)), subtype) for subtype in subtypes} | {
        "binary empty": Binary(b""),
        "binary uuid": Binary.from_uuid(uuid.UUID(int=2**127 + 5)),
    }


def _other_values() -> dict[str, Any]:
    # Several of these are no Python datetime: who decodes them instead of copying bytes fails.
    dates = {"epoch": 0, "1969": -1, "year one": -62_135_596_800_000, "year 10000": 253_402_300_800_000}
    dates |= {"lowest": -(2**63), "highest": 2**63 - 1}
    return {
        **{f"date {name}": bson_date(milliseconds) for name, milliseconds in dates.items()},
        "objectid": _ID,
        "objectid zero": ObjectId(bytes(12)),
        "bool true": True,
        "bool false": False,
        "null": None,
        "regex plain": Regex("^a.*b$"),
        "regex flags": Regex("grün|ü+", "imsx"),
        "code": Code("function () { return 'ü' }"),
        "code scoped": Code("function () { return x }", {"x": 1, "deep": {"y": [1]}}),
        # At the top level a server would put its own time in place of the zero.
        "timestamp zero": {"in": Timestamp(0, 0)},
        "timestamp highest": Timestamp(2**32 - 1, 2**32 - 1),
        "minkey": MinKey(),
        "maxkey": MaxKey(),
        "dbref": DBRef("users", "rocket.cat", "rocketchat", extra=1),
    }


def _bson_string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<i", len(raw)) + raw


# Types and bit patterns that the driver does not write: type byte and bytes of the value.
_RAW: dict[str, tuple[int, bytes]] = {
    "undefined": (0x06, b""),
    "dbpointer": (0x0C, _bson_string("rocketchat.users") + _ID.binary),
    "symbol": (0x0E, _bson_string("sÿmbol")),
    "double nan payload": (0x01, struct.pack("<Q", 0xFFF8_0000_DEAD_BEEF)),
}


def _raw_element(kind: str, payload: tuple[int, bytes]) -> bytes:
    type_byte, value = payload
    head = bson.encode({"_id": kind, "kind": kind})[4:-1]
    body = head + bytes([type_byte]) + b"value\0" + value + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def every_id(seed: int) -> Iterator[Document]:
    """`odd_ids`: ids of all types an id may have, none equal to another by the server's comparison."""
    dice = Dice(seed, "odd_ids")
    # Arrays, regular expressions and undefined are missing: no server takes them as an `_id`.
    fixed: tuple[Any, ...] = (
        MinKey(),
        MaxKey(),
        None,
        True,
        False,
        "",
        "a",
        "A",
        "ä",
        ".",
        "$",
        "a\x00b",
        {},
        {"a": 1, "b": [1]},
    )
    numbers = (0, -1, 2**31, -(2**40), 0.5, float("inf"), float("-inf"), float("nan"), Decimal128("1.1"))
    others = (Binary(b""), Binary(b"\x00", 5), bson_date(0), bson_date(-1), Timestamp(1, 1), _ID)
    for value in (*fixed, *numbers, *others):
        yield {"_id": value, "kind": "fixed"}
    for number in range(10, 130):
        varied = (number, Int64(2**33 + number), number + 0.25, dice.make_id(), ObjectId(dice.bytes(12)))
        more = (
            Binary(dice.bytes(16), 4),
            bson_date(number * DAY),
            {"n": number, "text": dice.make_object_id()},
        )
        yield {"_id": (*varied, *more)[number % 8], "kind": "many", "number": number}


def plain_rows(seed: int, purpose: str, count: int) -> Iterator[Document]:
    """Unremarkable documents for collections whose options are what matters."""
    dice, speaker = Dice(seed, purpose), Speaker(seed, purpose)
    for number in range(count):
        yield {"_id": number, "name": speaker.words(2), "at": bson_date(number * DAY), "value": dice.random()}


def federation_events(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_federation_events` without end: Matrix events, with dots and colons in their keys.

    The shape is that of https://spec.matrix.org/latest/server-server-api/#pdus.
    """
    dice, speaker = Dice(seed, "federation_events"), Speaker(seed, "federation_events")
    before = ["$" + dice.make_object_id() + dice.make_object_id()]
    depth = 0
    while True:
        event_id, depth = "$" + dice.make_object_id() + dice.make_object_id(), depth + 1
        at = world.now - 300 * DAY + depth * 60 * SECOND
        content = {
            "msgtype": "m.text",
            "body": speaker.sentence(),
            "m.relates_to": {"m.in_reply_to": {"event_id": before[0]}, "rel_type": "m.thread"},
            "m.mentions": {},
        }
        event = {
            "type": "m.room.message",
            "sender": f"@{dice.pick_one(world.people).username}:chat.example",
            "room_id": "!lobby:matrix.example",
            "depth": depth,
            "prev_events": before,
            "content": content,
            "hashes": {"sha256": dice.make_object_id() + dice.make_object_id()},
            "signatures": {"chat.example": {"ed25519:a.1": dice.make_object_id() * 3}},
            "unsigned": {"age_ts": float(at)},
        }
        yield {
            "_id": event_id,
            "roomId": "!lobby:matrix.example",
            "event": event,
            "origin": "matrix.example",
            "origin_server_ts": float(at),
            "nextEventId": "",
            "createdAt": bson_date(at),
        }
        before = [event_id]


def trash_documents(spare: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat__trash` without end: deleted messages; `spare` is a world whose counts nobody reads."""
    messenger = Messenger(spare, seed, "trash")
    at = spare.now - 20 * DAY
    while True:
        for document in messenger.burst(at):
            yield document | {"_deletedAt": bson_date(at + TTL_MARGIN), "__collection__": "message"}
        at += SECOND


def raw_imports(world: ChatWorld, seed: int, *, largest: bool) -> Iterator[bytes]:
    """`rocketchat_raw_imports`: a small one, and one of exactly `LARGEST_BYTES`."""
    speaker = Speaker(seed, "raw_imports")
    document: Document = {
        "_id": speaker.dice.make_object_id(),
        "import": speaker.dice.make_object_id(),
        "importer": "csv",
        "type": "channels",
        "data": {"channels": [{"id": number, "name": speaker.slug()} for number in range(20)]},
        "_updatedAt": bson_date(world.start),
    }
    yield bson.encode(document)
    if largest:
        yield _grow_document(document | {"_id": speaker.dice.make_object_id(), "type": "messages"}, speaker)


def _grow_document(document: Document, speaker: Speaker) -> bytes:
    texts: list[Document] = []
    document = document | {"data": {"messages": texts}, "rest": ""}
    remaining = LARGEST_BYTES - len(bson.encode(document))
    while remaining > 400_000:
        entry = {"id": len(texts), "text": speaker.words(20_000)}
        texts.append(entry)
        remaining -= len(bson.encode(entry)) + 3 + len(str(len(texts) - 1)) - 1
    remaining = LARGEST_BYTES - len(bson.encode(document))
    return bson.encode(document | {"rest": "=" * remaining})
