"""`docs/runbooks/lost-everything.md`, word for word: storage, the age key and the command line are left."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
import yaml

from local.azurite import EmulatedAccount
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.mongodb import MongoServer
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.clock import SystemClock
from shared.adapters.mongodb import connect_source
from shared.settings.storage_account import StorageAccount
from tests.support.backup_world import SECRET, SIGNER
from tests.support.capture_world import CaptureWorld
from tests.support.cluster_objects import PASSWORD
from tests.support.commands import run_script
from tests.support.state_world import StateWorld

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"),
]
DOCUMENT = (ROOT / "docs" / "runbooks" / "lost-everything.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^## (\d\. [^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)
Client = pymongo.MongoClient[dict[str, Any]]


class LivingWorld(CaptureWorld):
    """The capture of a real server, by the real clock."""

    def sync(self) -> None:
        """Both clocks are this machine's."""

    def pass_second(self) -> None:
        """It passes by itself."""


class Loss:
    """What is left, in a home folder of its own, and where it is to be restored."""

    def __init__(
        self,
        home: Path,
        storage: str,
        target: MongoServer,
        wanted: list[Any],
        moment: datetime,
        cluster: KubernetesServer,
    ) -> None:
        self.home, self.target, self.wanted, self.cluster = home, target, wanted, cluster
        files = {
            "storage.txt": storage,
            "signer.txt": SIGNER.public_text(),
            "recovery.agekey": SECRET,
            "target.uri": target.uri,
            "moment.txt": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        }
        for name, text in files.items():
            (home / name).write_text(f"{text}\n")
            (home / name).chmod(0o600)

    def follow(self, steps: list[str]) -> str:
        """The runbook's blocks in one shell. Nothing of this process's environment names a setting."""
        script = "\n".join(["set -e", *steps])
        environment = {
            "HOME": str(self.home),
            "PATH": f"{find_kubectl().parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": str(self.cluster.kubeconfig(self.home / "kubeconfig")),
        }
        done = run_script(script, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def loss(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Loss]:
    with ExitStack() as stack:
        storage = take_account()
        source = stack.enter_context(MongoServer(tmp_path / "source", ttl_monitor=False))
        target = stack.enter_context(MongoServer(tmp_path / "target", ttl_monitor=False))
        account = StorageAccount.by_connection_string(storage.connection_string)
        create_container(account, "backups")
        reader = stack.enter_context(closing(connect_source(source.uri)))
        client = stack.enter_context(Client(source.uri))
        cluster = stack.enter_context(
            KubernetesServer()
        )  # a new one, with cert-manager's kinds and nothing else
        world = StateWorld(database=reader, clock=SystemClock())  # type: ignore[arg-type]
        world.backups = open_blobs(account, "backups")  # type: ignore[assignment]
        captures = LivingWorld(world)
        messages = client.rocketchat.rocketchat_message
        messages.insert_many([{"_id": n, "msg": f"message {n}"} for n in range(50)])
        captures.seal()
        messages.insert_one({"_id": "after the backup", "msg": "still wanted"})
        wanted = sorted(messages.find(), key=str)
        moment = datetime.fromtimestamp(reader.read_oplog_window()[1].seconds, UTC)
        wait_for_second_after(client, moment)
        messages.delete_many({})  # what went wrong
        captures.capture()
        home = tmp_path / "home"
        home.mkdir()
        yield Loss(home, storage.connection_string, target, wanted, moment, cluster)


def find_kubectl() -> Path:
    """The real one, which comes with Helm."""
    binary = ensure_helm().with_name("kubectl")
    if not binary.exists():
        pytest.skip("there is no kubectl beside Helm")
    return binary


def wait_for_second_after(client: Client, moment: datetime) -> None:
    """Until the server writes into a later second, which a restore of a whole second does not include."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        client.rocketchat.ticks.insert_one({})
        newest = next(client.local["oplog.rs"].find({}, {"ts": 1}).sort("$natural", -1).limit(1))
        if newest["ts"].time > moment.timestamp():
            return
        time.sleep(0.1)
    pytest.fail("the server's clock stands still")


def blocks(title: str, text: str) -> list[str]:
    found = re.findall(r"```sh\n(.*?)```", text, re.S)
    assert found or title.endswith("Afterwards"), f"{title} has no commands"
    return found


def test_the_runbook_brings_database_and_cluster_back(loss: Loss) -> None:
    assert [title[0] for title, _ in STEPS] == ["1", "2", "3", "4", "5", "6", "7", "8"]
    told = loss.follow([block for title, text in STEPS for block in blocks(title, text)])
    assert "the seal log was not compared" in told
    assert "replayed until" in told
    assert "PROVEN" in told
    assert "NOT PROVEN" not in told
    with Client(loss.target.uri) as restored:
        assert sorted(restored.rocketchat.rocketchat_message.find(), key=str) == loss.wanted
    check_cluster(loss)


def check_cluster(loss: Loss) -> None:
    """All that the set held is there, and came in an order in which cert-manager orders nothing anew."""
    folder = loss.home / "cluster-state"
    assert folder.stat().st_mode & 0o777 == 0o700
    values = yaml.safe_load((folder / "values-rocketchat-rocketchat.yaml").read_text())
    assert values["mongodb"]["auth"]["rootPassword"] == PASSWORD
    for kind, name, namespace in (
        ("Secret", "chat-tls", "rocketchat"),
        ("Secret", "smtp", "rocketchat"),
        ("Secret", "production-account", "cert-manager"),
        ("ClusterIssuer", "production", ""),
        ("Certificate", "chat", "rocketchat"),
    ):
        assert loss.cluster.get(kind, name, namespace), f"{kind} {name} is not there"
    namespace = loss.cluster.get("Namespace", "rocketchat", "")
    assert namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    written = [one.resource for one in loss.cluster.requests if one.verb == "patch" and one.code < 300]
    kinds = ("namespaces", "secrets", "clusterissuers", "certificates")
    assert list(dict.fromkeys(one for one in written if one in kinds)) == list(kinds)
