"""The host's timer restores the newest backup into a scratch MongoDB; the command line shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests
import yaml
from azure.storage.blob import BlobClient, BlobLeaseClient

from local.azurite import EmulatedAccount
from local.kubernetes import KubernetesServer
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.adapters.blobs import open_blobs
from shared.settings.environment import parse_storage_account
from tests.support.commands import run_groundcrew

pytestmark = pytest.mark.timeout(900)
SECONDS = 240


class Site:
    """A stack with a scratch MongoDB."""

    def __init__(self, stack: Stack, scratch: MongoServer) -> None:
        self.stack, self.scratch = stack, scratch

    def cli(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        environment = {**os.environ, **self.stack.settings, **settings}
        done = run_groundcrew(*arguments, "--json", env=environment, timeout=SECONDS)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout or done.stderr)

    def start_cli(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """The command in a process that a test may kill."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments, "--json"],
            env={**os.environ, **self.stack.settings, **settings},
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run_timer(self, function: str) -> None:
        answer = requests.post(
            f"{self.stack.host.url}/admin/functions/{function}",
            json={"input": ""}, headers={"x-functions-key": self.stack.host.master_key}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 202

    def wait_for_drill(self) -> Any:
        state = open_blobs(parse_storage_account(self.stack.settings["AzureWebJobsStorage"]), "groundcrew")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            # The command is asked once the storage has it: each time it is a process of its own.
            if any(state.list("proofs/")) and (drills := self.cli("drill", "list")["drills"]):
                return drills[0]
            time.sleep(0.2)
        pytest.fail(f"no drill within {SECONDS} s:\n{self.stack.host.log_tail()}")

    def clear(self) -> None:
        """What a pod's end does to its disk."""
        with pymongo.MongoClient[dict[str, Any]](self.scratch.uri) as client:
            for name in self.databases():
                client.drop_database(name)

    def databases(self) -> set[str]:
        """What the scratch server holds beside its own."""
        with pymongo.MongoClient[dict[str, Any]](self.scratch.uri) as client:
            return set(client.list_database_names()) - {"admin", "config", "local"}


class DrillCluster:
    """A cluster with the rights of infra/chart/rbac-drill.yaml; its pods are the scratch server."""

    def __init__(self, server: KubernetesServer, scratch: MongoServer, folder: Path) -> None:
        self.server, self._folder = server, folder
        rights = yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac-drill.yaml").read_text())
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rocketchat"}}, *rights)
        server.behaviour.listeners["mongo:", 27017] = ("127.0.0.1", scratch.port)
        with pymongo.MongoClient[dict[str, Any]](scratch.uri) as client:
            self.version = client.server_info()["version"]

    def settings(self, image: str, **more: object) -> dict[str, str]:
        """What has drills start their MongoDB there, from this image."""
        cluster = {"images": [image], "storage_limit": "4 GiB", **more}
        policy = self._folder / "policy.yaml"
        policy.write_text(json.dumps({"backup": {"drill": {"cluster": cluster}}}))
        token = self.server.token_for("groundcrew", "rocketchat")
        kubeconfig = self.server.kubeconfig(self._folder / "kubeconfig", token=token)
        return {
            "GROUNDCREW_POLICY": str(policy),
            "GROUNDCREW_KUBECONFIG": str(kubeconfig),
            "DRILL_MONGODB_URI": "",
        }

    def jobs(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.server.cluster.list("Job", "groundcrew-drill")]

    def pods(self) -> list[dict[str, Any]]:
        return self.server.cluster.list("Pod", "groundcrew-drill")


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for: {what}"
        time.sleep(0.02)


def break_drill_lease(stack: Stack) -> None:
    """What a minute does for the lease of a process that was killed."""
    settings = stack.settings["AzureWebJobsStorage"]
    with BlobClient.from_connection_string(settings, "groundcrew", "locks/drill") as client:
        BlobLeaseClient(client).break_lease(0)


@pytest.fixture
def site(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with MongoServer(tmp_path / "scratch", ttl_monitor=False) as scratch:
        # At a full quarter of an hour, or at one in the morning, these would make a set of their own.
        environment = {
            "DRILL_MONGODB_URI": scratch.uri,
            "AzureWebJobs.catch_up.Disabled": "1",
            "AzureWebJobs.nightly_backup.Disabled": "1",
        }
        stack = Stack(tmp_path / "stack", storage=take_account(), environment=environment)
        # The key is made at the stack's first start, the drill's with it.
        stack.environment["GROUNDCREW_DRILL_KEY"] = "\n".join(
            line for line in stack.make_identity().splitlines() if line.startswith("AGE-SECRET-KEY-")
        )
        with stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=3)
            yield Site(stack, scratch)


def test_a_backup_is_proven_by_the_timer_and_shown_as_proven_and_nothing_stays_behind(
    site: Site, tmp_path: Path
) -> None:
    made = site.cli("backups", "create", "--here")
    assert made["state"] == "sealed"
    assert [one["proven_at"] for one in site.cli("backups", "list")] == [None]
    assert site.cli("drill", "run", "--dry-run")["due"] is True

    site.run_timer("restore_drill")
    proof = site.wait_for_drill()
    assert (proof["outcome"], proof["problem"]) == ("proven", "")
    assert proof["namespaces"] > 10
    assert site.databases() == set()
    (shown,) = site.cli("backups", "list")
    assert shown["proven_at"]

    # By hand at any time, and never into production.
    refused = site.cli("drill", "run", code=1, DRILL_MONGODB_URI=site.stack.mongodb_uri)
    assert "the one that is backed up" in refused["error"]["message"]
    assert site.databases() == set()

    # In the cluster, with the least rights: a Job that is reached by port-forward, and is gone afterwards.
    with KubernetesServer() as server:
        drill_in_cluster(site, DrillCluster(server, site.scratch, tmp_path))


def drill_in_cluster(site: Site, cluster: DrillCluster) -> None:
    settings = cluster.settings(f"mongo:{cluster.version}")
    killed = site.start_cli("drill", "run", **settings)
    try:
        wait_until(site.databases, "the drill to write to its MongoDB")
    finally:
        killed.kill()
        killed.wait()
    (left,) = cluster.jobs()
    break_drill_lease(site.stack)
    site.clear()
    proof = site.cli("drill", "run", **settings)
    assert (proof["outcome"], proof["problem"]) == ("proven", "")
    assert proof["target"][0].startswith("groundcrew-drill/drill-")
    assert proof["target"] != [f"groundcrew-drill/{left}"]
    assert "Starting the scratch MongoDB" in [phase["name"] for phase in proof["phases"]]
    assert (cluster.jobs(), cluster.pods()) == ([], [])
    # The stand-in's pods share one server, so that what a drill leaves in its pod can be seen: its marker.
    site.clear()

    never = cluster.settings(f"mongo:{cluster.version}-never-pulls", ready_within="3s")
    refused = site.cli("drill", "run", code=1, **never)
    assert "did not get ready" in refused["error"]["message"]
    assert "ImagePull" in str(refused["error"])
    assert (cluster.jobs(), cluster.pods()) == ([], [])
