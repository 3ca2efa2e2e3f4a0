"""Several workers on one queue: one big collection in ranges, dumped by hosts in processes of their own.

The server is the limit, not this machine: `bench.fanout_source` gives each reader 1 MB/s, and all of them 3.
So it is seen whether the queue, the leases and the receipts stand in the way of more workers; how fast a
MongoDB is, or a worker, is not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.data import ROOT
from bench.fanout_source import COLLECTION, DOCUMENT_BYTES, serve_paced
from local.azurite import Azurite
from local.host.process import HostProcess
from shared.adapters.blobs import create_container, open_blobs
from shared.backup import sets
from shared.formats.agekeys import generate_identity
from shared.formats.backupset import Manifest, Receipt
from shared.formats.manifest import Signer
from shared.kernel.ports import Blobs
from shared.settings.environment import parse_storage_account

DOCUMENTS = 768  # 25 MB in parts of 2 MiB
RATE, SHARED_RATE = 1e6, 3e6  # bytes a second
WORKERS = (1, 2, 4)
BUDGET, BUDGET_BYTES = "1536 KiB", 1536 << 10
_SEALED_SECONDS = 300.0
# The deployed blueprint of backups alone: the other functions' timers would be work beside it.
_APP = """
import sys
sys.path.insert(0, {root!r})
import azure.functions as func
from functions.backup import bp

app = func.FunctionApp()
app.register_functions(bp)
"""


def run() -> dict[str, dict[str, object]]:
    """`{"fanout": {...}}`: MB/s of documents by so many workers, and by the most of them within a budget."""
    figures: dict[str, object] = {
        "megabytes": DOCUMENTS * DOCUMENT_BYTES / 1e6,
        "reader_megabytes_per_second": RATE / 1e6,
        "server_megabytes_per_second": SHARED_RATE / 1e6,
        "budget_megabytes_per_second": BUDGET_BYTES / 1e6,
    }
    with serve_paced(DOCUMENTS, RATE, SHARED_RATE) as uri:
        for count in WORKERS:
            speed, parts = _measure(uri, count, "")
            figures[f"{count}_workers_mb_per_second"] = speed
            figures["parts"] = parts
        figures[f"{WORKERS[-1]}_workers_with_budget_mb_per_second"], _ = _measure(uri, WORKERS[-1], BUDGET)
    return {"fanout": figures}


def _measure(uri: str, count: int, budget: str) -> tuple[float, int]:
    """MB/s from the first part's begin to the last one's end, and how many parts there were."""
    with tempfile.TemporaryDirectory() as folder, Azurite(Path(folder) / "azurite") as azurite:
        settings = _prepare(Path(folder), azurite.connection_string, uri, budget)
        with _start_hosts(Path(folder), settings, count):
            backups = open_blobs(parse_storage_account(azurite.connection_string), "backups")
            _back_up(settings, backups, 1)  # a worker's first part takes its imports, too
            receipts = _back_up(settings, backups, 2)
    dumped = [receipt for receipt in receipts if receipt.counts]
    began = min(receipt.started for receipt in dumped)
    seconds = (max(receipt.finished for receipt in dumped) - began).total_seconds()
    return sum(count.data_bytes for r in dumped for count in r.counts) / 1e6 / seconds, len(dumped)


def _prepare(folder: Path, storage: str, uri: str, budget: str) -> dict[str, str]:
    app = folder / "app"
    app.mkdir()
    (app / "function_app.py").write_text(_APP.format(root=str(ROOT)))
    (app / "host.json").write_text((ROOT / "host.json").read_text())
    limit = f"\n  read_limit: {budget}" if budget else ""
    policy = (ROOT / "policy.yaml").read_text()
    (folder / "policy.yaml").write_text(
        policy.replace("  part_target: 512 MiB", f"  part_target: 2 MiB{limit}")
    )
    for container in ("backups", "groundcrew"):
        create_container(parse_storage_account(storage), container)
    return {
        "AzureWebJobsStorage": storage,
        "MONGODB_URI": uri,
        "GROUNDCREW_POLICY": str(folder / "policy.yaml"),
        "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
        "GROUNDCREW_SIGNING_KEY": (signer := Signer.generate()).secret_text(),
        "GROUNDCREW_TRUSTED_SIGNERS": signer.public_text(),
    }


@contextlib.contextmanager
def _start_hosts(folder: Path, settings: dict[str, str], count: int) -> Iterator[None]:
    with contextlib.ExitStack() as hosts:
        for number in range(count):
            # A timer is one host's only; and an idle worker looks for messages as often as Azure starts one.
            own = settings | ({"AzureWebJobs.nightly_backup.Disabled": "1"} if number else {})
            hosts.enter_context(HostProcess(folder / "app", own, folder / f"host-{number}", longest_poll=0.2))
        yield


def _back_up(settings: dict[str, str], backups: Blobs, expected: int) -> Sequence[Receipt]:
    """One more set, sealed; what its manifest holds is checked. Its receipts."""
    command = [sys.executable, "-m", "cli", "backups", "create"]
    environment = {**os.environ, **settings}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, timeout=120)
    deadline = time.monotonic() + _SEALED_SECONDS
    while len(sealed := [info for info in sets.list_sets(backups) if sets.MANIFEST in info.files]) < expected:
        if time.monotonic() > deadline:
            raise SystemExit(f"fan-out: set {expected} was not sealed within {_SEALED_SECONDS:.0f} s")
        time.sleep(0.1)
    info, trusted = sealed[-1], (settings["GROUNDCREW_TRUSTED_SIGNERS"],)
    manifest = sets.read_manifest(backups, info, trusted).manifest
    plan = sets.read_plan(backups, info.folder, trusted)
    receipts = sets.read_receipts(backups, info, plan, trusted)
    _check_complete(manifest, len(plan.record.parts))
    listed = {part.blob for part in manifest.parts}
    return [receipt for receipt in receipts if receipt.blob in listed]


def _check_complete(manifest: Manifest, parts: int) -> None:
    """No part twice, none lost."""
    blobs = Counter(part.blob.partition(".")[0] for part in manifest.parts)
    documents = {entry.collection: entry.documents for entry in manifest.namespaces}
    if set(blobs.values()) != {1} or len(blobs) != parts or documents != {COLLECTION: DOCUMENTS}:
        raise SystemExit(f"fan-out: the set is not what the server has: {blobs}, {documents}")
