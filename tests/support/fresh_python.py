"""Code in an interpreter of its own: what imports do can be seen in a fresh one only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local.stack import ROOT


def run_code(folder: Path, code: str) -> str:
    """What the code prints, run in the folder with its modules and ours. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout
