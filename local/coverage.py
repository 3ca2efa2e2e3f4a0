"""Which lines only end-to-end tests run, and which none, for docs/tests.md: `python -m local.coverage`.

The end-to-end tests and all others that lead to triggers, wiring and commands run once with coverage.py in
every Python process that they begin: the app's worker, the commands. Nothing is known of what a process ran
that was killed hard, or begun with an environment of its own that does not ask for it: a line that is
called run was, one that is called never run may have been.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.reaching import find_reaching_tests

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".local" / "coverage"
RESULTS = ROOT / "bench" / "coverage.json"
# Where mistakes are seen end to end: triggers, what is put together, commands. The rest has tests of its own.
SHOWN = ("functions", "shared/wiring", "cli")
_KINDS = ("e2e", "rest")
# Many programs are forks of one process (local/forks.py), and some end without Python's own end.
_RC = """[run]
parallel = true
sigterm = true
concurrency = thread,multiprocessing
patch =
    _exit
    fork
data_file = {data}
source =
    {sources}
[report]
exclude_also =
    if TYPE_CHECKING:
"""


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file: its statements, and which lines of them one kind of tests ran, both, or none."""

    statements: int
    only_e2e: tuple[int, ...]
    never: tuple[int, ...]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m local.coverage", description="Measure coverage.")
    parser.add_argument("--only", choices=_KINDS, help="run these anew; else both")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--report", action="store_true", help="of what was measured before, without a run")
    options = parser.parse_args()
    for kind in () if options.report else [options.only] if options.only else _KINDS:
        # A failed test is no reason to stop: what the others ran is known all the same.
        print(f"{kind}: pytest ended with {_run_tests(kind, options.workers)}", flush=True)
    if missing := [kind for kind in _KINDS if not any(FOLDER.glob(f"{kind}*"))]:
        print(f"not measured yet: {', '.join(missing)}; run it with --only {missing[0]}")
        return 1
    files = compare_lines(_read_lines("e2e"), _read_lines("rest"))
    RESULTS.write_text(json.dumps(summarize(files, ROOT), indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(format_report(files))
    return 0


def list_tests(kind: str) -> list[str]:
    """Arguments of pytest for a kind: what is below a folder `e2e`, or all other files that lead to SHOWN."""
    if kind == "e2e":
        return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("**/e2e"))
    reaching = find_reaching_tests(ROOT, ["function_app", *(name.replace("/", ".") for name in SHOWN)])
    # Real programs are no part of the suite.
    return [name for name in reaching if "/e2e/" not in name and not name.startswith("tests/real/")]


def _run_tests(kind: str, workers: str) -> int:
    config = _write_config(kind)
    for old in FOLDER.glob(f"{kind}*"):
        old.unlink()
    # coverage.py's own .pth file begins the measuring in each process that has this in its environment.
    environment = {**os.environ, "COVERAGE_PROCESS_START": str(config)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "--dist", "loadfile"]
    command += ["--no-loadscope-reorder", "-p", "no:cacheprovider", *list_tests(kind)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _write_config(kind: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    config = FOLDER / f"config.{kind}"
    sources = "\n    ".join(str(ROOT / name) for name in SHOWN)
    config.write_text(_RC.format(data=FOLDER / kind, sources=sources), encoding="utf-8")
    return config


def _read_lines(kind: str) -> dict[str, tuple[frozenset[int], frozenset[int]]]:
    """By file the lines that were run and those that were not."""
    config, report = _write_config(kind), FOLDER / f"lines.{kind}.json"
    python, options = [sys.executable, "-m", "coverage"], [f"--rcfile={config}"]
    # Of one data file for each process; there is none if nothing was measured anew.
    subprocess.run([*python, "combine", "--quiet", "--append", *options], cwd=ROOT, check=False)
    subprocess.run([*python, "json", "--quiet", *options, "-o", str(report)], cwd=ROOT, check=True)
    files = json.loads(report.read_text("utf-8"))["files"]
    return {
        name: (frozenset(one["executed_lines"]), frozenset(one["missing_lines"]))
        for name, one in files.items()
    }


def compare_lines(
    e2e: Mapping[str, tuple[frozenset[int], frozenset[int]]],
    rest: Mapping[str, tuple[frozenset[int], frozenset[int]]],
) -> dict[str, FileCoverage]:
    """By file what only end-to-end tests ran and what none did."""
    files = {}
    for name, (run_by_e2e, missed_by_e2e) in sorted(e2e.items()):
        run_by_rest = rest[name][0] if name in rest else frozenset[int]()
        statements = run_by_e2e | missed_by_e2e
        files[name] = FileCoverage(
            len(statements),
            tuple(sorted(run_by_e2e - run_by_rest)),
            tuple(sorted(missed_by_e2e - run_by_rest)),
        )
    return files


def summarize(files: Mapping[str, FileCoverage], root: Path) -> dict[str, Any]:
    """The sums of each folder, and by file of SHOWN the functions with lines that are not run by both kinds.

    By function, since lines move with each change of the code.
    """
    named = {
        name: {
            "only_e2e": count_by_function((root / name).read_text("utf-8"), one.only_e2e),
            "never": count_by_function((root / name).read_text("utf-8"), one.never),
        }
        for name, one in files.items()
        if _is_shown(name) and (one.only_e2e or one.never)
    }
    return {"folders": {folder: _sum_folder(folder, files) for folder in SHOWN}, "files": named}


def count_by_function(source: str, lines: Sequence[int]) -> dict[str, int]:
    """How many of the lines are in which function, in their order; `(module)` for those outside."""
    spans = list[tuple[int, int, str]]()

    def visit(node: ast.AST, scope: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope = f"{scope}.{node.name}".lstrip(".")
            spans.append((node.lineno, node.end_lineno or node.lineno, scope))
        for child in ast.iter_child_nodes(node):
            visit(child, scope)

    visit(ast.parse(source), "")
    counts: dict[str, int] = {}
    for line in lines:
        # The innermost is the last one that was entered.
        name = next((name for first, last, name in reversed(spans) if first <= line <= last), "(module)")
        counts[name] = counts.get(name, 0) + 1
    return counts


def _is_shown(name: str) -> bool:
    return name.startswith(tuple(f"{folder}/" for folder in SHOWN))


def format_report(files: Mapping[str, FileCoverage]) -> str:
    """A line for each file of SHOWN that has any such lines, and the sums of all."""
    lines = []
    for name, one in files.items():
        if _is_shown(name) and (one.only_e2e or one.never):
            never = f"; none: {format_lines(one.never)}" if one.never else ""
            lines.append(f"{name}: {len(one.only_e2e)} of {one.statements} by end-to-end tests only{never}")
    return "\n".join([*lines, *(_format_sum(folder, files) for folder in SHOWN)])


def _format_sum(folder: str, files: Mapping[str, FileCoverage]) -> str:
    one = _sum_folder(folder, files)
    return (
        f"{folder}/: {one['statements']} statements, {one['only_e2e']} by end-to-end tests only,"
        f" {one['never']} by none"
    )


def _sum_folder(folder: str, files: Mapping[str, FileCoverage]) -> dict[str, int]:
    below = [one for name, one in files.items() if name.startswith(f"{folder}/")]
    return {
        "statements": sum(one.statements for one in below),
        "only_e2e": sum(len(one.only_e2e) for one in below),
        "never": sum(len(one.never) for one in below),
    }


def format_lines(lines: Sequence[int]) -> str:
    """`3, 7-9` of 3, 7, 8, 9."""
    spans: list[list[int]] = []
    for line in sorted(lines):
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


if __name__ == "__main__":
    sys.exit(main())
