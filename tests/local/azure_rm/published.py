"""Answers of the stand-in against the definitions of Azure's published OpenAPI documents.

`specs/` has extracts of names, types and values for the fields that the stand-in answers with, each with its
source. Read there in November 2026: activity, addresses, clusters and events. Compute and disks are held
against the models of Microsoft's client, which is generated from the same documents. Prices have no document;
their fields are those of the API's page. With `GROUNDCREW_TEST_AZURE_SPECS` (a checkout of
Azure/azure-rest-api-specs) the whole documents are taken instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

EXTRACTS = Path(__file__).parent / "specs"
_TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


class Document:
    """The definitions of one service, by name."""

    def __init__(self, name: str) -> None:
        extract = json.loads((EXTRACTS / f"{name}.json").read_text(encoding="utf-8"))
        self.definitions: dict[str, Any] = extract["definitions"]
        if checkout := os.environ.get("GROUNDCREW_TEST_AZURE_SPECS"):
            # The extract stays beneath, for what is in no document: the list of prices has none.
            for path in (
                path for one in extract["folders"] for path in sorted(Path(checkout, one).glob("*.json"))
            ):
                self.definitions |= json.loads(path.read_text(encoding="utf-8")).get("definitions", {})

    def faults(self, value: Any, name: str) -> list[str]:
        """What of the value is not as the definition says: unknown fields, missing ones, types, enums."""
        return list(self._check(value, self.definitions[name], name))

    def properties(self, name: str) -> set[str]:
        """The names of the definition's fields, those of what it is made of included."""
        return set(self._fields(self.definitions[name])[0])

    def _check(self, value: Any, schema: Any, place: str) -> Iterator[str]:
        if "$ref" in schema:
            # A definition of another folder is not looked at.
            target = self.definitions.get(schema["$ref"].rsplit("/", 1)[-1])
            yield from self._check(value, target, place) if target else ()
            return
        if value is None:
            return  # Azure writes null for what is absent
        kind = schema.get("type") or ("object" if "properties" in schema or "allOf" in schema else "")
        if kind and (not isinstance(value, _TYPES[kind]) or (kind != "boolean" and isinstance(value, bool))):
            yield f"{place}: {type(value).__name__} instead of {kind}"
            return
        if value not in schema.get("enum", [value]):
            yield f"{place}: {value!r} is none of its values"
        if schema.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
            yield f"{place}: a time without a zone"
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self._check(item, schema.get("items", {}), f"{place}[{number}]")
        if isinstance(value, dict):
            yield from self._check_object(value, schema, place)

    def _check_object(self, value: dict[str, Any], schema: Any, place: str) -> Iterator[str]:
        properties, required = self._fields(schema)
        yield from (f"{place}.{name}: missing" for name in sorted(required - value.keys()))
        others = schema.get("additionalProperties")
        for name, item in value.items():
            if name in properties:
                yield from self._check(item, properties[name], f"{place}.{name}")
            elif isinstance(others, dict):
                yield from self._check(item, others, f"{place}.{name}")
            elif properties:
                yield f"{place}.{name}: no such field"

    def _fields(self, schema: Any) -> tuple[dict[str, Any], set[str]]:
        """Its own fields and those of what it is made of."""
        properties, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            base = self.definitions.get(part.get("$ref", "").rsplit("/", 1)[-1], part)
            more, needed = self._fields(base)
            properties, required = {**more, **properties}, required | needed
        return properties, required
