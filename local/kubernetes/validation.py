"""Objects against their schema: unknown fields, wrong types, missing and forbidden values.

An API server drops unknown fields, warns of them or refuses them, as `fieldValidation` says; wrong types
are refused while decoding (400), everything else when validating (422).
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local.kubernetes.errors import ApiError, Object, bad_request, invalid_error
from local.kubernetes.resources import ApiResource
from local.kubernetes.schema import Shape

Cause = tuple[str, str, str]
"""(field, reason, message)."""

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def _join_path(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def prune_fields(value: Any, shape: Shape, unknown: list[str], path: str = "") -> Any:
    """The value without nulls and undeclared fields, whose paths are added to `unknown`."""
    if isinstance(value, dict):
        pruned = {}
        for name, child in value.items():
            if child is None:
                continue
            if shape.has_fields and not shape.has_field(name) and not shape.open:
                unknown.append(_join_path(path, name))
            else:
                pruned[name] = prune_fields(child, shape.field(name), unknown, _join_path(path, name))
        return pruned
    if isinstance(value, list):
        return [prune_fields(item, shape.items, unknown, f"{path}[{n}]") for n, item in enumerate(value)]
    return value


def type_errors(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """A sentence for each value that cannot be decoded into its field."""
    kinds = shape.types
    # A null is as good as absent in every decoder of Kubernetes.
    if value is not None and kinds and not any(_TYPES[kind](value) for kind in kinds):
        actual = next(name for name, test in _TYPES.items() if test(value))
        expected = " or ".join(kind for kind in kinds if kind != "null")
        yield f"json: cannot unmarshal {actual} into Go struct field {path or 'object'} of type {expected}"
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from type_errors(child, shape.field(name), _join_path(path, name))
    elif isinstance(value, list):
        for item in value:
            yield from type_errors(item, shape.items, path)


def value_errors(value: Any, shape: Shape, path: str = "") -> Iterator[Cause]:
    """What is missing, not among the allowed values, or there twice."""
    node = shape.node
    if isinstance(value, dict):
        for name in node.get("required") or ():
            if value.get(name) is None:
                yield _join_path(path, name), "FieldValueRequired", "Required value"
        for name, child in value.items():
            yield from value_errors(child, shape.field(name), _join_path(path, name))
    elif isinstance(value, list):
        if shape.list_type == "map":
            yield from _find_duplicates(value, shape, path)
        for number, item in enumerate(value):
            yield from value_errors(item, shape.items, f"{path}[{number}]")
    elif value is not None:
        yield from _scalar_errors(value, node, path)


def _find_duplicates(items: list[Any], shape: Shape, path: str) -> Iterator[Cause]:
    keys: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        key = shape.key_of(item)
        if key in keys:
            yield f"{path}[{number}]", "FieldValueDuplicate", f"Duplicate value: {key}"
        keys.append(key)


def _scalar_errors(value: Any, node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    options = node.get("enum")
    if options and value not in options:
        supported = ", ".join(f'"{option}"' for option in options)
        yield path, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {supported}'
    pattern = node.get("pattern")
    if pattern and isinstance(value, str) and not re.search(pattern, value):
        yield path, "FieldValueInvalid", f'Invalid value: "{value}": {path} in body should match {pattern!r}'
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = node.get("minimum"), node.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            yield path, "FieldValueInvalid", f"Invalid value: {value}: should be within {low} and {high}"


def decode_object(
    item: Any, resource: ApiResource, shape: Shape, mode: str, *, applied: bool = False
) -> tuple[Object, list[str]]:
    """The object as far as it is known, and warnings.

    Raises `ApiError` 400 for what cannot be decoded, and for unknown fields if `mode` is `Strict`;
    as the body of an apply (`applied`) unknown fields are refused in any mode, with 500, as in the field.
    """
    what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    if not isinstance(item, dict) or not isinstance(item.get("metadata", {}), dict):
        raise bad_request(f"{what}: the body is not an object")
    if wrong := next(type_errors(item, shape), None):
        raise bad_request(f"{what}: {wrong}")
    unknown: list[str] = []
    known = prune_fields(item, shape, unknown)
    if unknown and applied and not resource.custom:
        name = f"{item['metadata'].get('namespace', '')}/{item['metadata'].get('name', '')}"
        typed = f"failed to create typed patch object ({name}; {resource.api_version}, Kind={resource.kind})"
        raise ApiError(500, "", f"{typed}: .{unknown[0]}: field not declared in schema")
    warnings = [f'unknown field "{path}"' for path in unknown]
    if warnings and mode == "Strict":
        raise bad_request(f"{what}: strict decoding error: {', '.join(warnings)}")
    return known, warnings if mode == "Warn" else []


def check_schema(item: Object, resource: ApiResource, shape: Shape) -> None:
    """Raises `ApiError` 422 with everything that is wrong."""
    causes = list(value_errors(item, shape))
    if causes:
        raise invalid_error(resource.kind, resource.group, item["metadata"].get("name", ""), causes)
