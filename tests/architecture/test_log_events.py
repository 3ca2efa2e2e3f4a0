"""What stands in the log: one event for each fault, named `feature.object_action`, with what it is about."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")


class LogCall(NamedTuple):
    """A line that writes to the log; `event` is None where it is given from elsewhere."""

    event: str | None
    has_facts: bool
    place: str
    functions: frozenset[str]  # that its file defines


def find_log_calls(source: str, path: str) -> Iterator[LogCall]:
    nodes = list(ast.walk(ast.parse(source)))
    functions = frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=level)) if (
                name.lower().lstrip("_") in ("log", "logger") and level in LEVELS
            ):
                first = node.args[0] if node.args else None
                event = first.value if isinstance(first, ast.Constant) else None
                facts = any(keyword.arg == "extra" for keyword in node.keywords)
                yield LogCall(event, facts, f"{path}:{node.lineno}", functions)


def list_log_calls() -> list[LogCall]:
    files = [path for top in ("shared", "functions", "cli") for path in sorted((ROOT / top).rglob("*.py"))]
    return [
        call
        for path in files
        for call in find_log_calls(path.read_text("utf-8"), str(path.relative_to(ROOT)))
    ]


def test_each_event_is_named_by_feature_and_what_happened() -> None:
    # A trigger's own line is named as the function, by which the platform names the run.
    wrong = [
        call.place
        for call in list_log_calls()
        if call.event is not None and not NAME.fullmatch(call.event) and call.event not in call.functions
    ]
    assert wrong == []


def test_an_event_is_written_in_one_place() -> None:
    places = defaultdict(list)
    for call in list_log_calls():
        if call.event is not None:
            places[call.event].append(call.place)
    assert len(places) > 200
    assert {event: found for event, found in places.items() if len(found) > 1} == {}


def test_every_line_says_what_it_is_about() -> None:
    assert [call.place for call in list_log_calls() if not call.has_facts] == []


def test_a_line_that_breaks_a_rule_is_found() -> None:
    source = (
        "def act():\n    log.info(f'done {x}')\n    log.warning('Done')\n    log.error('a.b_c', extra={})\n"
    )
    calls = list(find_log_calls(source, "x.py"))
    assert [(call.event, call.has_facts) for call in calls] == [
        (None, False),
        ("Done", False),
        ("a.b_c", True),
    ]
