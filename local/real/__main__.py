"""`python -m local.real [--slow] [NAME …]`: build what is not there yet, and say what is there.

Exits 1 if a program that was asked for by name could not be built.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from local.real.build import Built, bring
from local.real.programs import PROGRAMS, Program


def choose(names: Sequence[str], slow: bool) -> list[Program]:
    """The programs to bring: those named, or all that build in minutes; with `slow` the others too."""
    if names:
        return [program for program in PROGRAMS if program.name in names]
    return [program for program in PROGRAMS if slow or not program.slow]


def table(results: Sequence[Built]) -> str:
    """One line a program: name, version, state."""
    rows = [(built.program.name, built.program.version, built.state) for built in results]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {version:{widths[1]}}  {state}" for name, version, state in rows)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m local.real", description="Build real programs.")
    parser.add_argument("names", nargs="*", choices=[*(program.name for program in PROGRAMS), []])
    parser.add_argument("--slow", action="store_true", help="also those that take many minutes")
    options = parser.parse_args()
    results = [bring(program) for program in choose(options.names, options.slow)]
    print(table(results))
    missing = [built.program.name for built in results if built.path is None]
    if missing:
        print(f"not to be had here: {', '.join(missing)}")
    return 1 if missing and options.names else 0


if __name__ == "__main__":
    sys.exit(main())
