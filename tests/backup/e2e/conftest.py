"""The embedded stack with a small Rocket.Chat in it, once for all tests of a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from local.azurite import EmulatedAccount
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.adapters.blobs import open_blobs
from shared.adapters.clock import SystemClock
from shared.adapters.mongodb import connect_source
from shared.backup import sets
from shared.backup.catalogue import SetCatalogue, SetState
from shared.backup.seals import SealLog
from shared.kernel.ports import Blobs
from shared.mongodb.ports import SourceDatabase
from shared.settings.environment import parse_storage_account
from tests.support.commands import run_groundcrew

SECONDS = 90


@contextmanager
def reading(uri: str) -> Iterator[SourceDatabase]:
    """A server's contents, as a backup would read them."""
    with closing(connect_source(uri)) as source:
        yield source


def catalogue_of_stack(stack: Stack) -> SetCatalogue:
    """The sets of a stack, as its own signer makes them."""
    storage = parse_storage_account(stack.settings["AzureWebJobsStorage"])
    trusted = (stack.settings["GROUNDCREW_TRUSTED_SIGNERS"],)
    seals = SealLog(open_blobs(storage, "groundcrew"), trusted)
    return SetCatalogue(open_blobs(storage, "backups"), SystemClock(), trusted, seals)


class App:
    """The stack, and what a test wants of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    @property
    def backups(self) -> Blobs:
        return open_blobs(parse_storage_account(self.stack.settings["AzureWebJobsStorage"]), "backups")

    @property
    def source(self) -> AbstractContextManager[SourceDatabase]:
        return reading(self.stack.mongodb_uri)

    def trigger(self, function: str) -> None:
        url = f"{self.stack.host.url}/admin/functions/{function}"
        headers = {"x-functions-key": self.stack.host.master_key}
        assert requests.post(url, json={"input": ""}, headers=headers, timeout=30).status_code == 202

    def sealed(self) -> list[sets.SetInfo]:
        return self.in_state(SetState.SEALED)

    def in_state(self, state: SetState) -> list[sets.SetInfo]:
        return [e.info for e in catalogue_of_stack(self.stack).entries() if e.state is state]

    def cli(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        """The command line's answer; `code` is the exit code it must have."""
        environment = {**os.environ, **self.stack.settings, **settings}
        done = run_groundcrew(*arguments, env=environment, timeout=SECONDS)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        if "--json" not in arguments:
            return done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS, *, pause: float = 0.4) -> Any:
    """Wait for a condition, which is looked at every `pause` seconds, with a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(pause)
    pytest.fail(f"{what} did not happen within {seconds} s")


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts small enough that even the tiny database has several."""
    text = (ROOT / "policy.yaml").read_text().replace("part_target: 512 MiB", "part_target: 1 MiB")
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, policy: Path, take_account: Callable[[], EmulatedAccount]
) -> Iterator[App]:
    with Stack(tmp_path_factory.mktemp("stack"), policy=policy, storage=take_account()) as stack:
        seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
        yield App(stack)


@pytest.fixture(scope="session")
def read() -> Callable[[str], AbstractContextManager[SourceDatabase]]:
    return reading


@pytest.fixture
def target(tmp_path: Path) -> Iterator[MongoServer]:
    with MongoServer(tmp_path / "target", ttl_monitor=False) as server:
        yield server
