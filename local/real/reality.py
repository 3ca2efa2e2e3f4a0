"""What each claim of Groundcrew rests on, from `reality.toml`: for docs/reality.md and the README."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from local.real.programs import PROGRAMS

SOURCE = Path(__file__).with_name("reality.toml")
_HEAD = """# What was held against what

A stand-in is trusted only as far as it was held against what it stands for. This page names for each outside
system what CI runs, what was held against the real thing (which, when, by which command), and what nothing
here proves. Generated from local/real/reality.toml by `make generate`; do not edit.

"""


@dataclass(frozen=True, slots=True)
class RealityCheck:
    """One thing that was held against the real one."""

    what: str
    version: str
    on: date
    by: str  # the command or the test


@dataclass(frozen=True, slots=True)
class RealitySystem:
    """One outside system; texts are Markdown, with links as from docs/."""

    name: str
    here: str  # what CI runs
    yours: str  # how the same is run against the real thing
    held: tuple[RealityCheck, ...] = ()
    refused: tuple[str, ...] = ()  # what the real thing does otherwise, and what was done about it
    unproven: tuple[str, ...] = ()


def load_reality() -> list[RealitySystem]:
    """All systems in the file's order. Raises ValueError, TypeError or KeyError for a malformed file."""
    return [_parse_system(one) for one in tomllib.loads(SOURCE.read_text())["system"]]


def _parse_system(fields: dict[str, Any]) -> RealitySystem:
    checks = fields["held"]
    held = tuple(
        RealityCheck(one["what"], one["version"], date.fromisoformat(one["on"]), one["by"]) for one in checks
    )
    refused, unproven = tuple(fields.get("refused", ())), tuple(fields["unproven"])
    return RealitySystem(fields["name"], fields["here"], fields["yours"], held, refused, unproven)


def reality_text() -> str:
    """The page docs/reality.md."""
    systems = load_reality()
    return _HEAD + "\n".join([*map(_describe_system, systems), _list_differences(systems), _list_programs()])


def _describe_system(system: RealitySystem) -> str:
    lines = [f"## {system.name}", "", f"- CI runs: {system.here}."]
    lines += [
        f"- Held against {one.what} ({one.version}) on {one.on}, by `{one.by}`." for one in system.held
    ] or ["- Held against nothing real yet."]
    lines += [f"- The real thing differed: {one}." for one in system.refused]
    lines += [f"- Not proved: {one}." for one in system.unproven]
    return "\n".join([*lines, f"- Against the real thing: {system.yours}.", ""])


_PROGRAMS_HEAD = """\
Each is pinned by the checksum of its module, or by its commit where no proxy serves the module. Where its
authors publish it built and that can be reached, it is taken as it is published, by a pinned checksum; no
download was possible where these checks ran, so all were built. `make real` builds what takes minutes, and
takes the rest from `~/.cache/groundcrew/real` if it was built before; `make real SLOW=1` builds all.
`GROUNDCREW_SOURCES` names Git directories with sources where GitHub is not reached.
"""


def _list_differences(systems: Iterable[RealitySystem]) -> str:
    """What real things did otherwise than ours, all in one place."""
    lines = [f"| {one.name} | {refused} |" for one in systems for refused in one.refused]
    head = "What ours accepted or did otherwise, and what was done about it, of all systems."
    rows = ["| system | difference, and its mend |", "|---|---|", *lines]
    return "\n".join(["## What real things refused that ours accepted", "", head, "", *rows, ""])


def _list_programs() -> str:
    rows = [
        f"| {one.name} | {one.module} {one.version} | {one.proves} | {one.cost or 'minutes'} "
        f"| {'pinned' if one.release else '-'} |"
        for one in PROGRAMS
    ]
    table = ["| program | module | what it proves | its build | release |", "|---|---|---|---|---|", *rows]
    return "\n".join(["## The programs that `make real` brings", "", _PROGRAMS_HEAD, *table, ""])


def reality_table() -> str:
    """The README's table."""
    rows = ["| what | here, in CI | held against the real thing | not proved |", "|---|---|---|---|"]
    for one in load_reality():
        held = "; ".join(f"{check.what}, {check.version}" for check in one.held) or "**not yet**"
        here = one.here.replace("](", "](docs/")
        rows.append(f"| {one.name} | {here} | {held} | {'; '.join(one.unproven)} |")
    return "\n".join(rows) + "\n"
