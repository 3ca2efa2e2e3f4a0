"""policy.yaml as plain data with the place of each value, and every mistake of its form.

The text is read as YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema): `NO` is
Norway and `07:00` is a time, not `false` and 420. Tags are never carried out, and anchors are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, both from 1

# policy.yaml may come from a pull request: "billion laughs" unfolds nine aliases to a gigabyte.
MAX_CHARACTERS = 256 * 1024
MAX_VALUES = 20_000  # what aliases may unfold to
MAX_DEPTH = 30


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong with the policy: where, what and what to do about it."""

    line: int
    column: int
    path: str
    problem: str
    hint: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{where}: {self.path + ': ' if self.path else ''}{self.problem}. {self.hint}"


@dataclass(slots=True)
class Document:
    """The data of the text, the place of each path's key and value, and the mistakes found on the way."""

    data: object = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    nodes: int = 0

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where `path` or, if it is not in the text, its nearest parent stands."""
        for end in range(len(path), -1, -1):
            if key and path[:end] in self.keys:
                return self.keys[path[:end]]
            if path[:end] in self.values:
                return self.values[path[:end]]
        return 1, 1


class _TooLargeError(yaml.YAMLError):
    """Deeper or, with its aliases unfolded, longer than any policy."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; constructs nothing."""

    # PyYAML keeps the resolvers of YAML 1.1 in this table, by first character; ours replace them.
    yaml_implicit_resolvers = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _TooLargeError
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    # Bounded: converting thousands of digits takes quadratic time, and Python refuses more than 4300 of them.
    ("int", r"[-+]?\d{1,18}", "-+0123456789"),
    ("float", r"[-+]?(\.\d{1,18}|\d{1,18}\.\d{0,18})([eE][-+]?\d{1,2})?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def parse_yaml(text: str) -> Document:
    """The document; when its form is broken, `data` is None and `mistakes` says why."""
    document = Document()
    if len(text) > MAX_CHARACTERS:
        return _add_mistake(document, (1, 1), "the file is larger than 256 KiB", "A policy is a page or two")
    if not text.strip():
        return _add_mistake(
            document, (1, 1), "the file is empty", "Start from the policy.yaml of the repository"
        )
    try:
        node = yaml.compose(text, Loader=_Loader)
        if not isinstance(node, yaml.MappingNode):
            return _add_mistake(
                document, (1, 1), "the file is not a mapping", "Begin with 'timezone: Europe/Berlin'"
            )
        document.data = _read_node(document, node, ())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return _explain_yaml_error(document, text, error)
    return document


def _add_mistake(document: Document, place: Place, problem: str, hint: str, path: Path = ()) -> Document:
    document.mistakes.append(Mistake(*place, format_path(path), problem, hint))
    return document


def format_path(path: Path) -> str:
    """`('power', 'machines', 0, 'name')` as `power.machines[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _explain_yaml_error(document: Document, text: str, error: Exception) -> Document:
    # PyYAML complains about what follows the tab, several lines off; a tab is what people do not see.
    tabs = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r" *\t\s*\S", line)]
    for number in tabs:
        column = text.splitlines()[number - 1].index("\t") + 1
        _add_mistake(document, (number, column), "a tab indents this line", "YAML takes spaces only")
    mark = getattr(error, "problem_mark", None)
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if isinstance(error, _TooLargeError | RecursionError):
        problem = f"more than {MAX_DEPTH} levels or {MAX_VALUES} values, aliases unfolded"
        return _add_mistake(document, place, problem, "Write the few values of a policy out")
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return _add_mistake(
            document, (line, 1), "a character that YAML does not allow", "Remove or escape it"
        )
    if place[0] not in tabs:
        problem = getattr(error, "problem", None) or "not YAML"
        _add_mistake(
            document, place, f"not readable as YAML: {problem}", "Check quotes, colons and indentation here"
        )
    return document


def _node_place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _read_node(document: Document, node: yaml.Node, path: Path) -> object:
    document.values.setdefault(path, _node_place(node))
    document.nodes += 1
    if document.nodes > MAX_VALUES or len(path) > MAX_DEPTH:
        raise _TooLargeError
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _read_mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_read_node(document, child, (*path, index)) for index, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _read_scalar(document, node, path)
    _add_mistake(document, _node_place(node), f"the tag {node.tag} is not allowed", "Remove it", path)
    return None


def _read_mapping(document: Document, node: yaml.MappingNode, path: Path) -> dict[str, object]:
    data: dict[str, object] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            _add_mistake(
                document, _node_place(key_node), "a key is not plain text", "Write 'key: value'", path
            )
            continue
        key = str(key_node.value)
        inner = (*path, key)
        # YAML forbids it, PyYAML takes the last one silently: a key pasted twice would change what the first
        # one says.
        if key in data:
            first = document.keys[inner][0]
            hint = "Keep one of the two"
            _add_mistake(document, _node_place(key_node), f"this key is already on line {first}", hint, inner)
            continue
        document.keys[inner] = _node_place(key_node)
        data[key] = _read_node(document, value_node, inner)
    return data


def _read_scalar(document: Document, node: yaml.ScalarNode, path: Path) -> object:
    kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), str(node.value)
    try:
        text.encode()  # a lone surrogate from an escape is no text
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return int(text)
            case "float":
                return float(text)
    except (ValueError, KeyError):
        _add_mistake(
            document,
            _node_place(node),
            f"not a value of the kind {kind}",
            "Remove the tag or the escape",
            path,
        )
        return None
    _add_mistake(document, _node_place(node), f"the tag {node.tag} is not allowed", "Remove it", path)
    return None
