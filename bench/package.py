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
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from bench.alerts import TOKEN, make_payload
from bench.data import ROOT
from local import package
from local.app_service import principal_header
from local.deploy_demo import Site
from local.rocketchat.seed import seed_database
from local.stack import Stack
from local.worker_calls import FunctionCall, run_worker

_TIMERS = (
    "power_tick", "snapshot_cycle", "cost_report", "drift_check", "nightly_backup", "certificate_scan",
    "oplog_capture", "restore_drill", "secrets_rotation", "hardening_audit", "lockout_calendar", "retention",
    "catch_up",
)  # fmt: skip
_PAGES = (
    "health", "health_page", "health_report", "doctor", "status", "status_report", "badge", "metrics", "wake",
    "deploy_page", "tick", "calendar_page",
)  # fmt: skip
_JSON = {"Content-Type": "application/json"}
_PERSON = "0a000000-0000-0000-0000-000000000001"
_POLICY = f"""
people: [{{id: ana, entra: [{_PERSON}]}}]
chat: {{rules: [{{who: [ana], rooms: [web], commands: [status, backups]}}]}}
access: {{view: [{_PERSON}], wake: [{_PERSON}]}}
"""


# What must have been called before, for there to be something to do.
_BEFORE = {
    "chat_command": "chatops_signed_in", "backup_part": "nightly_backup", "calendar_feed": "lockout_calendar",
}  # fmt: skip


def run(functions: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """`{"package": {files, megabytes}, "firstcall": {function: {cpu_seconds, rss_megabytes}}}`.

    Only of these functions, if any are named.
    """
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
            "firstcall": _first_calls(folder, app, path, python, functions),
        }


def _first_calls(
    folder: Path, app: Path, path: str, python: str, functions: Collection[str]
) -> dict[str, dict[str, float]]:
    figures = {}
    wanted = {*functions, *(_BEFORE[name] for name in functions if name in _BEFORE)}
    with Site(folder / "site") as site:
        policy = site.policy((ROOT / "policy.yaml").read_text() + _POLICY)
        settings = {
            **site.settings,
            "GROUNDCREW_ALERTS_TOKEN": TOKEN,
            "GROUNDCREW_METRICS_TOKEN": TOKEN,
            "GROUNDCREW_CALENDAR_KEY": TOKEN,
            "GROUNDCREW_WAKE_SIGN_IN": "app-service",
            "GROUNDCREW_ROCKETCHAT_TOKENS": TOKEN,
            "GROUNDCREW_ROCKETCHAT_USER": "crew",
            "GROUNDCREW_ROCKETCHAT_USER_TOKEN": "unused",
        }
        with Stack(folder / "stack", policy=policy, with_azure=True, environment=settings) as stack:
            # The policy is part of what is deployed: prepared with the package, as `make package` does it.
            shutil.copyfile(stack.settings["GROUNDCREW_POLICY"], app / "policy.yaml")
            package.prepare_policy(app, python)
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            stack.host.stop()  # whose timers would do the work before
            pull = site.propose("8.2.0", "first call")
            sha = site.repository.merge(pull)
            environment = {**stack.settings, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
            take = partial(_take_message, stack)
            for call in list_calls(site.repository.full_name, sha, site.secret, take, wanted):
                if wanted and call.function not in wanted:
                    continue
                (result,) = run_worker(environment, [call], app=app, python=python)
                figure = f"{result.cpu_seconds:.2f} s, {result.rss_megabytes:.0f} MB {result.error[:200]}"
                print(f"  {call.function}: {figure}", file=sys.stderr)
                figures[call.function] = {
                    "cpu_seconds": result.cpu_seconds,
                    "rss_megabytes": result.rss_megabytes,
                }
    return figures


def list_calls(
    repository: str, sha: str, secret: str, take: Callable[[str], str], wanted: Collection[str] = ()
) -> Iterator[FunctionCall]:
    """A call of each function; `take(queue)` is a message that an earlier one has put there.

    If some are `wanted`, no message is taken for the others, which nobody put there.
    """

    def take_for(function: str, queue: str) -> str:
        return take(queue) if not wanted or function in wanted else "{}"

    event = {"id": "1", "topic": "/x", "subject": "/subscriptions/x", "eventType": "x", "data": {},
             "eventTime": "2026-11-27T00:00:00Z", "dataVersion": "2"}  # fmt: skip
    merge = {"repository": repository, "sha": sha, "environment": "production"}
    headers, bearer = principal_header(id_=_PERSON), {"Authorization": f"Bearer {TOKEN}"}
    yield FunctionCall("github_webhook", "http", "POST", "/api/github/webhook", "{}", _signed(secret, "{}"))
    yield FunctionCall("alerts", "http", "POST", "/api/alerts", make_payload(1).decode(), bearer)
    yield FunctionCall("send_notifications", "queue", body="{}")
    # Unsigned: what follows the signature is shared with the endpoint behind sign-in.
    yield FunctionCall("chatops", "http", "POST", "/api/chatops", "{}", _JSON)
    order = json.dumps({"command": "backups"})
    yield FunctionCall(
        "chatops_signed_in", "http", "POST", "/api/chatops/signed-in", order, {**headers, **_JSON}
    )
    yield FunctionCall("chat_command", "queue", body=take_for("chat_command", "chat-commands"))
    yield FunctionCall("chatops_answer", "http", headers=headers, params={"id": "0" * 32})
    for name in _PAGES:
        yield FunctionCall(name, "http", headers={**headers, **bearer})
    for name in ("on_vm_event", "on_vault_event"):
        yield FunctionCall(name, "event", body=json.dumps(event))
    for name in _TIMERS:
        yield FunctionCall(name, "timer")
    # After its timer, which makes what it shows.
    yield FunctionCall("calendar_feed", "http", params={"key": TOKEN})
    yield FunctionCall("backup_part", "queue", body=take_for("backup_part", "backup-parts"))
    yield FunctionCall("deploy_run", "queue", body=json.dumps(merge))
    yield FunctionCall("rehearsal_run", "queue", body=json.dumps({"sha": "0" * 40}))


def _take_message(stack: Stack, queue: str) -> str:
    storage = stack.settings["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(
        storage, queue, message_decode_policy=TextBase64DecodePolicy()
    ) as client:
        message = client.receive_message()
        if message is None:
            raise SystemExit(f"nothing was put on the queue {queue}")
        return str(message.content)


def _signed(secret: str, body: str) -> Mapping[str, str]:
    signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    return {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": "d-1",
    }
