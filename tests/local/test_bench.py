"""The measurements name everything that they are to measure."""

from __future__ import annotations

import ast

from bench.package import list_calls
from local.worker_calls import ROOT


def list_functions() -> set[str]:
    """The app's functions: what a blueprint decorates."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "functions").glob("*.py")]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    defined = [node for tree in trees for node in tree.body if isinstance(node, kinds)]
    return {node.name for node in defined if any("bp." in ast.unparse(one) for one in node.decorator_list)}


def test_the_first_call_of_every_function_is_measured() -> None:
    calls = [call.function for call in list_calls("acme/chat", "a" * 40, "secret", lambda queue: queue)]
    assert len(calls) == len(set(calls))
    assert set(calls) == list_functions()
    assert len(calls) > 25
