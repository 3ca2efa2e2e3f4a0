"""What was changed by hand in a cluster is told, and taken back by the real Helm where that is wanted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.forge import MemoryForge
from local.fakes.notifications import MemoryNotifications
from local.fakes.queues import MemoryQueues
from local.github import Repository
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from shared.adapters import helm
from shared.adapters.helm.offline import connect_offline
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy import drift_job as drift
from shared.deploy.deps import DatabaseInfo, DecryptedValues, DeployBackups, DeployDeps
from shared.deploy.ports.releases import ChartPackage
from shared.health.ports import Health
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.policy.deploy import DeployPolicy
from shared.upgrades.model import UpgradeObservation
from tests.support.approvals import make_approvals
from tests.support.clusters import open_cluster

NAMESPACE = RELEASE = "rocketchat"
SECOND = timedelta(seconds=1)
Make = Callable[..., DeployDeps]
GOOD, OTHER = "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.8"
WEB = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: web}}
data: {{greeting: hello}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: web, image: {GOOD!r}}}]
"""
ABOUT = {"apiVersion": "v2", "name": "web", "version": "1.0.0"}
PACKAGE = ChartPackage({"Chart.yaml": yaml.safe_dump(ABOUT).encode(), "templates/web.yaml": WEB.encode()})


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield started


@pytest.fixture
def people() -> MemoryNotifications:
    return MemoryNotifications(ManualClock())


@pytest.fixture
def deps(server: KubernetesServer, people: MemoryNotifications, tmp_path: Path) -> Callable[..., DeployDeps]:
    """What the job needs: a real Helm and the cluster, seen by the holder of a token; the rest in memory."""
    clock = ManualClock()
    state = MemoryBlobs(clock)

    def make(token: str | None = None, **policy: Any) -> DeployDeps:
        kubeconfig = Secret(server.kubeconfig(tmp_path / "kubeconfig", token=token).read_text())
        admin = Secret(server.kubeconfig(tmp_path / "admin").read_text())
        try:
            releases = helm.connect(admin, RELEASE, NAMESPACE, binary=str(ensure_helm()))
        except GroundcrewError as error:
            pytest.skip(str(error))
        return DeployDeps(
            repository="acme/chat",
            forge=MemoryForge(Repository("acme/chat")),
            releases=releases,
            renderer=connect_offline(RELEASE, NAMESPACE, binary=str(ensure_helm())),
            cluster=connect_cluster(kubeconfig, NAMESPACE),
            state=state,
            queues=MemoryQueues(clock),
            clock=clock,
            policy=DeployPolicy(**policy),
            notifications=people,
            approvals=lambda: make_approvals(state, clock),
            backups=DeployBackups(lambda reason: reason, lambda _which: "sealed"),
            database=lambda: DatabaseInfo("8.0.13", 300),
            count_upgrade=lambda _probes: UpgradeObservation(),
            compatible_mongodb=lambda _version: None,
            smoke_test=lambda _version: Health(True, "well"),
            decrypt=lambda text, _name: DecryptedValues(text),
            validate=lambda _manifests, _version: [],
        )

    return make


@pytest.fixture
def kubectl(server: KubernetesServer, tmp_path: Path) -> Callable[..., str]:
    binary = ensure_helm().with_name("kubectl")
    if not binary.exists():
        pytest.skip("there is no kubectl beside Helm")
    kubeconfig = server.kubeconfig(tmp_path / "person")

    def run(*arguments: str) -> str:
        argv = [binary, "--kubeconfig", kubeconfig, "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(argv, env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def deployed(job: DeployDeps) -> None:
    outcome = job.releases.upgrade_install(
        PACKAGE, timeout=job.policy.helm_timeout, rollback_on_failure=False, on_progress=lambda _line: None
    )
    assert outcome.succeeded, outcome.reason
    assert drift.compare_release(job).drifts == ()


def by_hand(kubectl: Callable[..., str]) -> None:
    kubectl("set", "image", "deployment/web", f"web={OTHER}")
    kubectl("scale", "deployment/web", "--replicas=2")
    kubectl("set", "env", "deployment/web", "DEBUG=*")
    kubectl("delete", "configmap", "web")


def test_what_people_changed_is_told_and_stays_where_policy_does_not_say_more(deps, people, kubectl) -> None:
    job = deps()
    deployed(job)
    by_hand(kubectl)
    assert drift.run_daily_check(job) == "revision 1: 5 fields differ from what was deployed"
    (told,) = people.told
    assert "ConfigMap rocketchat/web is gone" in told.text
    assert "spec.replicas: 1 -> 2 by kubectl\n" in told.text, "of scaling the server keeps no time"
    assert f'"{GOOD}" -> "{OTHER}" by kubectl-set at' in told.text
    assert "env[DEBUG].value was added by kubectl-set" in told.text
    assert job.releases.status().number == 1


def test_where_policy_wants_it_what_was_changed_is_taken_back_once_and_what_was_added_is_told(
    deps, people, kubectl
) -> None:
    job = deps(correct_drift=True)
    deployed(job)
    by_hand(kubectl)
    assert drift.run_daily_check(job).endswith("corrected except 2 of 5 fields")
    (told,) = people.told
    assert told.title == "rocketchat was changed by hand: 3 fields were undone"
    assert told.text.index("by kubectl-set at") < told.text.index("Not undone") < told.text.index("DEBUG")
    found = json.loads(kubectl("get", "deployment", "web", "--output", "json"))["spec"]
    assert (found["replicas"], found["template"]["spec"]["containers"][0]["image"]) == (1, GOOD)
    assert "hello" in kubectl("get", "configmap", "web", "--output", "yaml")
    assert drift.run_daily_check(job) == "revision 2: 2 fields differ from what was deployed", (
        "nothing that could be taken back"
    )
    assert job.releases.status().number == 2


def test_what_an_autoscaler_scaled_stays(server, deps, people, tmp_path) -> None:
    job = deps(correct_drift=True)
    deployed(job)
    with config.new_client_from_config(str(server.kubeconfig(tmp_path / "controller"))) as api:
        scaled = client.AppsV1Api(api).patch_namespaced_deployment_scale(
            "web", NAMESPACE, {"spec": {"replicas": 3}}, field_manager="kube-controller-manager"
        )
    assert scaled.spec.replicas == 3
    assert drift.run_daily_check(job) == "revision 1: 0 fields differ from what was deployed"
    assert people.told == []


def test_a_kind_that_may_not_be_read_is_told_as_not_compared_and_the_others_are(
    server, deps, people, kubectl
) -> None:
    deployed(deps())
    by_hand(kubectl)
    group = "rbac.authorization.k8s.io"
    server.add(
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": "reader", "namespace": NAMESPACE},
            "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "reader", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": NAMESPACE}],
        },
    )
    said = drift.run_daily_check(deps(server.token_for("reader", NAMESPACE)))
    assert said.startswith("revision 1: 4 fields differ from what was deployed; not compared: ConfigMap: ")
    assert [one.key.partition("/")[2] for one in people.told][1:] == ["unread"]
    assert "ConfigMap" in people.told[-1].text


def test_a_release_whose_upgrade_failed_is_not_compared(deps, people, kubectl) -> None:
    job = deps(correct_drift=True)
    deployed(job)
    text = WEB.replace(GOOD, "registry.invalid/never-pulls:1").encode()
    outcome = job.releases.upgrade_install(
        ChartPackage({**PACKAGE.files, "templates/web.yaml": text}),
        timeout=SECOND,
        rollback_on_failure=False,
        on_progress=lambda _line: None,
    )
    assert not outcome.succeeded
    kubectl("scale", "deployment/web", "--replicas=2")
    assert drift.run_daily_check(job) == "revision 2 is failed: not compared"
    assert drift.correct_drift(job, by="ada").skipped
    assert [one.status for one in job.releases.history()] == ["deployed", "failed"]
