"""The host's timer restores the newest backup into a scratch MongoDB; the command line shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests

from local.azurite import EmulatedAccount
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.adapters.blobs import open_blobs
from shared.settings.environment import parse_storage_account

pytestmark = pytest.mark.timeout(300)
SECONDS = 120


class Site:
    """A stack with a scratch MongoDB."""

    def __init__(self, stack: Stack, scratch: MongoServer) -> None:
        self.stack, self.scratch = stack, scratch

    def cli(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments, "--json"],
            env={**os.environ, **self.stack.settings, **settings},
            cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout or done.stderr)

    def run_timer(self, function: str) -> None:
        answer = requests.post(
            f"{self.stack.host.url}/admin/functions/{function}",
            json={"input": ""}, headers={"x-functions-key": self.stack.host.master_key}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 202

    def wait_for_drill(self) -> Any:
        state = open_blobs(parse_storage_account(self.stack.settings["AzureWebJobsStorage"]), "groundcrew")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            # The command is asked once the storage has it: each time it is a process of its own.
            if any(state.list("proofs/")) and (drills := self.cli("drill", "list")["drills"]):
                return drills[0]
            time.sleep(0.2)
        pytest.fail(f"no drill within {SECONDS} s:\n{self.stack.host.log_tail()}")

    def databases(self) -> set[str]:
        """What the scratch server holds beside its own."""
        with pymongo.MongoClient[dict[str, Any]](self.scratch.uri) as client:
            return set(client.list_database_names()) - {"admin", "config", "local"}


@pytest.fixture
def site(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with MongoServer(tmp_path / "scratch", ttl_monitor=False) as scratch:
        stack = Stack(
            tmp_path / "stack", storage=take_account(), environment={"DRILL_MONGODB_URI": scratch.uri}
        )
        # The key is made at the stack's first start, the drill's with it.
        stack.environment["GROUNDCREW_DRILL_KEY"] = "\n".join(
            line for line in stack.make_identity().splitlines() if line.startswith("AGE-SECRET-KEY-")
        )
        with stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=3)
            yield Site(stack, scratch)


def test_a_backup_is_proven_by_the_timer_and_shown_as_proven_and_nothing_stays_behind(site: Site) -> None:
    made = site.cli("backups", "create", "--here")
    assert made["state"] == "sealed"
    assert [one["proven_at"] for one in site.cli("backups", "list")] == [None]
    assert site.cli("drill", "run", "--dry-run")["due"] is True

    site.run_timer("restore_drill")
    proof = site.wait_for_drill()
    assert (proof["outcome"], proof["problem"]) == ("proven", "")
    assert proof["namespaces"] > 10
    assert site.databases() == set()
    (shown,) = site.cli("backups", "list")
    assert shown["proven_at"]

    # By hand at any time, into the same server; and never into production.
    assert site.cli("drill", "run")["outcome"] == "proven"
    refused = site.cli("drill", "run", code=1, DRILL_MONGODB_URI=site.stack.mongodb_uri)
    assert "the one that is backed up" in refused["error"]["message"]
    assert site.databases() == set()
