"""Real programs that `make real` brought; a test whose program is not there is skipped and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.real import find_program


@pytest.fixture
def program() -> Callable[[str], Path]:
    """The path of a real program by its name."""

    def find(name: str) -> Path:
        path = find_program(name)
        if path is None:
            pytest.skip(f"no {name} here: `make real` brings it")
        return path

    return find
