"""A phone to look at the app's pages with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.chromium import Phone, find_chromium

WIDTH, HEIGHT = 390, 844


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("no chromium here: install Debian's package of that name")
    with Phone(binary, tmp_path / "chromium", width=WIDTH, height=HEIGHT) as opened:
        yield opened


@pytest.fixture
def check() -> Callable[[dict[str, Any]], None]:
    """Nothing beyond the edges, text and targets large enough, colours apart; and its style was let in."""

    def check(look: dict[str, Any]) -> None:
        assert look["wide"] <= WIDTH
        assert look["left"] >= 0
        assert look["right"] <= WIDTH
        assert look["smallest"] >= 14
        assert look["contrast"] >= 4.5  # WCAG 2.2, 1.4.3
        assert all(size >= 44 for size in look["targets"])  # WCAG 2.2, 2.5.5
        assert look["radius"] in (None, "11.2px")  # .7rem: the policy's hash fits the style

    return check
