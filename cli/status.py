"""`groundcrew read_status`: what `/api/read_status` answers, in a terminal."""

from __future__ import annotations

from typing import Any

import click

from cli.console import as_json, print_answer


@click.command()
@as_json
def status(json_: bool) -> None:
    """Show the newest backup, runs, holds, machines and the last cost report."""
    from shared.wiring.status import read_status as gather

    report = gather()
    print_answer(report, json_=json_, text="\n".join(_format_lines(report)))


def _format_lines(value: Any, indent: str = "") -> list[str]:
    if isinstance(value, dict):
        pairs = value.items()
        return [line for key, item in pairs for line in _format_entry(str(key), item, indent)]
    if isinstance(value, list):
        return [line for item in value for line in _format_lines(item, indent)]
    return [indent + line for line in str(value).splitlines()]


def _format_entry(key: str, item: Any, indent: str) -> list[str]:
    if isinstance(item, dict | list) or "\n" in str(item):
        return [f"{indent}{key}:", *_format_lines(item, indent + "  ")]
    return [f"{indent}{key}: {item}"]
