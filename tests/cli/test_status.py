"""`groundcrew status`: the same facts as the page, and an exit code for monitoring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.azurite import Azurite
from shared.adapters.blobs import create_container, open_blobs
from shared.records.run_record import RunRecord
from shared.records.runs import Runs
from shared.settings.storage_account import StorageAccount
from shared.wiring import system_clock
from tests.support.commands import run_groundcrew

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(azurite: Azurite, tmp_path: Path) -> dict[str, str]:
    create_container(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")
    policy = tmp_path / "policy.yaml"
    policy.write_text("timezone: UTC\n")
    return {"AzureWebJobsStorage": azurite.connection_string, "GROUNDCREW_POLICY": str(policy)}


def groundcrew(settings: dict[str, str], *words: str) -> tuple[int, str, str]:
    done = run_groundcrew("status", *words, env={"PATH": os.environ["PATH"], **settings})
    return done.returncode, done.stdout, done.stderr


def test_it_tells_the_verdict_first_and_exits_with_it_only_if_asked(settings) -> None:
    code, text, _ = groundcrew(settings)
    first, *rest = text.splitlines()
    # Without a trusted signer nothing can be said of the backups, and timers were never seen to run.
    assert first.startswith("Check now, cannot be seen: backup: no signer of backups is trusted")
    assert any(line.startswith("server") and "not set up" in line for line in rest)
    assert code == 0
    assert groundcrew(settings, "--exit-code")[0] == 3


def test_the_json_is_that_of_the_page_and_a_repair_brings_back_the_history(settings) -> None:
    account = StorageAccount.by_connection_string(settings["AzureWebJobsStorage"])
    blobs, now = open_blobs(account, "groundcrew"), system_clock().now()
    Runs(blobs, system_clock()).save(RunRecord("backup", "x", "done", now, now, "sealed"))
    for blob in [*blobs.list("rollups/")]:
        blobs.delete(blob.name)
    lacking = json.loads(groundcrew(settings, "--json")[1])
    assert "backup" not in lacking["parts"]["runs"]["value"]["jobs"]
    code, text, told = groundcrew(settings, "--json", "--repair")
    assert code == 0
    assert "runs are rolled up" in told
    assert json.loads(text)["parts"]["runs"]["value"]["jobs"]["backup"]["newest"]["success"]["id"] == "x"


def test_colours_are_for_terminals_and_not_against_no_color(settings) -> None:
    def print_status(**variables: str) -> str:
        # An interpreter of its own: what colours there are is decided when the console's module is imported.
        environment = {"PATH": os.environ["PATH"], **settings, **variables}
        argv = [sys.executable, "-m", "cli", "status"]
        return subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True).stdout

    assert "\x1b[" not in print_status()
    assert "\x1b[" in print_status(FORCE_COLOR="1")
    assert "\x1b[3" not in print_status(FORCE_COLOR="1", NO_COLOR="1")


def test_without_any_storage_it_is_used_wrongly() -> None:
    code, _, told = groundcrew({})
    assert code == 2
    assert "AzureWebJobsStorage is not set" in told
