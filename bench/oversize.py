"""A body of 99 MiB without a signature, sent to the webhook: what it costs the app, and for how long.

Once as the Terraform sets it, where the platform (here the embedded host) refuses what is longer than GitHub
sends before the app sees it; once without that setting, where the worker gets the body whole, and the app's
own limit answers. The memory is what the process's peak rises by; the worker is warm.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import requests

from bench.data import ROOT
from bench.intake import served
from shared.deploy.webhook.signature import MAX_BODY_BYTES

_LIMIT = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
_BODY_BYTES = 99 << 20


def run() -> dict[str, dict[str, float]]:
    """`{"oversize": {capped_…, uncapped_…}}` in MB and seconds."""
    capped = _send_oversize({_LIMIT: str(MAX_BODY_BYTES)}, "capped")
    return {"oversize": {**capped, **_send_oversize({_LIMIT: str(200 << 20)}, "uncapped")}}


def _send_oversize(settings: dict[str, str], name: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory, served(Path(directory), "secret", settings) as host:
        url = f"{host.url}/api/github/webhook"
        requests.post(url, data=b"{}", timeout=30)  # which loads what the endpoint needs
        before, began = _peak_megabytes(host.pid), time.perf_counter()
        answer = requests.post(url, data=b"x" * _BODY_BYTES, timeout=60)
        seconds = time.perf_counter() - began
        rise = _peak_megabytes(host.pid) - before
    if answer.status_code < 400:
        raise SystemExit(f"{ROOT.name}: the endpoint accepted it: {answer.status_code}")
    return {f"{name}_megabytes": rise, f"{name}_seconds": seconds, f"{name}_status": answer.status_code}


def _peak_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
