"""The chart with Rocket.Chat's shape, deployed by the real Helm: it comes up, and fails when told to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.chart import rocketchat
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.registry import Write
from shared.adapters.helm import HelmReleases, connect
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy.chart.secret_scan import find_manifest_secrets
from shared.deploy.diff.drift import find_drift
from shared.deploy.diff.manifests import diff_manifests
from shared.deploy.ports.releases import ChartPackage
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.kubernetes.ports import Cluster
from shared.kubernetes.workloads import describe_unhealthy

NAMESPACE = "rocketchat"
PATIENCE = timedelta(seconds=30)
MICROSERVICES = ["account", "authorization", "ddp-streamer", "presence", "rocketchat", "stream-hub"]


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with KubernetesServer() as server:
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield server


@pytest.fixture
def kubeconfig(server: KubernetesServer, tmp_path: Path) -> Secret:
    return Secret(server.kubeconfig(tmp_path / "kubeconfig").read_text())


@pytest.fixture
def releases(kubeconfig: Secret) -> HelmReleases:
    try:
        return connect(kubeconfig, "rocketchat", NAMESPACE, binary=str(ensure_helm()))
    except GroundcrewError as error:
        pytest.skip(str(error))


@pytest.fixture
def cluster(kubeconfig: Secret) -> Cluster:
    return connect_cluster(kubeconfig, NAMESPACE)


def package(app_version: str = "8.2.0", **values: Any) -> ChartPackage:
    given = {"host": "chat.example.org", "mongodb": {"auth": {"rootPassword": "hunter22"}}, **values}
    return ChartPackage(rocketchat(app_version=app_version), (yaml.safe_dump(given),))


def upgrade(releases: HelmReleases, chart: ChartPackage, *, timeout: timedelta = PATIENCE, back: bool = True):
    return releases.upgrade_install(chart, timeout=timeout, rollback_on_failure=back, on_progress=print)


def test_all_of_it_comes_up_and_nothing_has_drifted(releases, cluster):
    options = {"persistence": {"enabled": True}, "ingress": {"enabled": True}, "license": "x" * 20}
    done = upgrade(releases, package(microservices={"enabled": True}, **options))
    assert done.succeeded, done.reason
    workloads = cluster.list_workloads()
    assert describe_unhealthy(workloads, cluster.list_pods()) == []
    names = sorted(one.name.removeprefix("rocketchat-") for one in workloads if one.kind == "Deployment")
    assert names == MICROSERVICES
    assert [one.name for one in workloads if one.kind == "StatefulSet"] == [
        "rocketchat-mongodb",
        "rocketchat-nats",
    ]
    claims = {one.name for one in cluster.list_claims()}
    assert claims == {"rocketchat-rocketchat", "data-rocketchat-mongodb-0"}
    manifests = releases.manifests()
    assert find_drift(manifests, cluster.get_live_objects(manifests), namespace=NAMESPACE) == []


def test_a_new_version_is_one_line_of_the_plan_for_each_image_and_shows_no_secret(releases):
    old = releases.render(package("8.2.0")).manifests
    new = releases.render(package("8.3.0")).manifests
    text = diff_manifests(old, new, namespace=NAMESPACE).text()
    assert ':8.2.0" -> "registry.rocket.chat/rocketchat/rocket.chat:8.3.0"' in text
    assert "hunter22" not in text
    assert find_manifest_secrets(new) == []


@pytest.mark.parametrize("back", [True, False], ids=["with a way back", "without"])
def test_an_image_that_never_pulls_fails_the_upgrade_and_the_old_pods_keep_serving(releases, cluster, back):
    assert upgrade(releases, package()).succeeded
    broken = package(image={"repository": "registry.invalid/never-pulls", "tag": "8.2.0"})
    done = upgrade(releases, broken, timeout=timedelta(seconds=2), back=back)
    assert not done.succeeded
    assert done.revision.status == ("deployed" if back else "failed")
    server_pods = cluster.list_pods("app.kubernetes.io/component=server")
    assert any(one.ready for one in server_pods)
    if not back:
        assert any("never-pulls" in one.blocked_reason and not one.started for one in server_pods)


def test_a_pre_upgrade_hook_that_fails_changes_nothing(releases, cluster):
    assert upgrade(releases, package()).succeeded
    failing = {"preUpgrade": {"command": "echo no such column; exit 1"}}
    done = upgrade(releases, package("8.3.0", hooks=failing), back=False)
    assert not done.succeeded
    assert "pre-upgrade hooks failed" in done.reason
    assert all(":8.3.0" not in image for one in cluster.list_workloads() for image in one.images)


def test_a_change_by_hand_is_drift_and_the_hand_is_named(releases, cluster, server):
    assert upgrade(releases, package()).succeeded
    item = server.get("Deployment", "rocketchat-rocketchat", NAMESPACE)
    assert item is not None

    def scaled(current: dict[str, Any]) -> dict[str, Any]:
        return {**current, "spec": {**current["spec"], "replicas": 2}}

    resource = server.cluster.resource("Deployment")
    server.cluster.registry.edit(
        resource, NAMESPACE, "rocketchat-rocketchat", scaled, Write("kubectl-edit", "Strict")
    )
    manifests = releases.manifests()
    (found,) = find_drift(manifests, cluster.get_live_objects(manifests), namespace=NAMESPACE)
    assert (found.path, found.deployed, found.live, found.manager) == (
        "spec.replicas",
        "1",
        "2",
        "kubectl-edit",
    )
