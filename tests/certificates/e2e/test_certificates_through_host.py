"""The app in its host scans a cluster and a real TLS server; the command line has a certificate renewed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from local.azurite import EmulatedAccount
from local.host.process import HostProcess
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from shared.kernel.errors import NotFound
from shared.settings.storage_account import StorageAccount
from tests.support.certificates import issue
from tests.support.clusters import open_cluster
from tests.support.commands import run_groundcrew
from tests.support.tls_hosts import serve_tls

pytestmark = pytest.mark.timeout(240)
RIGHTS = ("rbac.yaml", "rbac-certificates.yaml")
CERTIFICATE = {
    "apiVersion": "cert-manager.io/v1",
    "kind": "Certificate",
    "metadata": {"name": "chat", "namespace": "rocketchat"},
    "spec": {"secretName": "chat-tls", "issuerRef": {"name": "production"}, "dnsNames": ["chat.example.org"]},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "notBefore": "2026-01-01T00:00:00Z",
        "notAfter": "2126-01-01T00:00:00Z",
        "renewalTime": "2125-01-01T00:00:00Z",
    },
}


@dataclass
class Site:
    host: HostProcess
    storage: StorageAccount
    settings: dict[str, str]
    cluster: KubernetesServer
    port: int

    def run(self, function: str) -> None:
        """What the timer would do now."""
        answer = requests.post(
            f"{self.host.url}/admin/functions/{function}",
            json={"input": ""}, headers={"x-functions-key": self.host.master_key}, timeout=20,
        )  # fmt: skip
        assert answer.status_code == 202

    def last_scan(self) -> dict[str, Any]:
        """What was kept, once it is there."""
        deadline = time.monotonic() + 90
        while True:
            try:
                return dict(
                    json.loads(open_blobs(self.storage, "groundcrew").read("certificates/last.json")[0])
                )
            except NotFound:
                assert time.monotonic() < deadline, (self.host.state_dir / "host.log").read_text()[-3000:]
                time.sleep(0.2)

    def cli(self, *arguments: str, code: int = 0) -> Any:
        done = run_groundcrew("certs", *arguments, "--json", env={**os.environ, **self.settings})
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        for name in ("backups", "groundcrew"):
            create_container(storage, name)
        cluster = stack.enter_context(open_cluster())
        cluster.behaviour.paused = True
        for name in ("rocketchat", "monitoring"):
            cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for file in RIGHTS:
            cluster.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / file).read_text()))
        cluster.add(CERTIFICATE)
        port = stack.enter_context(serve_tls(issue("localhost", "localhost")))
        token = cluster.token_for("groundcrew", "rocketchat")
        (tmp_path / "policy.yaml").write_text(f"certificates: {{hosts: ['localhost:{port}']}}\n")
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig", token=token)),
            "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
            "MONGODB_URI": "mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=500",
            "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
            "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        }
        host = stack.enter_context(HostProcess(ROOT, settings, tmp_path / "host", log_format="json"))
        yield Site(host, storage, settings, cluster, port)


def test_what_is_there_is_scanned_kept_shown_and_renewed(site: Site) -> None:
    site.run("certificate_scan")
    entries = {f"{one['kind']}/{one['name']}": one for one in site.last_scan()["entries"]}
    served = entries[f"host/localhost:{site.port}"]
    assert (served["state"], served["valid"]) == ("critical", False)
    assert "clients refuse it: self-signed certificate" in served["reasons"]
    assert entries["certificate/rocketchat/chat"]["state"] == "good"
    assert entries["host/Kubernetes API"]["valid"] is True
    assert "kubeconfig/CA of the cluster" in entries
    assert not [key for key, one in entries.items() if one["state"] == "unknown"]

    shown = {(one["kind"], one["name"]): one["state"] for one in site.cli("list", code=1)}
    assert shown[("host", f"localhost:{site.port}")] == "critical"

    assert site.cli("renew", "chat", "--dry-run")["done"] == ""
    assert "asked cert-manager" in site.cli("renew", "chat", "--yes")["done"]
    item = site.cluster.get("Certificate", "chat", "rocketchat")
    assert item is not None
    conditions = {one["type"]: one["status"] for one in item["status"]["conditions"]}
    assert conditions == {"Ready": "True", "Issuing": "True"}
    assert "nothing was changed" in site.cli("renew", "chat", "--yes")["done"]
    assert site.cli("renew", "nothing", "--dry-run", code=1)["error"]["class"] == "NotFound"
    assert site.cli("issuer-email", "plan", "new@example.org") == []
