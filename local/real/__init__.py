"""Real programs beside the stand-ins: `make real` builds them from their Go modules into `.local/real`.

Nothing of the product, of `make demo` or of `make test` needs them. A test that does asks `find_program` and
is skipped with the reason if it is not there. Each program is pinned by version and by the checksum of its
module (the `h1:` hash of https://go.dev/ref/mod#go-sum-files); what a module needs beside it is checked by Go
itself, against go.sum and the checksum database.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".local" / "real"
VARIABLE = "GROUNDCREW_REAL"


def directory() -> Path:
    """Where the programs lie: the folder that GROUNDCREW_REAL names, or `.local/real`."""
    return Path(os.environ.get(VARIABLE) or DIRECTORY)


def find_program(name: str) -> Path | None:
    """The path of a program that `make real` brought; None if it is not there."""
    path = directory() / "bin" / name
    return path if os.access(path, os.X_OK) else None
