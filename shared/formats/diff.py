"""Applying the oplog's updates to raw documents, without decoding what they do not touch.

Three dialects: MongoDB's `{$v: 2, diff: {d, u, i, s<field>}}` (src/mongo/db/update/document_diff_applier),
the same information as dotted paths (`updatedFields`, `removedFields`, `truncatedArrays`), which the embedded
server writes, and `$set`/`$unset` of servers before 5.0. Anything else is a whole new document.
"""

from __future__ import annotations

import struct

from shared.errors import Corrupt
from shared.formats.elements import ARRAY, DOCUMENT, STRING, Element, find, join, split

_NULL = 0x0A


def apply_update(document: bytes, update: bytes) -> bytes:
    """The document after the oplog's update `o`. Raises Corrupt for a dialect we do not know."""
    diff = find(update, b"diff")
    if diff is not None and find(update, b"$v") is not None:
        names = {element.name for element in split(diff.value)}
        if names & {b"updatedFields", b"removedFields", b"truncatedArrays"}:
            return _paths(document, diff.value)
        return _diff(document, diff.value)
    operators = [e for e in split(update) if e.name.startswith(b"$") and e.name != b"$v"]
    if not operators:
        identity = find(document, b"_id")
        fields = [e for e in split(update) if e.name not in (b"$v", b"_id")]
        own = find(update, b"_id") or identity
        return join([own, *fields] if own else fields)
    for operator in operators:
        for field in split(operator.value):
            path = field.name.split(b".")
            if operator.name == b"$set":
                document = _set(document, path, field, array=False)
            elif operator.name == b"$unset":
                document = _unset(document, path)
            else:
                raise Corrupt("an update of the oplog is in a dialect we do not know", value=operator.name)
    return document


def _diff(document: bytes, diff: bytes) -> bytes:
    """MongoDB's own form: sections apply to this level, `s<field>` to the one below."""
    fields = {e.name: e for e in split(document)}
    for section in split(diff):
        if section.name == b"d":
            for gone in split(section.value):
                fields.pop(gone.name, None)
        elif section.name == b"u":
            for new in split(section.value):
                fields[new.name] = new  # in its place
        elif section.name == b"i":
            for new in split(section.value):
                fields.pop(new.name, None)
                fields[new.name] = new  # at the end
        elif section.name.startswith(b"s"):
            name = section.name[1:]
            if (below := fields.get(name)) is not None and below.type in (DOCUMENT, ARRAY):
                fields[name] = Element(below.type, name, _below(below, section.value))
        else:
            raise Corrupt("a diff of the oplog is in a dialect we do not know", value=section.name)
    return join(fields.values())


def _below(element: Element, diff: bytes) -> bytes:
    if find(diff, b"a") is None:
        return _diff(element.value, diff)
    items = list(split(element.value))
    for section in split(diff):
        if section.name == b"a":
            continue
        if section.name == b"l":
            items = _resized(items, struct.unpack("<i", section.value)[0])
            continue
        kind, index = section.name[:1], int(section.name[1:])
        items = _resized(items, max(len(items), index + 1))
        if kind == b"u":
            items[index] = section
        elif kind == b"s":
            items[index] = Element(items[index].type, b"", _below(items[index], section.value))
        else:
            raise Corrupt("a diff of the oplog is in a dialect we do not know", value=section.name)
    return _array(items)


def _paths(document: bytes, diff: bytes) -> bytes:
    """Dotted paths, in the order removed, truncated, updated, as change streams describe an update."""
    removed, truncated, updated = (
        find(diff, n) for n in (b"removedFields", b"truncatedArrays", b"updatedFields")
    )
    for entry in split(removed.value) if removed else ():
        if entry.type == STRING:
            document = _unset(document, entry.value[4:-1].split(b"."))
    for entry in split(truncated.value) if truncated else ():
        path, size = find(entry.value, b"field"), find(entry.value, b"newSize")
        if path is None or size is None:
            raise Corrupt("a diff of the oplog is malformed", value="truncatedArrays")
        length = int.from_bytes(size.value[:4], "little")
        document = _truncate(document, path.value[4:-1].split(b"."), length)
    for field in split(updated.value) if updated else ():
        document = _set(document, field.name.split(b"."), field, array=False)
    return document


def _set(document: bytes, path: list[bytes], new: Element, *, array: bool) -> bytes:
    items = list(split(document))
    path = _literal(items, path)
    name, rest = path[0], path[1:]
    place = next((i for i, e in enumerate(items) if e.name == name), None)
    if rest:
        below = items[place] if place is not None else Element(DOCUMENT, name, join([]))
        if below.type not in (DOCUMENT, ARRAY):
            below = Element(DOCUMENT, name, join([]))
        new = Element(below.type, name, _set(below.value, rest, new, array=below.type == ARRAY))
    if place is not None:
        items[place] = Element(new.type, name, new.value)
    else:
        if array and name.isdigit():
            items = _resized(items, int(name))
        items.append(Element(new.type, name, new.value))
    return _array(items) if array else join(items)


def _unset(document: bytes, path: list[bytes], *, array: bool = False) -> bytes:
    items = list(split(document))
    path = _literal(items, path)
    for place, item in enumerate(items):
        if item.name != path[0]:
            continue
        if len(path) > 1 and item.type in (DOCUMENT, ARRAY):
            value = _unset(item.value, path[1:], array=item.type == ARRAY)
            items[place] = Element(item.type, item.name, value)
        elif len(path) == 1 and array:
            items[place] = Element(_NULL, item.name, b"")  # $unset in an array leaves null
        elif len(path) == 1:
            del items[place]
        break
    return join(items)


def _truncate(document: bytes, path: list[bytes], length: int) -> bytes:
    items = list(split(document))
    path = _literal(items, path)
    for place, item in enumerate(items):
        if item.name == path[0] and item.type in (DOCUMENT, ARRAY):
            value = (
                _truncate(item.value, path[1:], length)
                if len(path) > 1
                else _array(list(split(item.value))[:length])
            )
            items[place] = Element(item.type, item.name, value)
    return join(items)


def _literal(items: list[Element], path: list[bytes]) -> list[bytes]:
    """A dotted path may be one field's name: if no field begins the path but one is all of it, it is."""
    names = {item.name for item in items}
    whole = b".".join(path)
    return [whole] if len(path) > 1 and path[0] not in names and whole in names else path


def _resized(items: list[Element], length: int) -> list[Element]:
    return items[:length] + [Element(_NULL, b"", b"")] * (length - len(items))


def _array(items: list[Element]) -> bytes:
    return join(Element(e.type, str(i).encode(), e.value) for i, e in enumerate(items))
