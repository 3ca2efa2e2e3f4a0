"""A repository with a chart, the real Helm and a cluster, to take it through the gates and deploy it."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import prometheus_objects
from shared.adapters import helm
from shared.adapters import kubernetes_schemas as schemas
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy.gates.chart import evaluate_chart
from shared.deploy.gates.compatibility import evaluate_versions
from shared.deploy.gates.results import ChartGates
from shared.deploy.model import Gate
from shared.kernel.secret import Secret
from shared.policy.deploy import DeployPolicy
from tests.support.deploy_world import World

NAMESPACE = RELEASE = "rocketchat"
TIMEOUT = timedelta(seconds=90)  # simulated pods start in a second, but tests share the machine
SECRETS: Mapping[str, Sequence[str]] = {
    "chat-mongodb": ("mongo-uri",),
    "chat-auth": ("mongodb-root-password", "mongodb-passwords", "mongodb-replica-set-key"),
}


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a chart's folder, by path."""
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
class ChartSite:
    """A repository with a chart, the real Helm, and a cluster."""

    world: World
    releases: Any
    cluster: Any
    chart: dict[str, bytes]
    form: str = "vendored"

    def evaluate(self, values: str) -> tuple[ChartGates, list[Gate]]:
        """What the chart with these values comes to, and all its gates."""
        if self.form == "umbrella":
            values = yaml.safe_dump({"rocketchat": yaml.safe_load(values)})
        files = {f"chart/{path}": data for path, data in self.chart.items()}
        sha = self.world.repository.commit({**files, "production.yaml": values.encode()})
        deps = replace(
            self.world.deps(), releases=self.releases, cluster=self.cluster, validate=schemas.validate
        )
        results = evaluate_chart(deps, sha)
        gates = list(results.gates)
        if results.manifests:
            gates += evaluate_versions(deps, results, "").gates
        return results, gates

    def gates(self, values: str) -> ChartGates:
        """What the gates say of the chart with these values; asserts that all are open."""
        results, gates = self.evaluate(values)
        assert [f"{gate.name}: {gate.reason}" for gate in gates if not gate.passed] == []
        return results

    def deploy(self, results: ChartGates) -> None:
        """Let Helm install or upgrade it; asserts that it becomes ready."""
        assert results.chart is not None
        outcome = self.releases.upgrade_install(
            results.chart.package, timeout=TIMEOUT, rollback_on_failure=True, on_progress=lambda _line: None
        )
        assert outcome.succeeded, outcome.reason


@contextmanager
def chart_site(
    folder: Path,
    chart: dict[str, bytes],
    *,
    form: str = "vendored",
    secrets: Mapping[str, Sequence[str]] = SECRETS,
    claims: Sequence[str] = (),
) -> Iterator[ChartSite]:
    """A site whose cluster has these Secrets and claims. Raises GroundcrewError if there is no Helm."""
    with KubernetesServer() as server:
        server.add(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *prometheus_objects()
        )
        for name, keys in secrets.items():
            data = dict.fromkeys(keys, base64.b64encode(b"x").decode())
            meta = {"name": name, "namespace": NAMESPACE}
            server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        for name in claims:
            spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
            meta = {"name": name, "namespace": NAMESPACE}
            server.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
        kubeconfig = Secret(server.kubeconfig(folder / "kubeconfig").read_text())
        releases = helm.connect(kubeconfig, RELEASE, NAMESPACE, binary=str(ensure_helm()))
        policy = DeployPolicy(repository="acme/chat", chart="chart", values=("production.yaml",))
        cluster = connect_cluster(kubeconfig, NAMESPACE, policy.prometheus)
        yield ChartSite(
            World(policy=policy), releases, cluster, umbrella(chart) if form == "umbrella" else chart, form
        )
