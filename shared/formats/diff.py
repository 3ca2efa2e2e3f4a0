"""Applying the oplog's updates to raw documents, without decoding what they do not touch.

Three dialects: MongoDB's `{$v: 2, diff: {d, u, i, b, s<field>}}`, as src/mongo/db/update/
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
    BINARY,
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

_DIFF, _SUB, _BINARY = b"diff", b"s", b"b"
_BINARY_HEAD = 5  # int32 length and subtype
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
    sections: dict[bytes, dict[bytes, Element]] = {name: {} for name in (b"d", b"u", b"i", _BINARY, _SUB)}
    for section in split_elements(diff):
        _require_document(section)
        if section.name in (b"d", b"u", b"i", _BINARY):
            sections[section.name] |= {field.name: field for field in split_elements(section.value)}
        elif section.name.startswith(_SUB):
            sections[_SUB][section.name[1:]] = section
        else:
            raise _unknown_section(section)
    updated, inserted = sections[b"u"], sections[b"i"]
    fields: list[Element] = []
    for field in split_elements(document):
        if field.name in sections[_BINARY]:
            fields.append(_apply_binary_diff(field, sections[_BINARY][field.name]))
        elif field.name in sections[_SUB]:
            fields.append(_apply_sub_diff(field, sections[_SUB][field.name].value))
        elif field.name not in sections[b"d"] and field.name not in inserted:
            fields.append(updated.get(field.name, field))
    present = {field.name for field in fields}
    # An update of a field that the dump already shows as removed: the entry that removes it comes again
    # later.
    new = [field for name, field in updated.items() if name not in present]
    return join_elements([*fields, *new, *inserted.values()])


def _apply_binary_diff(element: Element, change: Element) -> Element:
    """`{o: offset, d: bytes}` replaces what is behind the offset: time-series columns from 8.0 on.

    Source: src/mongo/db/timeseries/timeseries_write_util.cpp.
    """
    _require_document(change)
    offset, data = find_element(change.value, b"o"), find_element(change.value, b"d")
    if offset is None or offset.type != INT32 or data is None or data.type != BINARY:
        raise _unknown_section(change)
    position = _INT32.unpack(offset.value)[0]
    if element.type != BINARY or not 0 <= position <= len(element.value) - _BINARY_HEAD:
        return Element(NULL, element.name, b"")
    content = element.value[_BINARY_HEAD : _BINARY_HEAD + position] + data.value[_BINARY_HEAD:]
    head = _INT32.pack(len(content)) + element.value[4:_BINARY_HEAD]  # its length and subtype
    return Element(BINARY, element.name, head + content)


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
        # Bounded there: an index of two thousand million would be a null for each place before it.
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
