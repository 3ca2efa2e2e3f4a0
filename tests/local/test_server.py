"""Connections of the stand-ins are closed on every Python that they run on."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

from local.server import abort_connection

ROOT = Path(__file__).resolve().parents[2]


class ClosedTwice(asyncio.WriteTransport):
    """What a TLS transport of Python 3.11.2 does once it was closed twice."""

    def abort(self) -> None:
        raise AttributeError("'NoneType' object has no attribute '_abort'")


class Open(asyncio.WriteTransport):
    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def test_a_tls_connection_that_was_closed_twice_can_be_aborted() -> None:
    abort_connection(ClosedTwice())


def test_an_open_connection_is_aborted() -> None:
    transport = Open()
    abort_connection(transport)
    assert transport.is_aborted


def test_every_stand_in_aborts_connections_in_the_one_way_that_all_pythons_take() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "local").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "abort"
        if path != ROOT / "local" / "server.py"
    ]
    assert found == []
