"""Sample apps, written to a temporary directory, and hosts that run them in processes of their own."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.host.process import HostProcess

HEADER = """
import json, logging, os, time
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

def observe(**facts):
    with open(os.environ["OBSERVED"], "a") as file:
        file.write(json.dumps({"pid": os.getpid(), "at": time.time(), **facts}) + "\\n")
"""


@dataclass(frozen=True)
class App:
    """A sample app and what its functions have written down by `observe`."""

    folder: Path

    @property
    def observed(self) -> list[dict[str, Any]]:
        path = self.folder / "observed.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


StartHost = Callable[..., HostProcess]


MakeApp = Callable[..., App]


def write_app(folder: Path, code: str, host_json: Mapping[str, object] | None = None) -> App:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function_app.py").write_text(HEADER + code)
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **(host_json or {})}))
    return App(folder)


@pytest.fixture
def make_app(tmp_path: Path) -> MakeApp:
    """Writes `function_app.py` (with `app` and `observe` already there) and `host.json`."""

    def make(code: str, host_json: Mapping[str, object] | None = None, *, folder: str = "app") -> App:
        return write_app(tmp_path / folder, code, host_json)

    return make


@pytest.fixture
def start_host(azurite: Azurite, tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts over the test's storage and stops them in the end; hosts of one app share its host id."""
    host_id = uuid.uuid4().hex
    with ExitStack() as stack:

        def start(
            app: App, *, state: str = "state", env: Mapping[str, str] | None = None, **how: Any
        ) -> HostProcess:
            settings = {
                "AzureWebJobsStorage": azurite.connection_string,
                "AzureFunctionsWebHost__hostid": host_id,
                "OBSERVED": str(app.folder / "observed.jsonl"),
                **(env or {}),
            }
            return stack.enter_context(HostProcess(app.folder, settings, tmp_path / state, **how))

        yield start


@pytest.fixture
def queue(azurite: Azurite) -> Iterator[QueueClient]:
    """A queue of its own for each test; messages go in as they are given."""
    name = f"q{uuid.uuid4().hex[:12]}"
    with QueueClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_queue()
        yield client


@pytest.fixture
def poison(azurite: Azurite, queue: QueueClient) -> Iterator[QueueClient]:
    """The poison queue that belongs to it, which is there only when the host has made it."""
    name = f"{queue.queue_name}-poison"
    with QueueClient.from_connection_string(azurite.connection_string, name) as client:
        yield client


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition; fails with what was waited for when the time is over."""

    def wait(condition: Callable[[], bool], what: str, *, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
            time.sleep(0.03)

    return wait


@pytest.fixture(scope="module")
def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One host for all tests over HTTP."""
    folder = tmp_path_factory.mktemp("web")
    shutil.copy(Path(__file__).with_name("web_app.py"), folder / "function_app.py")
    env = {"AzureWebJobsStorage": azurite.connection_string, "AzureWebJobs.off.Disabled": "1"}
    options = ("--max-body-bytes", "100000")
    state = tmp_path_factory.mktemp("state")
    with HostProcess(folder, env, state, log_format="json", options=options) as running:
        yield running


@pytest.fixture
def logged(host: HostProcess) -> Callable[[str], list[dict[str, Any]]]:
    """The records of one event that the host has logged so far."""

    def records(event: str) -> list[dict[str, Any]]:
        lines = (host.state_dir / "host.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in found if record.get("event") == event]

    return records
