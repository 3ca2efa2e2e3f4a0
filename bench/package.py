"""The package that is deployed: its size, and what the first call of each function costs a fresh worker.

The package is built and unpacked as it is on Azure, with bytecode, for Python 3.13. Microsoft's worker
library indexes it in its own process and calls one function, against stand-ins of everything around. The CPU
time is that of the call without the indexing, the memory is the process's peak. The timers find a first
night, the queue a merge.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data import ROOT
from local import package
from local.app_service import principal_header
from local.deploy_demo import Site
from local.rocketchat.seed import seed_database
from local.stack import Stack
from local.worker_calls import FunctionCall, run_worker

_TIMERS = (
    "power_tick", "snapshot_cycle", "cost_report", "drift_check", "nightly_backup", "certificate_scan",
    "oplog_capture", "restore_drill", "secrets_rotation", "catch_up",
)  # fmt: skip
_PAGES = ("health", "health_report", "doctor", "status", "metrics", "wake", "deploy_page", "tick")


def run() -> dict[str, dict[str, Any]]:
    """`{"package": {files, megabytes}, "firstcall": {function: {cpu_seconds, rss_megabytes}}}`."""
    python = package.find_python()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        target = package.build(folder / "built", folder / "groundcrew.zip", helm=None, python=python)
        app, worker = folder / "wwwroot", folder / "worker"
        with zipfile.ZipFile(target) as archive:
            archive.extractall(app)
        argv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(worker), "--no-deps"]
        argv += ["--python-version", package.PYTHON, "--require-hashes"]
        subprocess.run([*argv, "-r", str(ROOT / "requirements-worker.txt")], check=True, timeout=300)
        path = f"{app / package.SITE}:{worker}:{ROOT}"
        return {
            "package": package.measure(target),
            "firstcall": _first_calls(folder, app, path, python),
        }


def _first_calls(folder: Path, app: Path, path: str, python: str) -> dict[str, dict[str, float]]:
    figures = {}
    with Site(folder / "site") as site:
        policy = site.policy((ROOT / "policy.yaml").read_text())
        settings = dict(site.settings)
        with Stack(folder / "stack", policy=policy, with_azure=True, environment=settings) as stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            stack.host.stop()  # whose timers would do the work before
            pull = site.propose("8.2.0", "first call")
            sha = site.repository.merge(pull)
            environment = {**stack.settings, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
            for call in _calls(site, sha):
                (result,) = run_worker(environment, [call], app=app, python=python)
                figure = f"{result.cpu_seconds:.2f} s, {result.rss_megabytes:.0f} MB {result.error[:200]}"
                print(f"  {call.function}: {figure}", file=sys.stderr)
                figures[call.function] = {
                    "cpu_seconds": result.cpu_seconds,
                    "rss_megabytes": result.rss_megabytes,
                }
    return figures


def _calls(site: Site, sha: str) -> list[FunctionCall]:
    event = {"id": "1", "topic": "/x", "subject": "/subscriptions/x", "eventType": "x", "data": {},
             "eventTime": "2026-11-27T00:00:00Z", "dataVersion": "2"}  # fmt: skip
    merge = {"repository": site.repository.full_name, "sha": sha, "environment": "production"}
    headers = principal_header()
    return [
        FunctionCall(
            "github_webhook", "http", "POST", "/api/github/webhook", "{}", _signed(site.secret, "{}")
        ),
        *(FunctionCall(name, "http", headers=headers) for name in _PAGES),
        FunctionCall("on_vm_event", "event", body=json.dumps(event)),
        *(FunctionCall(name, "timer") for name in _TIMERS),
        FunctionCall("deploy_run", "queue", body=json.dumps(merge)),
    ]


def _signed(secret: str, body: str) -> Mapping[str, str]:
    signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    return {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": "d-1",
    }
