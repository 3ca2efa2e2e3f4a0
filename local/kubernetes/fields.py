"""Sets of fields, as server-side apply counts ownership.

A path is a tuple of the parts of `fieldsV1`: `f:<name>`, `k:<keys of a list item>`, `v:<value>`.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
The rules of what is a member follow sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from local.kubernetes.errors import Object
from local.kubernetes.schema import Shape

Path = tuple[str, ...]
Fields = frozenset[Path]

_META = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
NEVER_OWNED = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _META)}
)


def _canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def item_part(item: Any, shape: Shape) -> str:
    """How an item of a list that is a set or a map is named in a path."""
    if shape.list_type == "map" and isinstance(item, dict):
        return f"k:{_canonical_json(shape.key_of(item))}"
    return f"v:{_canonical_json(item)}"


def owned_children(value: Any, shape: Shape) -> Iterator[tuple[str, Any, Shape]] | None:
    """The separately owned parts of a value, or None if it is one leaf."""
    if isinstance(value, dict) and not shape.atomic_map:
        return ((f"f:{name}", child, shape.field(name)) for name, child in value.items())
    if isinstance(value, list) and shape.list_type in ("map", "set"):
        return ((item_part(item, shape), item, shape.items) for item in value)
    return None


def _walk_leaves(value: Any, shape: Shape, path: Path) -> Iterator[tuple[Path, Any]]:
    parts = owned_children(value, shape)
    if parts is None:
        yield path, value
        return
    for part, child, below in parts:
        here = (*path, part)
        empty = child is None or child == {}
        free = isinstance(value, list) or not shape.has_field(part[2:])
        if (empty or free) and owned_children(child, below) is not None:
            yield here, _PRESENT  # present as such, whatever is inside
        yield from _walk_leaves(child, below, here)


_PRESENT = object()


def list_leaves(item: Object, shape: Shape) -> dict[Path, Any]:
    """Every member with its value; containers that are members only by being there have one same value."""
    members = dict(_walk_leaves(item, shape, ()))
    return {path: value for path, value in members.items() if path not in NEVER_OWNED}


def fields_of(item: Object, shape: Shape) -> Fields:
    """The members of an object."""
    return frozenset(list_leaves(item, shape))


def changed_fields(before: Object, after: Object, shape: Shape) -> tuple[Fields, Fields]:
    """(added or modified, removed) members."""
    old, new = list_leaves(before, shape), list_leaves(after, shape)
    was, now = with_parents(frozenset(old)), with_parents(frozenset(new))
    # A member that was empty and has got something inside, or the other way round, is there all the same.
    touched = frozenset(
        path for path, value in new.items() if path not in was or old.get(path, value) != value
    )
    return touched, frozenset(old.keys() - now)


def to_v1(fields: Iterable[Path]) -> Object:
    """The nested form in `managedFields`."""
    root: Object = {}
    for path in sorted(fields):
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(node: Object) -> Object:
    # A member with members below is marked by a dot, one without is an empty object.
    if node.keys() == {"."}:
        return {}
    return {part: below if part == "." else _without_lone_dots(below) for part, below in node.items()}


def from_v1(node: Object, path: Path = ()) -> Iterator[Path]:
    """The inverse of `to_v1`."""
    if not node and path:
        yield path
    for part, below in node.items():
        if part == ".":
            yield path
        else:
            yield from from_v1(below, (*path, part))


def with_parents(fields: Fields) -> Fields:
    """The members and everything they are in."""
    return frozenset(path[:length] for path in fields for length in range(1, len(path) + 1))


def format_path(path: Path) -> str:
    """As conflicts name it: `.spec.template.spec.containers[name="web"].image`."""
    text = ""
    for part in path:
        kind, rest = part[:1], part[2:]
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += (
                "["
                + ",".join(f"{key}={_canonical_json(value)}" for key, value in json.loads(rest).items())
                + "]"
            )
        else:
            text += f"[={rest}]"
    return text
