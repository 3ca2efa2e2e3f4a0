"""Whether sets hold the cluster's state, and what of it, by policy and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.kubernetes import KubernetesServer
from tests.support.cluster_objects import living_cluster
from tests.support.commands import run_python

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json
from shared.wiring import cluster_state
found = {"enabled": cluster_state.is_enabled(), "reader": cluster_state.state_reader() is not None}
scope = cluster_state.state_scope()
found["scope"] = [scope.namespaces, scope.issuer_namespace, scope.secrets]
if found["reader"]:
    state = cluster_state.read_cluster_state("daily/20261123T010000Z")
    found["contents"], found["unread"] = state.contents, [item.what for item in state.unread]
print(json.dumps(found))
"""


def ask(folder: Path, policy: str, kubeconfig: str = "") -> dict[str, Any]:
    """In a process of its own, since the wiring keeps what it has read."""
    (folder / "policy.yaml").write_text(policy)
    environment = {
        "PATH": "/usr/bin:/bin", "GROUNDCREW_POLICY": str(folder / "policy.yaml"),
        "AzureWebJobsStorage": "UseDevelopmentStorage=true", "GROUNDCREW_KUBECONFIG": kubeconfig,
    }  # fmt: skip
    done = run_python(SCRIPT, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("mode", "kubeconfig", "enabled"),
    [
        ("best-effort", "", False),
        ("best-effort", "/nowhere", True),
        ("required", "", True),
        ("off", "/nowhere", False),
    ],
)
def test_sets_hold_the_state_where_there_is_a_cluster_or_policy_requires_it(
    tmp_path: Path, mode: str, kubeconfig: str, enabled: bool
) -> None:
    found = ask(tmp_path, f"backup: {{cluster_state: {{mode: {mode}}}}}\n", kubeconfig)
    assert (found["enabled"], found["reader"]) == (enabled, enabled)
    if enabled:  # a cluster that cannot be read is unknown, and never an error
        assert (found["contents"], found["unread"]) == ([], ["the cluster"])


def test_a_cluster_is_read_through_the_settings_and_policy_says_what(tmp_path: Path) -> None:
    policy = """
deploy: {namespace: rocketchat}
backup: {cluster_state: {namespaces: [tools], secrets: [smtp, cert-manager/dns-token]}}
"""
    with KubernetesServer() as server:
        server.behaviour.paused = True
        for name in ("cert-manager", "tools"):
            server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for item in living_cluster():
            if item.get("type") != "kubernetes.io/service-account-token":
                meta = {k: v for k, v in item["metadata"].items() if k in ("name", "namespace", "labels")}
                server.add({**item, "metadata": meta})
        found = ask(tmp_path, policy, str(server.kubeconfig(tmp_path / "kubeconfig")))
    secrets = ["rocketchat/smtp", "cert-manager/dns-token"]
    assert found["scope"] == [["rocketchat", "tools"], "cert-manager", secrets]
    assert found["unread"] == []
    assert "Namespace tools" in found["contents"]
    assert "Secret rocketchat/smtp" in found["contents"]
    assert "Helm release rocketchat/rocketchat rocketchat-6.27.2" in found["contents"]
