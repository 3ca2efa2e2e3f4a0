"""Kubernetes' objects as paths and values, the way people point at them: `spec.containers[web].image`.

Lists of things that have a name are matched by it, so that one more variable is one line of a diff, not
twenty; the diff and the drift both read objects this way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.kernel.redact import MASK, holds_secret, mask_forms, names_secret, redact
from shared.kubernetes.manifest import Manifest

# Two lines of a terminal: a certificate in a ConfigMap would push all else off the screen.
MAX_VALUE_CHARACTERS = 160
_ARGUMENT = re.compile(r"--?([A-Za-z][\w-]*)[= ]")
# What tells the items of a list apart, for kinds that have no name: ports, mounts, hosts of an Ingress.
_KEYS = ("name", "mountPath", "containerPort", "port", "host", "path", "key", "ip")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Which object."""

    kind: str
    namespace: str
    name: str
    group: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{printable_name(self.kind)} {printable_name(place)}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value within an object. `name` is what it goes by: its key, or the `name` beside a `value`."""

    path: str
    name: str
    value: Any


def object_reference(manifest: Manifest, namespace: str = "") -> Reference:
    """The object a manifest describes; `namespace` is where it goes if it does not say."""
    meta = _as_mapping(manifest.get("metadata"))
    group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
    place = str(meta.get("namespace") or namespace)
    return Reference(str(manifest.get("kind", "")), place, str(meta.get("name", "")), group)


def walk_leaves(value: object, path: str = "", name: str = "") -> Iterator[Leaf]:
    """All values with their paths; an empty object or list is a value, null is none."""
    if isinstance(value, Mapping) and value:
        pair = value.get("name") if "value" in value else None
        for key, inner in value.items():
            named = str(pair) if key == "value" and isinstance(pair, str) else str(key)
            yield from walk_leaves(inner, join_path(path, str(key)), named)
    elif isinstance(value, list | tuple) and value:
        for key, inner in keyed_items(value):
            yield from walk_leaves(inner, f"{path}[{key}]", name)
    elif value is not None:
        yield Leaf(path, name, value)


def keyed_items(value: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The items of a list with what tells them apart: a key all of them have, else their position."""
    for key in _KEYS:
        keys = [item.get(key) for item in value if isinstance(item, Mapping)]
        # Told apart for certain or by position: two variables of one name would be taken for each other.
        if len(keys) == len(value) and None not in keys and len(set(map(str, keys))) == len(keys):
            yield from ((printable_name(str(name)), item) for name, item in zip(keys, value, strict=True))
            return
    yield from ((str(index), item) for index, item in enumerate(value))


def is_secret_leaf(kind: str, leaf: Leaf) -> bool:
    """Whether the value must not be shown: all of a Secret's data, and what has a secret's name or form."""
    if kind == "Secret" and leaf.path.startswith(("data.", "stringData.", "data[", "stringData[")):
        return True
    if isinstance(leaf.value, bool | Mapping | list):
        return False
    if holds_secret(str(leaf.value)):
        return True
    argument = _ARGUMENT.match(str(leaf.value))
    if argument and names_secret(argument[1]):
        return True
    # The `name` beside a `value`, and the key a `secretKeyRef` points to, are names themselves.
    return leaf.path.rpartition(".")[2] not in ("name", "key") and names_secret(leaf.name)


def format_value(value: object, *, secret: bool, secrets: Sequence[str] = ()) -> str:
    """A value on one line as JSON, masked and cut; control characters cannot reach a terminal."""
    if secret:
        return MASK
    text = redact(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str), secrets)
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"


def printable_name(text: str) -> str:
    """A name as it may be shown: printable, and not a secret itself."""
    return mask_forms("".join(one if one.isprintable() else ascii(one)[1:-1] for one in text))


def join_path(path: str, key: str) -> str:
    """The path of a key below a path; labels and files, which have dots in their names, go in brackets."""
    text = printable_name(key)
    if "." in text or "/" in text:
        return f"{path}[{text}]"
    return f"{path}.{text}" if path else text


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
