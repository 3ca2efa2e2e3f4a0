"""The rights in infra/chart/rbac.yaml suffice for all that is done in the cluster, and none is left over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.chart import rocketchat
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import prometheus_objects
from local.stack import ROOT
from shared.adapters import helm
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy.diff.drift import find_drift
from shared.deploy.gates.headroom import evaluate_headroom
from shared.deploy.gates.references import find_missing_references
from shared.deploy.gates.rights import check_rights
from shared.deploy.ports.releases import ChartPackage, HelmResult, Releases
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.kubernetes.ports import Cluster
from shared.policy.deploy import DeployPolicy
from tests.support.clusters import open_cluster

pytestmark = pytest.mark.timeout(300)


RIGHTS = ROOT / "infra" / "chart" / "rbac.yaml"
NAMESPACE = RELEASE = "rocketchat"
PROMETHEUS = DeployPolicy().prometheus
EVERYTHING = """\
host: chat.example.org
license: licensed
ingress: {enabled: true}
persistence: {enabled: true}
microservices: {enabled: true}
serviceMonitor: {enabled: true}
podMonitor: {enabled: true}
prometheusRule: {enabled: true}
serviceAccount: {create: true}
podDisruptionBudget: {enabled: true}
mongodb:
  auth: {rootPassword: not-a-secret}
  initdbScripts: {one.sh: "true"}
  networkPolicy: {enabled: true}
  backup: {enabled: true}
"""
NEVER = "image: {repository: registry.invalid/never-pulls/rocket.chat}\n"
TIMEOUT = timedelta(seconds=60)  # beside other tests Helm may be slow
Right = tuple[str, str, str]
# Granted all the same: a Job that is no hook is read, and where lists are not streamed, as they are by the
# stand-in and by default since Kubernetes 1.32, client-go lists before it watches:
# https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
UNUSED_HERE = {("batch", "jobs", "get")} | {
    (group, resource, "list")
    for group, resources in {
        "": ("configmaps", "persistentvolumeclaims", "serviceaccounts", "services"),
        "batch": ("cronjobs", "jobs"),
        "monitoring.coreos.com": ("podmonitors", "prometheusrules", "servicemonitors"),
        "networking.k8s.io": ("ingresses", "networkpolicies"),
        "policy": ("poddisruptionbudgets",),
    }.items()
    for resource in resources
}


def quiet(_line: str) -> None:
    """Takes what Helm says."""


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        started.add(*prometheus_objects())
        started.add(*yaml.safe_load_all(RIGHTS.read_text()))
        yield started


@pytest.fixture
def account(server: KubernetesServer, tmp_path: Path) -> Secret:
    """The kubeconfig of the service account that has these rights and no other."""
    token = server.token_for("groundcrew", NAMESPACE)
    return Secret(server.kubeconfig(tmp_path / "kubeconfig", token=token).read_text())


@pytest.fixture
def release(account: Secret) -> Releases:
    try:
        return helm.connect(account, RELEASE, NAMESPACE, binary=str(ensure_helm()))
    except GroundcrewError as error:
        pytest.skip(str(error))


def granted() -> set[Right]:
    rules: list[dict[str, Any]] = [
        rule
        for item in yaml.safe_load_all(RIGHTS.read_text())
        if item["kind"] in ("Role", "ClusterRole")
        for rule in item["rules"]
    ]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(server: KubernetesServer) -> set[Right]:
    mine = [one for one in server.requests if one.user.endswith(":groundcrew") and one.resource]
    found = {(one.group, one.resource, one.verb) for one in mine}
    # A server-side apply that makes an object is authorized as create, too, which the stand-in does not ask:
    # https://kubernetes.io/docs/reference/using-api/server-side-apply/#rbac-and-permissions
    made = {(one.group, one.resource, "create") for one in mine if one.method == "PATCH" and one.code == 201}
    return found | made


def ship(release: Releases, values: str, version: str, *, back: bool = True) -> HelmResult:
    package = ChartPackage(rocketchat(app_version=version), [values])
    return release.upgrade_install(package, timeout=TIMEOUT, rollback_on_failure=back, on_progress=quiet)


def shipped(release: Releases, values: str, version: str) -> None:
    outcome = ship(release, values, version)
    assert outcome.succeeded, outcome.reason


def look(server: KubernetesServer, release: Releases, cluster: Cluster) -> None:
    """What gates, watching and drift ask."""
    cluster.get_version()
    cluster.list_workloads()
    cluster.list_pods()
    applied = release.manifests()
    assert find_missing_references(cluster, applied) == []
    room = evaluate_headroom(cluster, [], applied)
    assert room.passed
    if isinstance(server, KubernetesServer):  # a real one here has neither metrics nor Prometheus
        assert "(" not in room.reason, "memory and disk are measured"
    assert find_drift(applied, cluster.get_live_objects(applied), namespace=NAMESPACE) == []


def test_the_rights_suffice_for_every_deploy_and_none_is_left_over(server, account, release) -> None:
    cluster = connect_cluster(account, NAMESPACE, PROMETHEUS)
    assert not ship(release, EVERYTHING + NEVER, "8.2.0").succeeded, (
        "a first release that fails is taken away again"
    )
    shipped(release, EVERYTHING, "8.2.0")
    look(server, release, cluster)
    shipped(release, EVERYTHING, "8.2.1")
    assert not ship(release, EVERYTHING + NEVER, "8.2.1").succeeded
    assert not ship(release, EVERYTHING + NEVER, "8.2.2", back=False).succeeded
    assert release.rollback(2, timeout=TIMEOUT, on_progress=quiet).succeeded
    shipped(release, "host: chat.example.org\n", "8.2.1")  # what is no longer wanted is removed
    _leave_pending(server)
    assert release.repair().action == "marked"
    shipped(release, EVERYTHING, "8.2.1")
    refused = {(q.group, q.resource, q.verb) for q in server.requests if q.code == 403}
    assert refused == set()
    assert granted() - used(server) - UNUSED_HERE == set(), "these rights are never used"
    assert used(server) - granted() == set(), "these rights are lacking"


def test_of_prometheus_only_the_one_service_may_be_asked_and_only_to_read(server, account) -> None:
    namespace, service = PROMETHEUS.split("/")
    (role,) = [
        item
        for item in yaml.safe_load_all(RIGHTS.read_text())
        if item["kind"] == "Role" and item["metadata"]["namespace"] == namespace
    ]
    only = {"resources": ["services/proxy"], "resourceNames": [f"http:{service}"], "verbs": ["get"]}
    assert role["rules"] == [{"apiGroups": [""], **only}]
    for other in (f"{namespace}/prometheus-operated:9090", f"{namespace}/{service.split(':')[0]}:8080"):
        (node,) = connect_cluster(account, NAMESPACE, other).list_nodes(disks=True)
        assert node.disk_free_bytes is None
        assert server.requests[-1].code == 403
    assert connect_cluster(account, NAMESPACE, PROMETHEUS).list_nodes(disks=True)[0].disk_free_bytes or (
        # A real API server passes nothing on to loopback, but lets the asker through to that.
        server.requests[-1].code == 503 and not isinstance(server, KubernetesServer)
    )


def test_the_gate_finds_each_right_that_the_role_lacks(server, account, release) -> None:
    cluster = connect_cluster(account, NAMESPACE, PROMETHEUS)
    shipped(release, EVERYTHING, "8.2.0")
    applied = release.manifests()
    assert check_rights(cluster, applied, applied, namespace=NAMESPACE).passed
    for number, verb in ((0, "delete"), (1, "watch"), (-1, "create")):
        role = copy.deepcopy(server.get("Role", "groundcrew", NAMESPACE))
        rule = role["rules"][number]
        rule["verbs"] = [granted for granted in rule["verbs"] if granted != verb]
        server.store.put(("rbac.authorization.k8s.io", "roles"), role)
        gate = check_rights(cluster, applied, applied, namespace=NAMESPACE)
        assert not gate.passed
        assert f"{verb} " in gate.reason
        assert rule["resources"][0] in gate.reason


def test_without_the_rights_nothing_can_be_deployed(server, tmp_path, helm_path: str) -> None:
    token = server.token_for("somebody", NAMESPACE)
    kubeconfig = Secret(server.kubeconfig(tmp_path / "kubeconfig", token=token).read_text())
    release = helm.connect(kubeconfig, RELEASE, NAMESPACE, binary=helm_path)
    with pytest.raises(GroundcrewError, match="may not"):
        ship(release, EVERYTHING, "8.2.0")


@pytest.fixture
def helm_path() -> str:
    try:
        return str(ensure_helm())
    except GroundcrewError as error:
        pytest.skip(str(error))


def _leave_pending(server: KubernetesServer) -> None:
    """As a killed worker leaves the newest revision: its label is what Helm goes by first."""
    newest = max(
        (
            one
            for one in server.store.items(("", "secrets"), NAMESPACE)
            if one.get("type") == "helm.sh/release.v1"
        ),
        key=lambda one: int(one["metadata"]["labels"]["version"]),
    )
    import base64
    import gzip
    import json

    data = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest["data"]["release"]))))
    data["info"]["status"] = "pending-upgrade"
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(data).encode()))).decode()
    newest = json.loads(json.dumps(newest))
    newest["data"]["release"] = packed
    newest["metadata"]["labels"]["status"] = "pending-upgrade"
    server.store.put(("", "secrets"), newest)
