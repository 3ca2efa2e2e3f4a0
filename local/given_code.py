"""`python -c` as a program of `local.forks`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the first argument; the others are its own."""
    code = sys.argv.pop(1)
    # S102: what the caller wrote, as it would give it to an interpreter.
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})  # noqa: S102
