"""Applying the oplog's updates to raw documents, without decoding what they do not touch.

Three dialects: MongoDB's `{$v: 2, diff: {d, u, i, s<field>}}`, as src/mongo/db/update/
document_diff_applier.cpp applies it; the same information as dotted paths, which the embedded server
writes (`shared.formats.dotted`); and `$set`/`$unset` of servers before 5.0. Anything else is a whole new
document.

A dump is fuzzy, so an update may meet a document from its own future. Where the two do not fit together a
later entry is going to overwrite the place: it becomes null, as in the server, and nothing fails.
"""

from __future__ import annotations

import struct

from shared.formats import dotted
from shared.formats.elements import (
    ARRAY,
    DOCUMENT,
    INT32,
    NULL,
    Element,
    find_element,
    join_elements,
    renumber_items,
    resize_array,
    split_elements,
)
from shared.kernel.errors import Corrupt

_DIFF, _SUB = b"diff", b"s"
_INT32 = struct.Struct("<i")


def apply_update(document: bytes, update: bytes) -> bytes:
    """The document after the oplog's update `o`. Raises Corrupt for a dialect we do not know."""
    fields = list(split_elements(update))
    versioned = bool(fields) and fields[0].name == b"$v"
    changes = fields[1:] if versioned else fields
    if versioned and changes and changes[0].name == _DIFF:
        diff = changes[0].value
        return dotted.apply_paths(document, diff) if dotted.is_dotted(diff) else _apply_diff(document, diff)
    # Only a document's first field tells: names that begin with `$` may stand behind it.
    if changes and changes[0].name.startswith(b"$"):
        return dotted.apply_operators(document, changes)
    return _replace_document(document, changes)


def _replace_document(document: bytes, fields: list[Element]) -> bytes:
    if any(field.name == b"_id" for field in fields):
        return join_elements(fields)
    identity = find_element(document, b"_id")
    return join_elements([identity, *fields] if identity else fields)


def _apply_diff(document: bytes, diff: bytes) -> bytes:
    """Sections apply to this level, `s<field>` to the one below; each field is named once."""
    deleted: set[bytes] = set()
    updated: dict[bytes, Element] = {}
    inserted: dict[bytes, Element] = {}
    below: dict[bytes, bytes] = {}
    for section in split_elements(diff):
        _require_document(section)
        if section.name == b"d":
            deleted |= {field.name for field in split_elements(section.value)}
        elif section.name == b"u":
            updated |= {field.name: field for field in split_elements(section.value)}
        elif section.name == b"i":
            inserted |= {field.name: field for field in split_elements(section.value)}
        elif section.name.startswith(_SUB):
            below[section.name[1:]] = section.value
        else:
            raise _unknown_section(section)
    fields: list[Element] = []
    for field in split_elements(document):
        if field.name in below:
            fields.append(_apply_sub_diff(field, below[field.name]))
        elif field.name not in deleted and field.name not in inserted:
            fields.append(updated.get(field.name, field))
    present = {field.name for field in fields}
    new = [field for name, field in updated.items() if name not in present]
    return join_elements([*fields, *new, *inserted.values()])


def _apply_sub_diff(element: Element, diff: bytes) -> Element:
    of_array = find_element(diff, b"a") is not None
    if element.type != (ARRAY if of_array else DOCUMENT):
        return Element(NULL, element.name, b"")
    value = _apply_array_diff(element.value, diff) if of_array else _apply_diff(element.value, diff)
    return Element(element.type, element.name, value)


def _apply_array_diff(array: bytes, diff: bytes) -> bytes:
    items = list(split_elements(array))
    for section in split_elements(diff):
        kind = section.name[:1]
        if section.name == b"a":
            continue
        if section.name == b"l":
            if section.type != INT32:
                raise _unknown_section(section)
            items = resize_array(items, _INT32.unpack(section.value)[0])
            continue
        if kind not in (b"u", _SUB) or not section.name[1:].isdigit():
            raise _unknown_section(section)
        index = int(section.name[1:])
        items = resize_array(items, max(len(items), index + 1))
        if kind == _SUB:
            _require_document(section)
            items[index] = _apply_sub_diff(items[index], section.value)
        else:
            items[index] = section
    return renumber_items(items)


def _require_document(section: Element) -> None:
    if section.type != DOCUMENT:
        raise _unknown_section(section)


def _unknown_section(section: Element) -> Corrupt:
    return Corrupt("a diff of the oplog is in a dialect we do not know", value=section.name)
