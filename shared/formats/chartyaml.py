"""The YAML of charts: values with the line of each, and rendered manifests, as Helm would read them.

PyYAML finds the structure; what a scalar means is Go's to say. Nothing is constructed but plain data, what
anchors unfold to is bounded, and an error quotes nothing of the file, since that may be a secret.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer

from shared.formats.goyaml import Scalar, as_helm, as_sops
from shared.kernel.errors import Refused

Path = tuple[str | int, ...]
# Rendered charts with their CRDs reach some megabytes; a pull request that needs more is no chart of a chat.
MAX_CHARACTERS = 8 << 20
MAX_VALUES = 200_000
MAX_UNFOLDED_CHARACTERS = 32 << 20
MAX_DEPTH = 100
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE = "tag:yaml.org,2002:merge"
_STR = "tag:yaml.org,2002:str"
_ANCHOR = re.compile(r"(?:^|[:\-\[{,])\s*&[^\s,\[\]{}]+")
_OPEN = "?"  # what a plain scalar is follows from its text
_TAGS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class ValuesFile:
    """The values of one file, and the line, from 1, on which each path's key or item stands."""

    values: Mapping[str, Any] = field(repr=False)
    lines: Mapping[Path, int] = field(repr=False)


class _Problem(Exception):
    """What is wrong, in words of ours."""

    def __init__(self, problem: str, node: yaml.Node | None = None) -> None:
        super().__init__(problem)
        self.problem, self.problem_mark = problem, node.start_mark if node else None


# libyaml where PyYAML has it: the parser in Python takes a deploy's first call a twentieth of its CPU. Helm's
# own parser is a port of libyaml.
_Parser: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(Composer, _Parser):  # type: ignore[misc]
    """Bounded in depth and number; leaves it to others what a plain scalar is."""

    depth = nodes = 0

    def __init__(self, text: str) -> None:
        _Parser.__init__(self, text)
        # In Python, since libyaml's own composer counts neither.
        Composer.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.nodes += 1
        if self.nodes > 2 * MAX_VALUES:  # keys are nodes, too
            raise _Problem("it has more values than allowed")
        if self.depth > MAX_DEPTH:
            raise _Problem("it is nested too deeply")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Called where no tag stands: what a plain scalar is gets decided later."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            return _STR if kind is yaml.ScalarNode else _PLAIN[kind is yaml.SequenceNode]
        return _MERGE if value == "<<" else _OPEN


def read_values(text: str, name: str) -> ValuesFile:
    """One values file; an empty one has no values. Raises `Refused` naming the file and the line."""
    documents = _read_documents(text, name)
    if not documents:
        return ValuesFile({}, {})
    if len(documents) > 1 or not isinstance(documents[0][0], dict):
        raise Refused(f"{name} is not one mapping of values", hint="Write key: value pairs")
    return ValuesFile(*documents[0])


def find_anchored(file: ValuesFile, text: str) -> set[Path]:
    """The paths on whose line of `text` an anchor stands, `key: &name`, and all that they lie in."""
    marked = {number for number, line in enumerate(text.splitlines(), 1) if _ANCHOR.search(line)}
    paths = [path for path, line in file.lines.items() if line in marked]
    return {path[: depth + 1] for path in paths for depth in range(len(path))}


def read_as_sops(text: str, name: str) -> Mapping[str, Any]:
    """The values of one file as SOPS reads it, to which `yes` is a text. Raises `Refused`."""
    documents = _read_documents(text, name, as_sops)
    if len(documents) != 1 or not isinstance(documents[0][0], dict):
        raise Refused(f"{name} is not one mapping of values", hint="Write key: value pairs")
    values: dict[str, Any] = documents[0][0]
    return values


def read_manifests(text: str, name: str = "the rendered chart") -> list[Mapping[str, Any]]:
    """The documents of a YAML stream that are not empty; lists are unfolded. Raises `Refused`."""
    manifests: list[Mapping[str, Any]] = []
    for value, _lines in _read_documents(text, name):
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


def _read_documents(
    text: str, name: str, resolve: Callable[[str], Scalar] = as_helm
) -> list[tuple[Any, dict[Path, int]]]:
    if len(text) > MAX_CHARACTERS:
        raise Refused(f"{name} is larger than allowed, in characters", value=MAX_CHARACTERS)
    try:
        loader, documents = _Loader(text), []
        while loader.check_node():
            node = loader.get_node()
            reader = _Reader(resolve)
            value = reader.value(node, ()) if node is not None else None
            if value is not None:
                documents.append((value, reader.lines))
        return documents
    except (yaml.YAMLError, _Problem, RecursionError, ValueError) as error:
        # PyYAML's words quote an alias, a tag or the line, each of which may be somebody's secret.
        position = getattr(error, "problem_mark", None)
        where = f"line {position.line + 1}, column {position.column + 1}" if position else "the file"
        problem = error.problem if isinstance(error, _Problem) else "it is malformed"
        raise Refused(
            f"{name} is not readable as YAML", value=f"{where}: {problem}", hint="Mend it and merge again"
        ) from None


class _Reader:
    """Makes plain data of nodes and remembers the lines."""

    def __init__(self, resolve: Callable[[str], Scalar]) -> None:
        self._resolve, self.lines = resolve, dict[Path, int]()
        self._count = self._characters = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count_node()
        if len(path) > MAX_DEPTH:
            raise _Problem("it is nested too deeply", node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._read_scalar(node)
        if node.tag not in _PLAIN:
            raise _Problem("a tag that is not for plain data", node)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path)
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _read_scalar(self, node: yaml.ScalarNode) -> Scalar:
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), str(node.value)
        self._characters += len(text)  # a long text that many aliases repeat is as costly as many values
        if self._characters > MAX_UNFOLDED_CHARACTERS:
            raise _Problem("it unfolds to more text than allowed")
        if node.tag in (_OPEN, _MERGE):
            return self._resolve(text)
        if kind == "str":
            return text
        if kind == "binary":
            return base64.b64decode(text).decode(errors="replace")
        if kind not in _TAGS:
            raise _Problem("a tag that is not for plain data", node)
        result = self._resolve(text)
        if not isinstance(result, _TAGS[kind]) or (isinstance(result, bool) and kind != "bool"):
            raise _Problem("a value is not what its tag says", node)
        return float(result) if kind == "float" and result is not None else result

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Problem("a key is not a text", key)
            if key.tag != _MERGE and key.value in own:
                raise _Problem("a key stands there twice", key)
            if key.tag == _MERGE and self._resolve is as_sops:
                # To SOPS it is a key like others, and what it brings in stands in the MAC where it does.
                raise _Problem("a merge key in a file of SOPS is not served", key)
            own.add(key.value)
        result: dict[str, Any] = {}
        for key_node, value_node in self._merged_pairs(node):
            name = str(key_node.value)
            self.lines[*path, name] = key_node.start_mark.line + 1
            result[name] = self.value(value_node, (*path, name))
        return result

    def _merged_pairs(self, node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Keys and values; what `<<` brings in comes first, so that the mapping's own win."""
        self._count_node()
        if isinstance(node, yaml.SequenceNode):  # of several that are merged the first wins
            for item in reversed(node.value):
                yield from self._merged_pairs(item)
        elif isinstance(node, yaml.MappingNode):
            # Sorted stably by whether it is a merge key: all else keeps its order, which the MAC of SOPS is
            # over.
            for key, value in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
                if key.tag == _MERGE:
                    yield from self._merged_pairs(value)
                else:
                    self._count_node()
                    yield key, value

    def _count_node(self) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _Problem("it unfolds to more values than allowed")
