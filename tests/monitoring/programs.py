"""Runs the programs that Debian brings, or skips where one is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from local.real import find_program

ROOT = Path(__file__).resolve().parents[2]


def find(program: str, cure: str) -> str:
    """The program's path: on PATH, or of those that `make real` built. Skips the test where there is none."""
    binary = shutil.which(program) or find_program(program)
    if binary is None:
        pytest.skip(f"{program} is missing ({cure})")
    return str(binary)


def run(program: str, package: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What it says, and its exit code."""
    binary = find(program, f"Debian: apt-get install {package}")
    return subprocess.run(
        [binary, *arguments], input=stdin, capture_output=True, text=True, timeout=220, check=False, cwd=ROOT
    )
