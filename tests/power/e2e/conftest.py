"""The app in its host, with Azure, the chat and the server on the machine beside it; storage is Azurite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local.app_service import principal_header
from local.azure_and_chat import add_webhook, azure_settings, rocketchat_app
from local.azure_rm import AzureServer
from local.azure_rm.machines import Vm
from local.azurite import EmulatedAccount
from local.chat import ChatServer, read_message
from local.host.process import HostProcess
from local.server import Served
from shared.adapters.blobs import create_container, open_blobs
from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_groundcrew
from tests.support.imports import MAIN, modules_of

ROOT = Path(__file__).resolve().parents[3]
POLICY = """
timezone: Europe/Berlin
access: {wake: ["1234"]}
backup: {when_vm_off: skip}
power:
  machines: [{name: rocketchat, windows: [], alternatives: [Standard_D4as_v5]}]
  warning: 1s
  graceful_stop: 10s
  min_up: 1s
  settle: 30s
snapshots:
  disks: groundcrew=snapshot
  lock: never
  check: weekly
"""


@dataclass
class Site:
    """All that runs, and how a person gets at it."""

    host: HostProcess
    azure: AzureServer
    chat: ChatServer
    vm: Vm
    storage: StorageAccount
    settings: dict[str, str]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What the host wrote under that name."""
        lines = (self.host.state_dir / "host.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in found if record.get("event") == event]

    def heard(self) -> list[str]:
        return [read_message(message) for message in self.chat.messages]

    def blob(self, name: str) -> Any:
        return json.loads(open_blobs(self.storage, "groundcrew").read(name)[0])

    def get(self, **headers: str) -> requests.Response:
        return requests.get(
            f"{self.host.url}/api/wake", headers={**principal_header(), **headers}, timeout=60
        )

    def run(self, function: str) -> None:
        """What the timer would do now."""
        answer = requests.post(
            f"{self.host.url}/admin/functions/{function}",
            json={"input": ""},
            headers={"x-functions-key": self.host.master_key},
            timeout=20,
        )
        assert answer.status_code == 202

    def post(self, **form: str) -> requests.Response:
        return requests.post(
            f"{self.host.url}/api/wake",
            data=form,
            headers=principal_header(),
            timeout=60,
            allow_redirects=False,
        )

    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.get().text)
        assert found, self.get().text
        return found[1]

    def cli(self, *arguments: str) -> Any:
        return json.loads(self.say(*arguments, "--json"))

    def say(self, *arguments: str) -> str:
        """What the command line prints for people."""
        done = run_groundcrew(*arguments, env={**os.environ, **self.settings})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def modules_after(self, *arguments: str) -> set[str]:
        """The modules that a command has imported by its end."""
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments],
            env={**os.environ, **self.settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return modules_of(done)


@pytest.fixture
def site(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        for name in ("backups", "groundcrew"):
            create_container(storage, name)
        delays = {f"virtualMachines/{verb}": timedelta(seconds=0.3) for verb in ("start", "deallocate")}
        azure = stack.enter_context(AzureServer(delays=delays))
        azure.guest.commands["microk8s"] = "echo Stopped."
        azure.guest.commands["pgrep"] = ":"
        vm = azure.add_vm("rocketchat")
        chat = stack.enter_context(ChatServer())
        served = stack.enter_context(Served(rocketchat_app(vm)))
        (tmp_path / "policy.yaml").write_text(POLICY)
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            **azure_settings(azure),
            "GROUNDCREW_CHAT": served.url,
            # Another chat than that of the machine, by its name: messages to that one wait while it is off.
            "GROUNDCREW_NOTIFY_URLS": f"chat={add_webhook(chat).replace('127.0.0.1', 'localhost')}",
            "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
            "GROUNDCREW_WAKE_SIGN_IN": "app-service",
            "GROUNDCREW_SCHEDULE_POWER_TICK": "*/2 * * * * *",
            # By hand only: it works once an hour, and its own tick before a test has its disk would be it.
            "GROUNDCREW_SCHEDULE_SNAPSHOT_CYCLE": "0 0 0 1 1 *",
            # On the machine that is off: nobody answers there.
            "MONGODB_URI": "mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=500",
            "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
            "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        }
        host = stack.enter_context(HostProcess(ROOT, settings, tmp_path / "host", log_format="json"))
        yield Site(host, azure, chat, vm, storage, settings)


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition; fails with what was waited for when the time is over."""

    def wait(condition: Callable[[], bool], what: str, *, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
            time.sleep(0.3)

    return wait
