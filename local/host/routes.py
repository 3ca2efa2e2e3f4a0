"""ASP.NET Core route templates, as far as HTTP triggers use them, and the table that finds them by path.

https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates. A segment is a literal or one
parameter; segments of several parts (`{name}.{type}`) are refused rather than matched a little differently.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from urllib.parse import unquote

from shared.kernel.errors import UsageError

T = TypeVar("T")
Check = Callable[[str], bool]

_PARAMETER = re.compile(r"\{(?P<stars>\*{0,2})(?P<name>\w+)(?P<rest>[^{}]*|.*\(.*\).*)\}", re.DOTALL)
_CONSTRAINT = re.compile(r"(?P<kind>\w+)(?:\((?P<arguments>.*)\))?", re.DOTALL)


def _is_parsable(read: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _integer_check(bits: int) -> Check:
    def check(text: str) -> bool:
        return bool(re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII)) and -(2 ** (bits - 1)) <= int(
            text
        ) < 2 ** (bits - 1)

    return check


_SIMPLE: dict[str, Check] = {
    "int": _integer_check(32),
    "long": _integer_check(64),
    "bool": lambda text: text.lower() in ("true", "false"),
    "guid": lambda text: (
        bool(re.fullmatch(r"[{(]?[0-9a-fA-F-]+[)}]?", text)) and _is_parsable(uuid.UUID)(text)
    ),
    "alpha": lambda text: bool(re.fullmatch(r"[A-Za-z]*", text)),
    "decimal": lambda text: bool(re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)", text, re.ASCII)),
    "double": _is_parsable(float),
    "float": _is_parsable(float),
    "datetime": _is_parsable(datetime.fromisoformat),
    "required": bool,
}
_WITH_NUMBERS: dict[tuple[str, int], Callable[..., Check]] = {
    ("length", 1): lambda exact: lambda text: len(text) == exact,
    ("length", 2): lambda low, high: lambda text: low <= len(text) <= high,
    ("minlength", 1): lambda low: lambda text: len(text) >= low,
    ("maxlength", 1): lambda high: lambda text: len(text) <= high,
    ("min", 1): lambda low: lambda text: _SIMPLE["long"](text) and int(text) >= low,
    ("max", 1): lambda high: lambda text: _SIMPLE["long"](text) and int(text) <= high,
    ("range", 2): lambda low, high: lambda text: _SIMPLE["long"](text) and low <= int(text) <= high,
}


@dataclass(frozen=True, slots=True)
class _Segment:
    literal: str = ""  # lower case
    name: str = ""
    catch_all: bool = False
    optional: bool = False
    default: str | None = None
    checks: tuple[Check, ...] = ()

    @property
    def precedence(self) -> int:
        """Lower is tried first: literal, constrained parameter, parameter, constrained and free catch-all."""
        if not self.name:
            return 1
        # ASP.NET Core's own order, so that overlapping routes find the function that they find there.
        return (4 if self.catch_all else 2) + (0 if self.checks else 1)


@dataclass(frozen=True, slots=True)
class Route:
    """A route template, without the prefix. Build it with `parse`."""

    template: str
    segments: tuple[_Segment, ...]

    @classmethod
    def parse(cls, template: str) -> Route:
        """Raises `UsageError` for a template that is wrong or not served."""
        words = _split_template(template.strip("/"))
        segments = tuple(_parse_segment(template, word) for word in words)
        names = [segment.name.lower() for segment in segments if segment.name]
        if len(set(names)) < len(names):
            raise _route_error(template, "a parameter twice")
        if any(segment.catch_all for segment in segments[:-1]):
            raise _route_error(template, "a catch-all parameter that is not the last segment")
        return cls(template, segments)

    @property
    def precedence(self) -> tuple[int, ...]:
        """Sorts routes into the order in which they are tried."""
        return tuple(segment.precedence for segment in self.segments)

    def match(self, words: list[str]) -> dict[str, str] | None:
        """The parameters if the decoded path segments fit, else None. Absent optional ones are left out."""
        parameters: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            if segment.catch_all:
                value: str | None = "/".join(words[index:]) or None
            else:
                value = words[index] if index < len(words) else None
            if not _match_segment(segment, value, parameters):
                return None
        if len(words) > len(self.segments) and not (self.segments and self.segments[-1].catch_all):
            return None
        return parameters


def _match_segment(segment: _Segment, value: str | None, parameters: dict[str, str]) -> bool:
    if not segment.name:
        return value is not None and value.lower() == segment.literal
    if value is None:
        if segment.default is not None:
            parameters[segment.name] = segment.default
        return segment.catch_all or segment.optional or segment.default is not None
    if not value or not all(check(value) for check in segment.checks):
        return False
    parameters[segment.name] = value
    return True


def _split_template(template: str) -> list[str]:
    """Cut at slashes, but not at those within braces (a regex constraint may hold one)."""
    words, depth, start = [], 0, 0
    for index, letter in enumerate(template):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "/" and depth == 0:
            words.append(template[start:index])
            start = index + 1
    return [*words, template[start:]] if template else []


def _parse_segment(template: str, word: str) -> _Segment:
    if "{" not in word and "}" not in word:
        if not word:
            raise _route_error(template, "an empty segment")
        return _Segment(literal=word.lower())
    match = _PARAMETER.fullmatch(word)
    if match is None:
        raise _route_error(template, f"the segment {word!r}")
    rest = match["rest"]
    optional = rest.endswith("?")
    constraints, equals, default = (
        rest.removesuffix("?").partition("=") if "(" not in rest else (rest, "", "")
    )
    if constraints and not constraints.startswith(":"):
        raise _route_error(template, f"the segment {word!r}")
    return _Segment(
        name=match["name"],
        catch_all=bool(match["stars"]),
        optional=optional,
        default=default if equals else None,
        checks=tuple(
            _build_check(template, text) for text in _split_constraints(constraints.removesuffix("?"))
        ),
    )


def _split_constraints(text: str) -> list[str]:
    """`:int:range(1,5)` → the two; a colon within parentheses does not separate."""
    return re.findall(r":((?:[^:()]|\(.*?\)(?=:|$))+)", text, re.DOTALL)


def _build_check(template: str, text: str) -> Check:
    match = _CONSTRAINT.fullmatch(text)
    kind, arguments = (match["kind"].lower(), match["arguments"]) if match else (text, None)
    if arguments is None and kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind == "regex" and arguments is not None:
        return _pattern_check(template, arguments.replace("{{", "{").replace("}}", "}"))
    numbers = [int(part) for part in (arguments or "").split(",") if re.fullmatch(r"\s*-?\d+\s*", part)]
    make = _WITH_NUMBERS.get((kind, len(numbers)))
    if make is None:
        raise _route_error(template, f"the constraint {text!r}")
    return make(*numbers)


def _pattern_check(template: str, expression: str) -> Check:
    try:
        # ASP.NET Core compiles them without regard to case, too.
        pattern = re.compile(expression, re.IGNORECASE)
    except re.error as error:
        raise _route_error(template, f"the regular expression {expression!r}") from error
    # Searched, not matched whole: an unanchored expression finds its text anywhere.
    return lambda value: pattern.search(value) is not None


def _route_error(template: str, reason: str) -> UsageError:
    return UsageError(
        f"The route {template!r} has {reason}, which is not served", hint="See local/host/routes.py."
    )


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    route: Route
    methods: frozenset[str]
    target: T


class RouteTable(Generic[T]):
    """Finds the target of a method and a path; prefix and literals match in upper and lower case."""

    def __init__(self, prefix: str) -> None:
        self._prefix = [word.lower() for word in prefix.strip("/").split("/") if word]
        self._entries: list[_Entry[T]] = []

    def add(self, template: str, methods: Iterable[str], target: T) -> None:
        """No methods means all of them. Raises `UsageError` for a template that is not served."""
        entry = _Entry(Route.parse(template), frozenset(method.upper() for method in methods), target)
        self._entries.append(entry)
        self._entries.sort(key=lambda entry: entry.route.precedence)

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """The target and the route's parameters, or None: also for a method that no matching route takes."""
        words = decode_path(raw_path)
        cut = len(self._prefix)
        if [word.lower() for word in words[:cut]] != self._prefix:
            return None
        for entry in self._entries:
            if not entry.methods or method in entry.methods:
                parameters = entry.route.match(words[cut:])
                if parameters is not None:
                    return entry.target, parameters
        return None


def decode_path(raw_path: str) -> list[str]:
    """The segments of a percent-encoded path, decoded, except for encoded slashes, which stay as they are."""
    words = raw_path.removeprefix("/").removesuffix("/").split("/")
    if words == [""]:
        return []
    return [
        # A decoded slash would make two segments of one; Kestrel leaves it encoded.
        unquote(re.sub("%2f", "%252F", word, flags=re.IGNORECASE)) if "%" in word else word
        for word in words
    ]
