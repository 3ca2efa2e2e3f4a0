"""Values against the schemas of an OpenAPI 3.0 description, or of JSON Schema, draft 7.

https://spec.openapis.org/oas/v3.0.3#schema-object

What a stand-in answers is a part of what the real thing answers, so a missing field is no fault here; a field
that nobody knows, another type, or a value that is none of the enumeration is one. Requests must be whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

Schema = dict[str, Any]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip


class OpenApiSchemas:
    """The schemas of a description, by their names under `components`."""

    def __init__(self, schemas: dict[str, Schema]) -> None:
        self.schemas = schemas

    def resolve(self, schema: Schema) -> Schema:
        """The schema that a reference names."""
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def faults(self, value: Any, schema: Schema, place: str = "", *, whole: bool = False) -> list[str]:
        """What of the value is not as described; with `whole` also what is required and missing."""
        return list(self._check(value, schema, place, whole))

    def _check(self, value: Any, schema: Schema, place: str, whole: bool) -> Iterator[str]:
        schema = self.resolve(schema)
        if value is None:
            if not self._allows_null(schema):
                yield f"{place}: null"
            return
        if choices := schema.get("oneOf") or schema.get("anyOf"):
            yield from self._check_choices(value, schema, choices, place, whole)
            return
        kinds = _kinds(schema)
        if kinds and not any(_is_of(value, kind) for kind in kinds):
            yield f"{place}: {type(value).__name__} instead of {' or '.join(kinds)}"
            return
        if value not in schema.get("enum", [schema.get("const", value)]):
            yield f"{place}: {value!r} is none of its values"
        if schema.get("format") == "date-time" and datetime.fromisoformat(str(value)).tzinfo is None:
            yield f"{place}: a time without a zone"
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self._check(item, schema.get("items", {}), f"{place}[{number}]", whole)
        elif isinstance(value, dict):
            yield from self._check_object(value, schema, place, whole)

    def _check_choices(
        self, value: Any, schema: Schema, choices: list[Schema], place: str, whole: bool
    ) -> Iterator[str]:
        """The faults of the choice that fits best; what stands beside the choices holds for each."""
        # `anyOf` over `required` alone says which fields are needed, not what they are.
        shared = {key: schema[key] for key in ("type", "properties", "required") if key in schema}
        results = []
        for choice in choices:
            choice = self.resolve(choice)
            if shared:
                properties = {**shared.get("properties", {}), **choice.get("properties", {})}
                choice = {**choice, **shared, "properties": properties}
            results.append(list(self._check(value, choice, place, whole)))
        yield from min(results, key=len)

    def _allows_null(self, schema: Schema) -> bool:
        if schema.get("nullable") or "null" in _kinds(schema):
            return True
        choices = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        if choices:
            return any(map(self._allows_null, map(self.resolve, choices)))
        return not schema.keys() & {"type", "properties", "allOf", "enum", "const"}

    def _check_object(self, value: dict[str, Any], schema: Schema, place: str, whole: bool) -> Iterator[str]:
        properties, required = self._fields(schema)
        if whole:
            yield from (f"{place}.{name}: missing" for name in sorted(required - value.keys()))
        others = schema.get("additionalProperties")
        for name, item in value.items():
            if name in properties:
                yield from self._check(item, properties[name], f"{place}.{name}", whole)
            elif isinstance(others, dict):
                yield from self._check(item, others, f"{place}.{name}", whole)
            elif properties and others is not True:
                yield f"{place}.{name}: no such field"

    def _fields(self, schema: Schema) -> tuple[dict[str, Schema], set[str]]:
        properties, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            more, needed = self._fields(self.resolve(part))
            properties, required = {**more, **properties}, required | needed
        return properties, required


def _kinds(schema: Schema) -> list[str]:
    """The types that are allowed; JSON Schema may name several."""
    kind = schema.get("type") or ("object" if "properties" in schema or "allOf" in schema else [])
    return [kind] if isinstance(kind, str) else list(kind)


def _is_of(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind != "boolean")
