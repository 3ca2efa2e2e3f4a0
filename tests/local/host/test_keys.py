"""Access keys: which opens what, and how they are kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from multidict import CIMultiDict

from local.host.keys import EVENT_GRID_SYSTEM_KEY, KeyLevel, Keys, load_keys, presented_key

KEYS = Keys("M", {"default": "H"}, {EVENT_GRID_SYSTEM_KEY: "S"}, {"one": "F1", "two": "F2"})


@pytest.mark.parametrize(
    ("level", "opening"),
    [
        (KeyLevel.ANONYMOUS, {"M", "H", "S", "F1", "F2", "", None}),
        (KeyLevel.FUNCTION, {"M", "H", "F1"}),
        (KeyLevel.ADMIN, {"M"}),
    ],
    ids=["anonymous", "function", "admin"],
)
def test_each_level_opens_to_its_keys_and_no_others(level: KeyLevel, opening: set[str | None]) -> None:
    shown = {"M", "H", "S", "F1", "F2", "", None, "ä"}
    expected = shown if level is KeyLevel.ANONYMOUS else opening
    assert {key for key in shown if KEYS.allow(level, "one", key)} == expected


def test_the_webhook_opens_to_the_system_key_and_the_master_key() -> None:
    shown = {"M", "H", "S", "F1", None}
    assert {key for key in shown if KEYS.allow_system(EVENT_GRID_SYSTEM_KEY, key)} == {"M", "S"}


def test_the_header_beats_the_query_even_if_it_is_wrong() -> None:
    assert presented_key(CIMultiDict({"X-Functions-Key": "wrong"}), {"code": "M"}) == "wrong"
    assert presented_key(CIMultiDict(), {"code": "M"}) == "M"
    assert presented_key(CIMultiDict(), {}) is None


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    first = load_keys(path, ["one"])
    second = load_keys(path, ["one", "two"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert second.master == first.master
    assert second.functions["one"] == first.functions["one"]
    every = [second.master, *second.host.values(), *second.system.values(), *second.functions.values()]
    assert len(set(every)) == 5
    assert min(len(key) for key in every) >= 40


def test_keys_do_not_show_when_printed() -> None:
    assert repr(KEYS) == str(KEYS) == "Keys(**redacted**)"
