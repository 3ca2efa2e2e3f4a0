"""Raw BSON, one level deep: a document as its elements, each with its type and the bytes of its value.

So a document can be taken apart and put together again without decoding what is not looked at: every
type, every odd number and every duplicate name survives. Source: https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.kernel.errors import Corrupt

DOCUMENT, ARRAY, STRING, BOOLEAN, TIMESTAMP = 0x03, 0x04, 0x02, 0x08, 0x11
NULL, INT32, BINARY = 0x0A, 0x10, 0x05
DOUBLE, INT64, DECIMAL = 0x01, 0x12, 0x13
MAX_ARRAY = 1_500_000  # how far a server fills an array up: src/mongo/db/update/update_array_node.cpp

_LENGTH = struct.Struct("<i")
_FIXED = {
    0x01: 8,  # double
    0x06: 0,  # undefined
    0x07: 12,  # ObjectId
    0x08: 1,  # boolean
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal128
    0x7F: 0,  # max key
    0xFF: 0,  # min key
}
# What the length prefix leaves out: for texts it counts the bytes behind itself, binary has a subtype too.
_PREFIXED = {0x02: 4, 0x0D: 4, 0x0E: 4, 0x05: 5, 0x0C: 4 + 12}
_WHOLE = {0x03: 0, 0x04: 0, 0x0F: 0}  # documents, arrays and code with scope count their prefix


class Element(NamedTuple):
    """One element; `name` is the field's, as bytes without the zero."""

    type: int
    name: bytes
    value: bytes


def split_elements(document: bytes) -> Iterator[Element]:
    """The elements in their order. Raises Corrupt."""
    end = len(document) - 1
    if len(document) < 5 or _LENGTH.unpack_from(document)[0] != len(document) or document[end]:
        raise Corrupt("not a BSON document", value=f"{len(document)} bytes")
    position = 4
    while position < end:
        kind = document[position]
        name_end = document.find(0, position + 1, end)
        if name_end < 0:
            raise Corrupt("a BSON element has no name", value=f"at byte {position}")
        start = name_end + 1
        following = start + _value_size(document, kind, start, end)
        if following > end:
            raise Corrupt("a BSON element is longer than its document", value=f"at byte {position}")
        yield Element(kind, document[position + 1 : name_end], document[start:following])
        position = following


def join_elements(elements: Iterable[Element]) -> bytes:
    """The document of these elements: the inverse of `split_elements`."""
    body = b"".join(bytes([e.type]) + e.name + b"\0" + e.value for e in elements)
    return _LENGTH.pack(len(body) + 5) + body + b"\0"


def find_element(document: bytes, name: bytes) -> Element | None:
    """The first element of that name. Raises Corrupt."""
    return next((e for e in split_elements(document) if e.name == name), None)


def locate_value(
    document: bytes | bytearray, *path: bytes, size: int | None = None
) -> tuple[int, int] | None:
    """Where the value at that path of names begins and ends; None if there is none. Nothing is copied.

    The document takes the first `size` bytes, all by default. Raises Corrupt for what is no BSON on the way
    there.
    """
    start, end = 0, len(document) if size is None else size
    for name in path:
        position, last = start + 4, end - 1
        while position < last:
            kind = document[position]
            name_end = document.find(0, position + 1, last)
            if name_end < 0:
                raise Corrupt("a BSON element has no name", value=f"at byte {position}")
            following = name_end + 1 + _value_size(document, kind, name_end + 1, last)
            if following > last:
                raise Corrupt("a BSON element is longer than its document", value=f"at byte {position}")
            if document[position + 1 : name_end] == name:
                start, end = name_end + 1, following
                break
            position = following
        else:
            return None
    return start, end


def string_value(element: Element | None) -> str:
    """The value of a string element; empty if there is none."""
    if element is None or element.type != STRING:
        return ""
    return element.value[4:-1].decode("utf-8", "replace")


def resize_array(items: list[Element], length: int) -> list[Element]:
    """An array's items cut off or filled up with null. Raises Corrupt for a length no server would make."""
    if not 0 <= length <= max(MAX_ARRAY, len(items)):
        raise Corrupt("an array of the oplog has an impossible length", value=length)
    # The names do not matter: `renumber_items` gives each its position.
    return items[:length] + [Element(NULL, b"", b"")] * (length - len(items))


def renumber_items(items: Iterable[Element]) -> bytes:
    """An array's document: the items under their positions as names."""
    return join_elements(Element(e.type, str(i).encode(), e.value) for i, e in enumerate(items))


def _value_size(document: bytes | bytearray, kind: int, start: int, end: int) -> int:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == 0x0B:  # a regular expression: two texts, each ended by a zero
        middle = document.find(0, start, end)
        last = document.find(0, middle + 1, end) if middle >= 0 else -1
        if last < 0:
            raise Corrupt("a BSON regular expression has no end", value=f"at byte {start}")
        return last + 1 - start
    if start + 4 > end or (kind not in _PREFIXED and kind not in _WHOLE):
        raise Corrupt("a BSON element is of an unknown type or cut short", value=f"type {kind:#x}")
    size: int = _LENGTH.unpack_from(document, start)[0]
    if size < 0 or (kind in _WHOLE and size < 5):
        raise Corrupt("a BSON element has an impossible length", value=size)
    return size + (_PREFIXED.get(kind) or _WHOLE[kind])
