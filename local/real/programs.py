"""Which real programs are brought: `programs.toml`, read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("programs.toml")


@dataclass(frozen=True, slots=True)
class Program:
    """A program in a Go module; the fields are explained at the top of `programs.toml`."""

    name: str
    module: str
    version: str
    checksum: str
    package: str
    proves: str
    repository: str = ""
    flags: str = ""
    tidy: str = ""
    slow: bool = False
    cost: str = ""
    release: str = ""
    release_checksum: str = ""
    release_member: str = ""


PROGRAMS = tuple(Program(**entry) for entry in tomllib.loads(_FILE.read_text(encoding="utf-8"))["program"])
