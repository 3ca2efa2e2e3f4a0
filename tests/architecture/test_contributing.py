"""The lists of CONTRIBUTING ("add a job", "add a gate", …) name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LISTS = dict(re.findall(r"^## (Add an? [^\n]+)\n(.*?)(?=^## )", TEXT, re.M | re.S))


def paths(body: str) -> list[str]:
    return [
        word for word in re.findall(r"`([^`\s]+)`", body) if "/" in word or word.endswith((".py", ".toml"))
    ]


@pytest.mark.parametrize("title", LISTS)
def test_every_file_that_a_list_names_is_there(title: str) -> None:
    named = paths(LISTS[title])
    assert len(named) >= 3
    missing = [path for path in named if not any(ROOT.glob(path.replace("<feature>", "*").rstrip("/")))]
    # A bare file name stands for the one in the feature's folder.
    missing = [path for path in missing if "/" in path or not any(ROOT.glob(f"shared/**/{path}"))]
    assert not missing


def test_there_is_a_list_for_each_thing_that_is_added_often() -> None:
    assert set(LISTS) == {"Add a job", "Add a gate", "Add an adapter", "Add a setting"}
