"""Charts as they are published pass the gates: first release, upgrade, and the plan is what Helm then does.

The stand-in chart has the traits of the official one that closed gates for no reason. Where the variable
`GROUNDCREW_TEST_CHART` names the folder of the official chart, with its dependencies in `charts/`, that goes
through the gates as well.
"""

from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.chart import rocketchat
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import prometheus_objects
from shared.adapters import helm
from shared.adapters import kubernetes_schemas as schemas
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy.gates.chart import evaluate_chart
from shared.deploy.gates.compatibility import evaluate_versions
from shared.deploy.gates.results import ChartGates
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.policy.deploy import DeployPolicy
from tests.support.deploy_world import World

OFFICIAL = os.environ.get("GROUNDCREW_TEST_CHART", "")
NAMESPACE = RELEASE = "rocketchat"
TIMEOUT = timedelta(seconds=90)  # simulated pods start in a second, but tests share the machine
SECRETS = {
    "chat-mongodb": ("mongo-uri",),
    "chat-auth": ("mongodb-root-password", "mongodb-passwords", "mongodb-replica-set-key"),
}
EXTERNAL = """\
host: {host}
image: {{tag: "{tag}"}}
existingMongodbSecret: chat-mongodb
mongodb: {{enabled: false}}
microservices: {{enabled: false}}
"""
BUNDLED = """\
host: {host}
image: {{tag: "{tag}"}}
existingMongodbSecret: chat-mongodb
mongodb: {{auth: {{existingSecret: chat-auth}}}}
microservices: {{enabled: false}}
"""
TAGS = {"stand-in": "8.2.0", "official": "8.6.1"}


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


def pack(files: dict[str, bytes]) -> bytes:
    """As `helm package` does it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"rocketchat/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def umbrella(files: dict[str, bytes]) -> dict[str, bytes]:
    """A chart of the team's own that has the other one in `charts/`."""
    head = yaml.safe_load(files["Chart.yaml"])
    own = {"apiVersion": "v2", "name": "chat", "version": "0.1.0", "appVersion": head["appVersion"]}
    where = "https://rocketchat.github.io/helm-charts"
    own["dependencies"] = [{"name": "rocketchat", "version": head["version"], "repository": where}]
    return {
        "Chart.yaml": yaml.safe_dump(own).encode(),
        "values.yaml": b"",
        f"charts/rocketchat-{head['version']}.tgz": pack(files),
    }


@dataclass
class Site:
    """A repository with a chart, the real Helm, and a cluster."""

    world: World
    releases: Any
    cluster: Any
    chart: dict[str, bytes]
    form: str

    def gates(self, values: str) -> ChartGates:
        """What the gates say of the chart with these values; asserts that all are open."""
        if self.form == "umbrella":
            values = yaml.safe_dump({"rocketchat": yaml.safe_load(values)})
        files = {f"chart/{path}": data for path, data in self.chart.items()}
        sha = self.world.repository.commit({**files, "production.yaml": values.encode()})
        deps = replace(
            self.world.deps(), releases=self.releases, cluster=self.cluster, validate=schemas.validate
        )
        results = evaluate_chart(deps, sha)
        gates = [*results.gates, *evaluate_versions(deps, results, "").gates]
        assert [f"{gate.name}: {gate.reason}" for gate in gates if not gate.passed] == []
        return results

    def deploy(self, results: ChartGates) -> None:
        assert results.chart is not None
        outcome = self.releases.upgrade_install(
            results.chart.package, timeout=TIMEOUT, rollback_on_failure=True, on_progress=lambda _line: None
        )
        assert outcome.succeeded, outcome.reason


@pytest.fixture(params=["stand-in", "official"])
def source(request: pytest.FixtureRequest) -> str:
    if request.param == "official" and not OFFICIAL:
        pytest.skip("set GROUNDCREW_TEST_CHART to the folder of the official chart with its dependencies")
    return str(request.param)


@pytest.fixture(params=["vendored", "umbrella"])
def site(request: pytest.FixtureRequest, source: str, tmp_path: Path) -> Iterator[Site]:
    with KubernetesServer() as server:
        server.add(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *prometheus_objects()
        )
        for name, keys in SECRETS.items():
            data = dict.fromkeys(keys, base64.b64encode(b"x").decode())
            meta = {"name": name, "namespace": NAMESPACE}
            server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        kubeconfig = Secret(server.kubeconfig(tmp_path / "kubeconfig").read_text())
        try:
            releases = helm.connect(kubeconfig, RELEASE, NAMESPACE, binary=str(ensure_helm()))
        except GroundcrewError as error:
            pytest.skip(str(error))
        chart = read_folder(Path(OFFICIAL)) if source == "official" else rocketchat(app_version="8.2.0")
        world = World(
            policy=DeployPolicy(repository="acme/chat", chart="chart", values=("production.yaml",)),
        )
        cluster = connect_cluster(kubeconfig, NAMESPACE, DeployPolicy().prometheus)
        form = request.param
        yield Site(world, releases, cluster, umbrella(chart) if form == "umbrella" else chart, form)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("values", [EXTERNAL, BUNDLED], ids=["external MongoDB", "bundled MongoDB"])
def test_no_gate_is_closed_and_the_plan_is_what_helm_then_does(site, source, values) -> None:
    first = site.gates(values.format(host="one.example.org", tag=TAGS[source]))
    site.deploy(first)
    assert list(site.releases.manifests()) == list(first.manifests)
    again = site.gates(values.format(host="one.example.org", tag=TAGS[source]))
    assert again.diff.changes == (), again.diff.text()
    second = site.gates(values.format(host="two.example.org", tag=TAGS[source]))
    assert {change.action for change in second.diff.changes} == {"change"}, second.diff.text()
    site.deploy(second)
    assert list(site.releases.manifests()) == list(second.manifests)
    kinds = {manifest["kind"] for manifest in second.manifests}
    assert "PodMonitor" in kinds, "rendered with the API versions of the cluster"
    if values is BUNDLED:
        leave_bundled_mongodb(site, source)


def leave_bundled_mongodb(site: Site, source: str) -> None:
    """As docs/runbooks/leave-bitnami-mongodb.md does it: the plan says what goes, and its volume stays."""
    third = site.gates(EXTERNAL.format(host="two.example.org", tag=TAGS[source]))
    removed = {change.subject.kind for change in third.diff.changes if change.action == "remove"}
    assert "StatefulSet" in removed
    assert "PersistentVolumeClaim" not in removed
    assert any("their volumes stay" in warning for warning in third.diff.warnings)
    site.deploy(third)
    assert list(site.releases.manifests()) == list(third.manifests)
    assert [claim.name for claim in site.cluster.list_claims() if "mongodb" in claim.name]
