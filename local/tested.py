"""docs/tests.md: how often the tests notice changed code, and what only end-to-end tests run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.mutation.report import least_percent, read_equivalents, read_scores

ROOT = Path(__file__).resolve().parent.parent
_HEAD = """# What the tests notice

Made by `make generate` from `bench/mutation.json`, `bench/mutation_equivalents.json` and
`bench/coverage.json`; do not edit.

## Changed code

`make mutate` changes a module in one small way at a time, a sample drawn with a seed, and runs the tests that
reach the changed statement; CONTRIBUTING.md says how. A module is worked on with one seed and measured with
another, since tests that are written for the changes of one sample say nothing of the others. The changes
that no test noticed stand in `bench/mutation.json`.

"""
_COLUMNS = """| module | possible changes | to reach | noticed, first seed | noticed, another seed |
|---|---|---|---|---|
"""


def tested_text() -> str:
    """The document, from the figures as they are on record."""
    scores = read_scores(ROOT / "bench" / "mutation.json")
    equivalents = read_equivalents(ROOT / "bench" / "mutation_equivalents.json")
    coverage = ROOT / "bench" / "coverage.json"
    covered = json.loads(coverage.read_text("utf-8")) if coverage.exists() else {}
    return _HEAD + mutation_text(scores, equivalents) + coverage_text(covered)


def mutation_text(
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]], equivalents: Mapping[str, Mapping[str, str]]
) -> str:
    """A row for each module that was tried, their sums, and how many are excused."""
    rows = [_module_row(module, list(seeds.values())) for module, seeds in sorted(scores.items())]
    firsts = [next(iter(seeds.values())) for seeds in scores.values()]
    seconds = [list(seeds.values())[-1] for seeds in scores.values() if len(seeds) > 1]
    below = [f"`{name}`" for name, seeds in sorted(scores.items()) if _is_below(name, [*seeds.values()][-1])]
    count = sum(len(keys) for keys in equivalents.values())
    lines = [
        f"{_COLUMNS}{''.join(rows)}| {len(scores)} modules | | | {_sum(firsts)} | {_sum(seconds)} |",
        "",
        f"Below what is to be reached, by their last seed: {', '.join(below) or 'none'}.",
        f"{count} changes are not counted, since nothing could tell them from the code: their reasons are in"
        " `bench/mutation_equivalents.json`.",
    ]
    return "\n".join(lines) + "\n"


def _module_row(module: str, seeds: list[Mapping[str, Any]]) -> str:
    first, another = _share(seeds[0]), _share(seeds[-1]) if len(seeds) > 1 else ""
    return f"| `{module}` | {seeds[-1]['possible']} | {least_percent(module)} % | {first} | {another} |\n"


def _share(score: Mapping[str, Any]) -> str:
    return f"{score['killed']} of {score['mutants']}, {score['percent']} % (seed {score['seed']})"


def _is_below(module: str, score: Mapping[str, Any]) -> bool:
    return bool(score["percent"] < least_percent(module))


def _sum(scores: list[Mapping[str, Any]]) -> str:
    tried, killed = (sum(int(one[key]) for one in scores) for key in ("mutants", "killed"))
    return f"{killed} of {tried}, {100 * killed / tried:.1f} %" if tried else ""


def coverage_text(covered: Mapping[str, Any]) -> str:
    """What only end-to-end tests ran, and what none did, by file and function."""
    if not covered:
        return ""
    lines = [
        "",
        "## What only end-to-end tests run",
        "",
        "`make coverage` runs the end-to-end tests, and all others that lead to triggers, wiring and",
        "commands, once each, with coverage.py in every Python process that they begin: the host's",
        "worker, the commands. Named here are the functions of which a line was run by end-to-end tests",
        "only, with the number of these lines, and those of which a line was run by none. A process that",
        "is killed hard, or begun without that environment, leaves no figures.",
        "",
        "| folder | statements | by end-to-end tests only | by none |",
        "|---|---|---|---|",
    ]
    for folder, sums in covered["folders"].items():
        lines.append(f"| `{folder}/` | {sums['statements']} | {sums['only_e2e']} | {sums['never']} |")
    lines += ["", "| file | by end-to-end tests only | by none |", "|---|---|---|"]
    for name, one in covered["files"].items():
        lines.append(f"| `{name}` | {_names(one['only_e2e'])} | {_names(one['never'])} |")
    return "\n".join(lines) + "\n"


def _names(functions: Mapping[str, int]) -> str:
    return ", ".join(f"`{name}` {count}" for name, count in functions.items())
