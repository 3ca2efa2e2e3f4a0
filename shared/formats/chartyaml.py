"""The YAML of charts: values with the line of each, and rendered manifests, as Helm would read them.

Helm reads YAML 1.1 (`yes` is true), which PyYAML's safe loader does too. Nothing is constructed but plain
data, and what anchors unfold to is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from shared.errors import Refused

Path = tuple[str | int, ...]
MAX_CHARACTERS = 8 << 20
MAX_VALUES = 200_000
MAX_DEPTH = 100
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class ValuesFile:
    """The values of one file, and the line, from 1, on which each path's key or item stands."""

    values: Mapping[str, Any] = field(repr=False)
    lines: Mapping[Path, int] = field(repr=False)


class _Loader(yaml.SafeLoader):
    """Bounded in depth; texts stay texts where YAML 1.1 would make them dates, as Helm has it."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError("it is nested too deeply")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_values(text: str, name: str) -> ValuesFile:
    """One values file; an empty one has no values. Raises `Refused` naming the file and the line."""
    found = _read(text, name)
    if not found:
        return ValuesFile({}, {})
    if len(found) > 1 or not isinstance(found[0][0], dict):
        raise Refused(f"{name} is not one mapping of values", cure="Write key: value pairs")
    return ValuesFile(*found[0])


def read_manifests(text: str, name: str = "the rendered chart") -> list[Mapping[str, Any]]:
    """The documents of a YAML stream that are not empty; lists are unfolded. Raises `Refused`."""
    manifests: list[Mapping[str, Any]] = []
    for value, _lines in _read(text, name):
        if not isinstance(value, dict):
            raise Refused(f"{name} has a document that is no object", value=type(value).__name__)
        items = value.get("items") if str(value.get("kind", "")).endswith("List") else None
        manifests += (
            [item for item in items if isinstance(item, dict)] if isinstance(items, list) else [value]
        )
    return manifests


def merged(layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Values laid over each other as Helm does: mappings merge, all else replaces, null removes."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if value is None:
                result.pop(key, None)
            elif isinstance(value, Mapping):
                result[key] = merged([below if isinstance(below, Mapping) else {}, value])
            else:
                result[key] = value
    return result


def _read(text: str, name: str) -> list[tuple[Any, dict[Path, int]]]:
    if len(text) > MAX_CHARACTERS:
        raise Refused(f"{name} is larger than allowed, in characters", value=MAX_CHARACTERS)
    try:
        loader, found = _Loader(text), []
        while loader.check_node():
            node = loader.get_node()
            reader = _Reader(loader)
            value = reader.value(node, ()) if node is not None else None
            if value is not None:
                found.append((value, reader.lines))
        return found
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # Only place and problem: the parser's own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        problem = getattr(error, "problem", None) or "too deep or malformed"
        raise Refused(
            f"{name} is not readable as YAML", value=f"{where}: {problem}", cure="Mend it and merge again"
        ) from None


class _Reader:
    """Makes plain data of nodes and remembers the lines."""

    def __init__(self, loader: _Loader) -> None:
        self._loader, self.lines, self._count = loader, dict[Path, int](), 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._tick()
        if len(path) > MAX_DEPTH:
            raise ValueError("too deep")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
            raise yaml.MarkedYAMLError(problem=f"the tag {node.tag}", problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = [key.value for key, _ in node.value if key.tag != _MERGE and isinstance(key, yaml.ScalarNode)]
        if len(own) != len(set(own)):
            again = next(key for key, _ in node.value if own.count(key.value) > 1)
            raise yaml.MarkedYAMLError(problem="a key stands there twice", problem_mark=again.start_mark)
        made: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node):
            key = str(key_node.value)
            self.lines[*path, key] = key_node.start_mark.line + 1
            made[key] = self.value(value_node, (*path, key))
        return made

    def _pairs(self, node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Keys and values; what `<<` brings in comes first, so that the mapping's own win."""
        self._tick()
        if isinstance(node, yaml.SequenceNode):  # of several that are merged the first wins
            for item in reversed(node.value):
                yield from self._pairs(item)
        elif isinstance(node, yaml.MappingNode):
            for key, value in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
                if key.tag == _MERGE:
                    yield from self._pairs(value)
                else:
                    self._tick()
                    yield key, value

    def _tick(self) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise ValueError("too much")
