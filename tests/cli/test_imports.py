"""What the command line imports: a command that people wait for loads nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, main
from tests.support.imports import MAIN, modules_of

ROOT = Path(__file__).resolve().parents[2]
# Each is a tenth of a second or more on two shared cores, and belongs into the factory that needs it.
HEAVY = (
    "aiohttp", "apprise", "asyncio", "azure", "bson", "cryptography", "holidays", "kubernetes", "pydantic",
    "pymongo", "requests", "rich.progress", "rich.table", "urllib3", "yaml", "zstandard",
    "shared.backup", "shared.deploy", "shared.formats", "shared.mongodb", "shared.notifications",
    "shared.pitr", "shared.restore", "shared.status",
)  # fmt: skip


def imported_by(*words: str) -> set[str]:
    """The modules that there are at the end of a command of `groundcrew`."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return modules_of(done)


def heavy_ones(modules: set[str]) -> list[str]:
    """Those of the list, or below one of it, that are among the modules."""
    prefixes = tuple(f"{name}." for name in HEAVY)
    return sorted(one for one in modules if one in HEAVY or one.startswith(prefixes))


@pytest.mark.parametrize("command", ["power", "status", "cost", "snapshots", "policy", "backups", "restore"])
def test_a_command_is_declared_without_what_only_its_work_needs(command: str) -> None:
    modules = imported_by(command, "--help")
    assert f"cli.{command}" in modules
    assert heavy_ones(modules) == []


def test_a_command_imports_no_other_one() -> None:
    modules = imported_by("power", "plan", "--help")
    assert {one for one in modules if one in {f"cli.{name}" for name in COMMANDS}} == {"cli.power"}


def test_every_command_is_found_by_the_name_it_is_listed_with() -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert {"quiet", "verbose"} <= {option.name for option in command.params}
    assert main.get_command(context, "nothing") is None
