"""The three patches besides apply: JSON Patch, JSON Merge Patch, strategic merge patch.

RFC 6902, RFC 7386, and
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any

from local.kubernetes.copying import copy_json
from local.kubernetes.errors import ApiError, Object, bad_request
from local.kubernetes.schema import Shape

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902. Raises `ApiError` 422 for a path that is not there or a test that fails."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON Patch is a list of operations")
    # All operations or none: the third of them may fail.
    document = copy_json(target)
    for operation in operations:
        try:
            document = _apply_operation(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"the server rejected our request due to an error in our request: {operation}"
            raise ApiError(422, "Invalid", message) from error
    return document


def _parse_pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    # In this order (RFC 6901, section 4): the other one would make a `/` of `~01`.
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _resolve_pointer(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = document[_parse_index(part)] if isinstance(document, list) else document[part]
    return document


def _parse_index(part: str) -> int:
    # RFC 6901: no leading zero, so that each place has one name only.
    if not part.isdigit() or (part != "0" and part.startswith("0")):
        raise ValueError(part)
    return int(part)


def _apply_operation(document: Any, operation: Any) -> Any:
    kind, parts = operation["op"], _parse_pointer(operation["path"])
    match kind:
        case "add":
            return _add_value(document, parts, operation["value"])
        case "remove":
            _remove_value(document, parts)
        case "replace":
            if not parts:
                return operation["value"]
            # `replace` needs something that is there, where `add` does not (RFC 6902, section 4.3).
            _resolve_pointer(document, parts)
            _remove_value(document, parts)
            return _add_value(document, parts, operation["value"])
        case "move":
            value = _resolve_pointer(document, _parse_pointer(operation["from"]))
            _remove_value(document, _parse_pointer(operation["from"]))
            return _add_value(document, parts, value)
        case "copy":
            return _add_value(
                document, parts, copy_json(_resolve_pointer(document, _parse_pointer(operation["from"])))
            )
        case "test":
            actual, expected = _resolve_pointer(document, parts), operation["value"]
            # In Python True equals 1, in JSON it does not.
            if actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
                raise ValueError("test failed")
        case _:
            raise ValueError(kind)
    return document


def _add_value(document: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return value
    parent, last = _resolve_pointer(document, parts[:-1]), parts[-1]
    if isinstance(parent, list):
        at = len(parent) if last == "-" else _parse_index(last)
        if at > len(parent):
            raise IndexError(last)
        parent.insert(at, value)
    else:
        parent[last] = value
    return document


def _remove_value(document: Any, parts: list[str]) -> None:
    parent = _resolve_pointer(document, parts[:-1])
    if isinstance(parent, list):
        del parent[_parse_index(parts[-1])]
    else:
        del parent[parts[-1]]


def strategic_merge(target: Any, patch: Any, shape: Shape) -> Any:
    """Merge by the schema's merge keys, with the directives `$patch`, `$retainKeys`, `$setElementOrder`, …"""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        merged = {name: value for name, value in merged.items() if name in patch["$retainKeys"]}
    for name, value in patch.items():
        _merge_field(merged, name, value, shape)
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and isinstance(merged.get(field), list):
            merged[field] = _reorder_items(merged[field], order, shape.field(field).merge_key)
    return merged


def _merge_field(merged: Object, name: str, value: Any, shape: Shape) -> None:
    if name.startswith(_DELETE_FROM):
        field = name.removeprefix(_DELETE_FROM)
        merged[field] = [item for item in merged.get(field) or () if item not in value]
    elif name.startswith("$"):
        return
    elif value is None:
        merged.pop(name, None)
    elif isinstance(value, list):
        merged[name] = _merge_list(merged.get(name) or [], value, shape.field(name))
    else:
        merged[name] = strategic_merge(merged.get(name), value, shape.field(name))


def _merge_list(target: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    if any(isinstance(item, dict) and item == {"$patch": "replace"} for item in patch):
        return [item for item in patch if item != {"$patch": "replace"}]
    if shape.scalar_merge:
        return [*target, *(item for item in patch if item not in target)]
    key = shape.merge_key
    if key is None:
        return patch
    merged = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((n for n, old in enumerate(merged) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item[key]]
        elif at is None:
            merged.append(strategic_merge({}, item, shape.items))
        else:
            merged[at] = strategic_merge(merged[at], item, shape.items)
    return merged


def _reorder_items(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """As `$setElementOrder` lists them; items it does not name keep their place behind their predecessor."""
    names = [item.get(key) if isinstance(item, dict) and key else item for item in order]
    rank: dict[int, tuple[int, int]] = {}
    last = -1
    for position, item in enumerate(items):
        name = item.get(key) if isinstance(item, dict) and key else item
        if name in names:
            last = names.index(name)
            rank[position] = (last, 0)
        else:
            rank[position] = (last, position + 1)
    return [items[position] for position in sorted(rank, key=lambda position: rank[position])]
