"""Updates by dotted paths: what the embedded server writes into its oplog, and servers before 5.0 did.

The embedded server says `{$v: 2, diff: {updatedFields, removedFields, truncatedArrays}}`, as change streams
do, in the order of its own comparison: where one update adds several fields to a document, their order in the
document is not in the oplog.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.formats.elements import (
    ARRAY,
    DOCUMENT,
    NULL,
    STRING,
    Element,
    find_element,
    join_elements,
    renumber_items,
    resize_array,
    split_elements,
)
from shared.kernel.errors import Corrupt

_SECTIONS = (b"updatedFields", b"removedFields", b"truncatedArrays")


def is_dotted(diff: bytes) -> bool:
    """Whether a diff is in this dialect. Raises Corrupt."""
    return any(element.name in _SECTIONS for element in split_elements(diff))


def apply_operators(document: bytes, operators: Iterable[Element]) -> bytes:
    """The document after `$set` and `$unset`. Raises Corrupt for any other operator."""
    for operator in operators:
        if operator.name not in (b"$set", b"$unset") or operator.type != DOCUMENT:
            raise Corrupt("an update of the oplog is in a dialect we do not know", value=operator.name)
        for field in split_elements(operator.value):
            path = field.name.split(b".")
            document = (
                _set_path(document, path, field) if operator.name == b"$set" else _unset_path(document, path)
            )
    return document


def apply_paths(document: bytes, diff: bytes) -> bytes:
    """In the order removed, truncated, updated. Raises Corrupt."""
    updated, removed, truncated = (_read_section(diff, name) for name in _SECTIONS)
    for entry in removed:
        document = _unset_path(document, _parse_path(entry))
    for entry in truncated:
        size = find_element(entry.value, b"newSize") if entry.type == DOCUMENT else None
        if size is None:
            raise Corrupt("a diff of the oplog is malformed", value="truncatedArrays")
        length = int.from_bytes(size.value[:4], "little")
        document = _truncate_path(document, _parse_path(find_element(entry.value, b"field")), length)
    for field in updated:
        document = _set_path(document, field.name.split(b"."), field)
    return document


def _read_section(diff: bytes, name: bytes) -> list[Element]:
    section = find_element(diff, name)
    if section is not None and section.type not in (DOCUMENT, ARRAY):
        raise Corrupt("a diff of the oplog is malformed", value=name)
    return list(split_elements(section.value)) if section else []


def _parse_path(entry: Element | None) -> list[bytes]:
    if entry is None or entry.type != STRING:
        raise Corrupt("a diff of the oplog is malformed", value="a path is no text")
    return entry.value[4:-1].split(b".")


def _set_path(document: bytes, path: list[bytes], new: Element, *, array: bool = False) -> bytes:
    items = list(split_elements(document))
    path = _resolve_literal(items, path)
    name, rest = path[0], path[1:]
    place = next((i for i, e in enumerate(items) if e.name == name), None)
    if rest:
        below = items[place] if place is not None else Element(DOCUMENT, name, join_elements([]))
        # What lies there is from the document's own future, and a later entry writes it again.
        if below.type not in (DOCUMENT, ARRAY):
            below = Element(DOCUMENT, name, join_elements([]))
        new = Element(below.type, name, _set_path(below.value, rest, new, array=below.type == ARRAY))
    if place is not None:
        items[place] = Element(new.type, name, new.value)
    else:
        if array and name.isdigit():
            items = resize_array(items, int(name))
        items.append(Element(new.type, name, new.value))
    return renumber_items(items) if array else join_elements(items)


def _unset_path(document: bytes, path: list[bytes], *, array: bool = False) -> bytes:
    items = list(split_elements(document))
    path = _resolve_literal(items, path)
    for place, item in enumerate(items):
        if item.name != path[0]:
            continue
        if len(path) > 1 and item.type in (DOCUMENT, ARRAY):
            value = _unset_path(item.value, path[1:], array=item.type == ARRAY)
            items[place] = Element(item.type, item.name, value)
        elif len(path) == 1 and array:
            items[place] = Element(NULL, item.name, b"")  # $unset in an array leaves null
        elif len(path) == 1:
            del items[place]
        break
    return join_elements(items)


def _truncate_path(document: bytes, path: list[bytes], length: int) -> bytes:
    items = list(split_elements(document))
    path = _resolve_literal(items, path)
    for place, item in enumerate(items):
        if item.name != path[0]:
            continue
        if len(path) > 1 and item.type in (DOCUMENT, ARRAY):
            items[place] = Element(item.type, item.name, _truncate_path(item.value, path[1:], length))
        elif item.type == ARRAY:
            items[place] = Element(
                ARRAY, item.name, renumber_items(list(split_elements(item.value))[:length])
            )
        break
    return join_elements(items)


def _resolve_literal(items: list[Element], path: list[bytes]) -> list[bytes]:
    """A dotted path may be one field's name: if no field begins the path but one is all of it, it is."""
    names = {item.name for item in items}
    whole = b".".join(path)
    return [whole] if path[0] not in names and whole in names else path
