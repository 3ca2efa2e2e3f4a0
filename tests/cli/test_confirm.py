"""An order without a name, and how far a backup is that somebody waits for."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.backup_create import count_dumped_bytes
from shared.records.run_record import RunRecord
from tests.support.commands import run_groundcrew

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ASKED = "order all machines"
GOES_ON = "AZURE_SUBSCRIPTION_ID is not set"


def power(folder: Path, policy: str, *words: str) -> str:
    """What `groundcrew power` says with nobody to ask, where nothing but the policy is set."""
    (folder / "policy.yaml").write_text(policy)
    done = run_groundcrew("power", *words, env={"PATH": os.environ["PATH"]}, cwd=folder)
    assert done.returncode == 2
    return done.stderr


TWO = "power: {machines: [{name: chat, windows: []}, {name: build, windows: []}]}"
ONE = "power: {machines: [{name: chat, windows: []}]}"
TAGGED = "power: {machines: [{tag: groundcrew=chat, windows: []}]}"


@pytest.mark.parametrize("order", ["up", "off", "auto"])
@pytest.mark.parametrize(
    ("policy", "words", "told"),
    [
        pytest.param(TWO, (), ASKED, id="two machines"),
        pytest.param(TAGGED, (), ASKED, id="a tag, which may be of several"),
        pytest.param(TWO, ("chat",), GOES_ON, id="a name"),
        pytest.param(TWO, ("--yes",), GOES_ON, id="yes"),
        pytest.param(TWO, ("--dry-run",), GOES_ON, id="dry run"),
        pytest.param(ONE, (), GOES_ON, id="one machine"),
    ],
)
def test_an_order_without_a_name_is_confirmed_if_it_is_for_several(
    policy: str, words: tuple[str, ...], told: str, order: str, tmp_path: Path
) -> None:
    said = power(tmp_path, policy, order, *words)
    assert told in said
    assert (ASKED in said) is (told == ASKED)


def record(run: str, state: str, done: int, total: int) -> RunRecord:
    return RunRecord("backup", run, state, NOW, NOW, "", done=done, total=total)


def test_dumped_bytes_are_those_of_the_parts_and_never_more_than_planned() -> None:
    records = [
        record("S", "running", 7, 300),
        record("S.part-0000", "done", 90, 100),
        record("S.part-0001", "running", 40, 100),
        record("S.part-0002", "running", 170, 100),
    ]
    assert count_dumped_bytes("S", records) == 100 + 40 + 100
