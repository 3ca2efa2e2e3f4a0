"""A MongoDB user is rotated: a command that is killed half-way, and the app's timer that goes on with it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pymongo.errors
import pytest
import requests
import yaml

from local.azurite import EmulatedAccount
from local.host.process import HostProcess
from local.kubernetes import KubernetesServer
from local.mongodb import MongoServer
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.clock import SystemClock
from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from shared.kernel.errors import NotFound
from shared.records.audit import AuditTrail
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_groundcrew
from tests.support.runbooks import RunbookShell, StandInTools, read_runbook

pytestmark = pytest.mark.timeout(400)
NAME, FIRST = "mongodb-app", "first-password-of-a"
POLICY = f"""
secrets:
  known:
    - name: {NAME}
      kind: mongodb-user
      homes: ["kubernetes:rocketchat/mongodb/mongo-uri"]
      readers: ["deployment:rocketchat/chat"]
      users: [chat-a, chat-b]
      rotate_every: 90d
"""


@dataclass
class Site:
    host: HostProcess
    storage: StorageAccount
    settings: dict[str, str]
    cluster: KubernetesServer

    def run(self, function: str) -> None:
        """What the timer would do now."""
        answer = requests.post(
            f"{self.host.url}/admin/functions/{function}",
            json={"input": ""}, headers={"x-functions-key": self.host.master_key}, timeout=20,
        )  # fmt: skip
        assert answer.status_code == 202

    def journal(self) -> dict[str, Any]:
        try:
            return dict(json.loads(open_blobs(self.storage, "groundcrew").read(f"secrets/{NAME}.json")[0]))
        except NotFound:
            return {}

    def start_cli(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", "secrets", *arguments, "--json"],
            env={**os.environ, **self.settings}, cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def cli(self, *arguments: str, code: int = 0) -> Any:
        done = run_groundcrew("secrets", *arguments, "--json", env={**os.environ, **self.settings})
        assert done.returncode == code, done.stderr
        assert FIRST not in done.stdout + done.stderr
        return json.loads(done.stdout)

    def uri(self) -> str:
        """What a pod that starts now would read."""
        found = self.cluster.get("Secret", "mongodb", "rocketchat")
        assert found is not None
        return base64.b64decode(found["data"]["mongo-uri"]).decode()


def wait_for(done: Callable[[], object], between: float = 0.2) -> None:
    deadline = time.monotonic() + 180
    while not done():
        assert time.monotonic() < deadline
        time.sleep(between)


def signs_in(uri: str) -> bool:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        try:
            client["rocketchat"]["x"].find_one()
        except pymongo.errors.OperationFailure:
            return False
        return True


@pytest.fixture
def mongodb(tmp_path: Path) -> Iterator[MongoServer]:
    """With a user that changes passwords, and the one that the chat uses."""
    with (
        MongoServer(tmp_path / "mongodb") as open_server,
        pymongo.MongoClient[dict[str, Any]](open_server.uri, directConnection=True) as client,
    ):
        users = {"rotation": ("userAdmin", "admin"), "chat-a": ("readWrite", "rocketchat")}
        for name, (role, database) in users.items():
            roles = [{"role": role, "db": database}]
            client.admin.command("createUser", name, pwd=FIRST, roles=roles)
    with MongoServer(tmp_path / "mongodb", auth=True) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, mongodb: MongoServer, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        for name in ("backups", "groundcrew"):
            create_container(storage, name)
        cluster = stack.enter_context(KubernetesServer())
        fill_cluster(cluster, mongodb.port)
        token = cluster.token_for("groundcrew", "rocketchat")
        (tmp_path / "policy.yaml").write_text(POLICY)
        key, recipient = generate_identity(post_quantum=False)
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig", token=token)),
            "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
            "GROUNDCREW_MONGODB_ADMIN_URI": chat_uri("rotation", mongodb.port),
            "GROUNDCREW_SOPS_AGE_KEY": key,
            "MONGODB_URI": "mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=500",
            "GROUNDCREW_AGE_RECIPIENTS": recipient,
            "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        }
        host = stack.enter_context(HostProcess(ROOT, settings, tmp_path / "host", log_format="json"))
        yield Site(host, storage, settings, cluster)


def chat_uri(user: str, port: int) -> str:
    return f"mongodb://{user}:{FIRST}@127.0.0.1:{port}/rocketchat?authSource=admin&directConnection=true"


def fill_cluster(cluster: KubernetesServer, port: int) -> None:
    for name in ("rocketchat", "monitoring"):
        cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text()))
    data = {"mongo-uri": base64.b64encode(chat_uri("chat-a", port).encode()).decode()}
    meta = {"name": "mongodb", "namespace": "rocketchat"}
    cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    container = {"name": "chat", "image": "rocketchat/rocket.chat:8.6.1"}
    template = {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "chat"}}, "template": template}
    meta = {"name": "chat", "namespace": "rocketchat"}
    cluster.add({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def test_a_killed_rotation_is_finished_by_the_timer_and_nobody_is_locked_out_meanwhile(
    site: Site, tmp_path: Path
) -> None:
    wait_for(
        lambda: (site.cluster.get("Deployment", "chat", "rocketchat") or {})["status"].get("readyReplicas")
    )
    first = site.uri()
    (shown,) = site.cli("list")
    assert (shown["name"], shown["state"], shown["last"]) == (NAME, "good", None)
    assert site.cli("rotate", NAME, "--dry-run")["steps"][0] == "make chat-b valid beside chat-a"
    # docs/runbooks/rotate-secrets.md, word for word; without a terminal its last command asks nobody.
    with StandInTools(tmp_path / "bin", {}) as tools:
        shell = RunbookShell(tmp_path, tools, site.settings, {"NAME": NAME})
        first_look, rotate = read_runbook("rotate-secrets.md")
        assert "make chat-b valid beside chat-a" in shell.follow(first_look)
        assert "There is nobody to ask" in shell.follow(rotate, fails=True)
    assert site.journal() == {}

    site.cluster.behaviour.paused = True  # nothing is restarted, so the command has to wait
    command = site.start_cli("rotate", NAME, "--yes")
    wait_for(lambda: site.journal().get("step") == "stored" or command.poll() is not None)
    command.kill()
    command.communicate(timeout=30)
    assert site.journal()["step"] == "stored"
    second = site.uri()
    assert second != first
    assert signs_in(first)
    assert signs_in(second)
    (shown,) = site.cli("list")
    assert shown["state"] == "rotating"

    site.cluster.behaviour.paused = False
    wait_for(lambda: site.run("secrets_rotation") or site.journal()["step"] == "done", between=5)
    assert not signs_in(first)
    assert signs_in(site.uri()) and site.uri() == second
    entries = [*AuditTrail(open_blobs(site.storage, "groundcrew"), SystemClock()).verify()]
    assert entries[0].outcome == "begun: chat-b replaces chat-a"
    assert entries[-1].outcome == "done"
    assert FIRST not in (site.host.state_dir / "host.log").read_text()
