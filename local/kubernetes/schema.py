"""Schemas as merging, ownership and validation need them: is this list a map, a set, or one value?

Built-in kinds come from the JSON schemas of `kubernetes_validate`, custom ones from their definitions.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

from local.kubernetes.errors import Object
from local.kubernetes.resources import ApiResource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# The JSON schemas carry no defaults, and these are the only defaulted keys of lists that are maps.
_KEY_DEFAULTS = {"protocol": "TCP"}


@functools.cache
def load_definitions(version: str) -> Mapping[str, Object]:
    """All definitions of a Kubernetes version such as `1.31`. Raises FileNotFoundError for an unknown one."""
    root = importlib.resources.files("kubernetes_validate").joinpath("kubernetes-json-schema")
    text = root.joinpath(f"v{version}.0-local-strict", "_definitions.json").read_text("utf-8")
    definitions: dict[str, Object] = json.loads(text)["$defs"]
    return definitions


@functools.cache
def _root_definitions(version: str) -> Mapping[tuple[str, str], Object]:
    roots = {}
    for definition in load_definitions(version).values():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            api_version = "/".join(filter(None, (kind["group"], kind["version"])))
            roots[api_version, kind["kind"]] = definition
    return roots


def list_types(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The JSON types that a schema node takes; empty if any."""
    if node.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    if "oneOf" in node and "type" not in node:
        return tuple(kind for option in node["oneOf"] for kind in list_types(option))
    kinds = node.get("type") or ()
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    return (*names, "null") if node.get("nullable") else names


class Shape:
    """A place in a schema. An empty one stands for what is not described: maps merge, lists do not."""

    __slots__ = ("_fields", "_free", "_items", "node", "types", "version")

    def __init__(self, node: Mapping[str, Any], version: str) -> None:
        ref = node.get("$ref")
        if ref is None and len(node.get("allOf", ())) == 1:
            ref = node["allOf"][0].get("$ref")
        if ref is not None:
            extra = {key: value for key, value in node.items() if key.startswith("x-kubernetes")}
            node = {**load_definitions(version)[ref.rpartition("/")[2]], **extra}
        self.node, self.version = node, version
        self.types = list_types(node)
        self._fields: dict[str, Shape] = {}
        self._free: Shape | None = None  # under every key that is not declared
        self._items: Shape | None = None

    def _shape_at(self, node: Mapping[str, Any] | None) -> Shape:
        return Shape(node if isinstance(node, Mapping) else {}, self.version)

    def has_field(self, name: str) -> bool:
        """Whether the schema names this field."""
        return name in (self.node.get("properties") or {})

    @property
    def has_fields(self) -> bool:
        """Whether fields are declared here, in contrast to a map of free keys."""
        return bool(self.node.get("properties"))

    @property
    def open(self) -> bool:
        """Whether undeclared fields are welcome."""
        if not self.node or self.node.get("x-kubernetes-preserve-unknown-fields"):
            return True
        return not self.has_fields and self.node.get("additionalProperties") is not False

    def field(self, name: str) -> Shape:
        """The shape under a key."""
        shape = self._fields.get(name)
        if shape is None and self.has_field(name):
            shape = self._fields[name] = self._shape_at(self.node["properties"][name])
        elif shape is None:
            if self._free is None:
                self._free = self._shape_at(self.node.get("additionalProperties"))
            shape = self._free
        return shape

    @property
    def items(self) -> Shape:
        """The shape of a list's items."""
        if self._items is None:
            self._items = self._shape_at(self.node.get("items"))
        return self._items

    @property
    def atomic_map(self) -> bool:
        """Whether the object is owned and replaced as a whole."""
        return self.node.get("x-kubernetes-map-type") == "atomic"

    @property
    def list_type(self) -> str:
        """`atomic`, `set` or `map`."""
        return str(self.node.get("x-kubernetes-list-type") or "atomic")

    @property
    def keys(self) -> tuple[str, ...]:
        """What identifies an item of a list that is a map."""
        return tuple(self.node.get("x-kubernetes-list-map-keys") or ())

    def key_of(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The identifying fields of an item, defaults filled in."""
        found = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in self.keys}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def merge_key(self) -> str | None:
        """Of strategic merge patch: the field that identifies an item, if this list merges."""
        key = self.node.get("x-kubernetes-patch-merge-key")
        return str(key) if key and "merge" in self.strategies else None

    @property
    def strategies(self) -> tuple[str, ...]:
        """Of strategic merge patch: `merge`, `replace`, `retainKeys`."""
        return tuple(str(self.node.get("x-kubernetes-patch-strategy") or "").split(","))

    @property
    def scalar_merge(self) -> bool:
        """Of strategic merge patch: a list of scalars that is united, such as finalizers."""
        return "merge" in self.strategies and self.merge_key is None


@functools.cache
def _built_in(api_version: str, kind: str, version: str) -> Shape:
    return Shape(_root_definitions(version).get((api_version, kind), {}), version)


def shape_of(resource: ApiResource, version: str) -> Shape:
    """The shape of a resource's objects, metadata included."""
    if not resource.custom:
        return _built_in(resource.api_version, resource.kind, version)
    node = dict(resource.schema or {})
    properties = dict(node.get("properties") or {})
    properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    properties["metadata"] = {"$ref": f"#/$defs/{_META}"}
    return Shape({**node, "properties": properties}, version)
