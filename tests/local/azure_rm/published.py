"""What is asked of the stand-in, and what it answers, against Azure's published OpenAPI documents.

`specs/` has extracts: the operations that we use with their parameters, and names, types and values of the
fields that are sent and answered, each with its source. Read there in November 2026: activity, addresses,
clusters and events. Compute and disks are held against Microsoft's client, models and requests, which is
generated from the same documents. Prices have no document; their fields are those of the API's page, as
several published clients have them. With `GROUNDCREW_TEST_AZURE_SPECS` (a checkout of
Azure/azure-rest-api-specs) the whole documents are taken instead.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from local.azure_rm import AzureServer
from local.azure_rm.server import Logged

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
        self.paths: dict[str, Any] = dict(extract.get("paths", {}))
        if checkout := os.environ.get("GROUNDCREW_TEST_AZURE_SPECS"):
            # The extract stays beneath, for what is in no document: the list of prices has none.
            for path in (
                path for one in extract["folders"] for path in sorted(Path(checkout, one).glob("*.json"))
            ):
                document = json.loads(path.read_text(encoding="utf-8"))
                self.definitions |= document.get("definitions", {})
                self.paths |= document.get("paths", {})

    def faults(self, value: Any, name: str) -> list[str]:
        """What of the value is not as the definition says: unknown fields, missing ones, types, enums."""
        return list(self.check(value, self.definitions[name], name))

    def properties(self, name: str) -> set[str]:
        """The names of the definition's fields, those of what it is made of included."""
        return set(self._fields(self.definitions[name])[0])

    def check(self, value: Any, schema: Any, place: str) -> Iterator[str]:
        if "$ref" in schema:
            # A definition of another folder is not looked at.
            target = self.definitions.get(schema["$ref"].rsplit("/", 1)[-1])
            yield from self.check(value, target, place) if target else ()
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
                yield from self.check(item, schema.get("items", {}), f"{place}[{number}]")
        if isinstance(value, dict):
            yield from self._check_object(value, schema, place)

    def _check_object(self, value: dict[str, Any], schema: Any, place: str) -> Iterator[str]:
        properties, required = self._fields(schema)
        yield from (f"{place}.{name}: missing" for name in sorted(required - value.keys()))
        others = schema.get("additionalProperties")
        for name, item in value.items():
            if name in properties:
                yield from self.check(item, properties[name], f"{place}.{name}")
            elif isinstance(others, dict):
                yield from self.check(item, others, f"{place}.{name}")
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


DOCUMENTS = ("compute", "disks", "activity", "clusters", "addresses", "storage", "prices")
# How an operation goes on, which no document describes as an operation of its own.
_FOLLOWED = re.compile(
    r"/locations/[^/]+/(disk)?operations/|/microsoft.authorization/permissions", re.IGNORECASE
)
# Those of every operation, and of the page that an answer's `nextLink` names.
_SHARED = {"api-version", "$skipToken"}


@functools.cache
def _operations() -> list[tuple[re.Pattern[str], str, Any, Document]]:
    """A pattern, the path, the methods and the document of each path. Resource Manager ignores case."""
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), re.IGNORECASE), path, methods, document)
        for document in map(Document, DOCUMENTS)
        for path, methods in document.paths.items()
    ]


def describe_azure_faults(server: AzureServer) -> list[str]:
    """What of all that was asked and answered so far is not as published."""
    described = (one for one in server.log if not _FOLLOWED.search(one.path))
    return sorted({fault for one in described for fault in _check_request(one)})


def _check_request(request: Logged) -> Iterable[str]:
    method = request.method.lower()
    fitting = [one for one in _operations() if method in one[2] and one[0].fullmatch(request.path)]
    if not fitting:
        return [f"{request.method} {request.path}: no such operation"]
    _, path, methods, document = max(fitting, key=lambda one: len(re.sub(r"\{\w+\}", "", one[1])))
    operation, name = methods[method], f"{request.method} {path}"
    return [
        *_check_query(request, operation, name),
        *_check_body(request, operation, document, name),
        *_check_answer(request, operation, document, name),
    ]


def _check_query(request: Logged, operation: Any, name: str) -> Iterator[str]:
    known = {one["name"]: one for one in operation["parameters"] if one.get("in") == "query"}
    yield from (
        f"{name}: no parameter {key}" for key in sorted(request.query.keys() - known.keys() - _SHARED)
    )
    needed = {key for key, one in known.items() if one.get("required")}
    yield from (f"{name}: {key} is missing" for key in sorted(needed - request.query.keys()))


def _check_body(request: Logged, operation: Any, document: Document, name: str) -> Iterator[str]:
    bodies = [one["schema"] for one in operation["parameters"] if one.get("in") == "body"]
    if not bodies and request.body:
        yield f"{name}: takes no body"
    for schema in bodies:
        yield from document.check(request.body, schema, f"{name} sent")


def _check_answer(request: Logged, operation: Any, document: Document, name: str) -> Iterator[str]:
    if request.status not in range(200, 300):
        return  # an error, or an answer that was lost
    answer = operation["responses"].get(str(request.status))
    if answer is None:
        yield f"{name}: {request.status} is none of its answers"
    elif "schema" in answer and request.answer is not None:
        yield from document.check(request.answer, answer["schema"], f"{name} answered")
