"""What commands take that people type while the chat is stopped: wall and processor time, imports included.

Storage is Azurite and Azure the stand-in, both on this machine. aiohttp is hidden: it belongs to the
stand-ins, and where the command line is installed Azure's SDK finds none to import.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.data import ROOT
from local.azure_and_chat import AroundPorts, run_azure_and_chat
from local.azurite import Azurite
from shared.adapters.blobs import create_container, open_blobs
from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from shared.settings.storage_account import StorageAccount

ROUNDS = 5
_MAIN = (
    "import sys; sys.modules['aiohttp'] = None\n"
    "from cli.main import main; main(sys.argv[1:], prog_name='groundcrew')"
)
COMMANDS = {
    "power plan": ("power", "plan"),
    "power orders": ("power", "orders"),
    "power status": ("power", "status"),
    "power off --dry-run": ("power", "off", "rocketchat", "--for", "2h", "--dry-run"),
    "snapshots list": ("snapshots", "list"),
    "cost report": ("cost", "report"),
    "backups list": ("backups", "list"),
    "policy check": ("policy", "check"),
    "status": ("status",),
}
_POLICY = """
timezone: Europe/Berlin
power:
  machines: [{name: rocketchat, windows: [Mon-Fri 07:00-19:00]}]
  holidays: {country: DE}
snapshots: {disks: groundcrew=snapshot}
"""


@contextmanager
def configured_shell() -> Iterator[dict[str, str]]:
    """The environment of somebody who may order everything, with stand-ins behind it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        azurite = stack.enter_context(Azurite(folder / "azurite"))
        storage = StorageAccount.by_connection_string(azurite.connection_string)
        for name in ("backups", "groundcrew"):
            create_container(storage, name)
        # The first request of all is Azurite's own start.
        open_blobs(storage, "groundcrew").create("first", b"")
        settings = stack.enter_context(run_azure_and_chat(AroundPorts()))
        (folder / "policy.yaml").write_text(_POLICY)
        yield {
            **os.environ,
            **settings,
            "AzureWebJobsStorage": azurite.connection_string,
            "GROUNDCREW_POLICY": str(folder / "policy.yaml"),
            "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
            "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        }


def run_command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of `groundcrew` in a fresh process."""
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _measure(environment: dict[str, str], arguments: tuple[str, ...]) -> dict[str, float]:
    walls, cpus = [], []
    for _ in range(ROUNDS):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = run_command(environment, *arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - began)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        # `status` and `backups list` say by their exit that there is no backup yet: that is an answer, too.
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    return {"wall_seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def run() -> dict[str, dict[str, dict[str, float]]]:
    """By command the medians."""
    with configured_shell() as environment:
        return {"cli": {name: _measure(environment, words) for name, words in COMMANDS.items()}}
