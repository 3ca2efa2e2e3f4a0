"""What a cluster tells, asked of the Kubernetes API (the stand-in) and of the fake alike."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.fakes.cluster import MemoryCluster
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import NODE, PROMETHEUS, build_definition, prometheus_objects
from local.kubernetes.addons import build_node as the_node
from local.stack import ROOT
from shared.adapters.kubernetes.cluster import connect
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.access import AccessRight, ServedResource
from shared.kubernetes.api import failure
from shared.kubernetes.ports import Cluster
from shared.kubernetes.workloads import Node
from tests.support.clusters import open_cluster

NAMESPACE = "rocketchat"
MEASURED_BY = "{}/{}:9090".format(*PROMETHEUS)
NETWORKING = "networking.k8s.io"
PAUSE = "registry.k8s.io/pause:3.9"


@dataclass
class Stage:
    """The cluster that is asked, and a way to put objects into it that no controller touches."""

    cluster: Cluster
    put: Callable[..., None]
    server: KubernetesServer | None = None

    def measure(self, free_bytes: float) -> None:
        """From now on somebody measures the free disk of the node."""
        if self.server:
            self.server.behaviour.disk_free_bytes = free_bytes
            self.server.add(*prometheus_objects())
        elif isinstance(self.cluster, MemoryCluster):
            self.cluster.disk_free[NODE] = free_bytes

    def pulled(self, *names: str) -> None:
        """The node has an image of 300 MiB by these names."""
        status = {**the_node("1.31")["status"], "images": [{"names": [*names], "sizeBytes": 300 << 20}]}
        if self.server:
            found = self.server.get("Node", NODE)
            assert found is not None
            self.server.cluster.set_status(found, status)
        else:
            self.put({**the_node("1.31"), "status": status})


@pytest.fixture(params=["kubernetes", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A namespace in which nothing happens by itself."""
    if request.param == "memory":
        fake = MemoryCluster(NAMESPACE)
        fake.add(the_node("1.31"))
        yield Stage(fake, fake.add)
        return
    with open_cluster() as server:
        server.behaviour.paused = True
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        kubeconfig = Secret(server.kubeconfig(tmp_path / "kubeconfig").read_text())
        yield Stage(connect(kubeconfig, NAMESPACE, MEASURED_BY), server.add, server)


def made(kind: str, name: str, *, api: str = "v1", namespace: str = NAMESPACE, **rest: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def template(name: str, image: str = PAUSE) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}


def deployment(name: str, *, replicas: int = 2, status: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, "rocketchat/rocket.chat:8.2.0"),
    }
    return made("Deployment", name, api="apps/v1", spec=spec, status=status or {})


def pod(name: str, *, status: dict[str, Any], namespace: str = NAMESPACE) -> dict[str, Any]:
    return made("Pod", name, namespace=namespace, spec=template(name)["spec"], status=status)


def container(state: dict[str, Any], *, restarts: int = 0, **rest: Any) -> dict[str, Any]:
    known = {"name": "main", "image": PAUSE, "imageID": "", "ready": False, "restartCount": restarts}
    return {**known, "state": state, **rest}


def test_the_version_is_three_numbers(stage):
    assert stage.cluster.get_version() == (stage.server.version if stage.server else "1.31.0")


def test_a_deployment_that_is_there_as_wanted_is_settled(stage):
    status = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}
    stage.put(deployment("web", status=status))
    (found,) = stage.cluster.list_workloads()
    assert (found.kind, found.name, found.desired, found.ready) == ("Deployment", "web", 2, 2)
    assert found.images == ("rocketchat/rocket.chat:8.2.0",)
    assert found.settled


def test_a_deployment_that_gave_up_says_why(stage):
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "timed out",
    }
    status = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "conditions": [condition]}
    stage.put(deployment("web", status=status))
    (found,) = stage.cluster.list_workloads()
    assert found.failure == "ProgressDeadlineExceeded: timed out"
    assert not found.settled


def test_deployments_and_stateful_sets_come_sorted(stage):
    spec = {"selector": {"matchLabels": {"app": "db"}}, "serviceName": "db", "template": template("db")}
    stage.put(made("StatefulSet", "db", api="apps/v1", spec=spec), deployment("web"), deployment("account"))
    assert [(one.kind, one.name) for one in stage.cluster.list_workloads()] == [
        ("Deployment", "account"),
        ("Deployment", "web"),
        ("StatefulSet", "db"),
    ]


def test_a_pod_that_runs_is_ready_and_was_started(stage):
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [container({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, ready=True)],
    }
    stage.put(pod("web-1", status=status))
    (found,) = stage.cluster.list_pods()
    assert (found.phase, found.ready, found.started, found.blocked_reason) == ("Running", True, True, "")
    assert found.images == (PAUSE,)


@pytest.mark.parametrize(
    ("reason", "started", "restarts"),
    [("ImagePullBackOff", False, 0), ("CrashLoopBackOff", True, 4), ("CreateContainerConfigError", False, 0)],
)
def test_a_pod_that_is_stuck_says_why_and_whether_it_ever_ran(stage, reason, started, restarts):
    state = container({"waiting": {"reason": reason, "message": "see here"}}, restarts=restarts)
    stage.put(pod("web-1", status={"phase": "Pending", "containerStatuses": [state]}))
    (found,) = stage.cluster.list_pods()
    assert found.blocked_reason == f"main: {reason}: see here"
    assert (found.started, found.restarts, found.ready) == (started, restarts, False)


def test_pods_are_chosen_by_label_and_of_this_namespace_only(stage):
    if stage.server:
        stage.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    status = {"phase": "Pending"}
    stage.put(pod("b", status=status), pod("a", status=status), pod("c", status=status, namespace="other"))
    assert [one.name for one in stage.cluster.list_pods()] == ["a", "b"]
    assert [one.name for one in stage.cluster.list_pods("app=b")] == ["b"]


def event(name: str, kind: str, at: str) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "web-1", "namespace": NAMESPACE}
    rest = {"reason": "Failed", "message": f"{name} happened", "lastTimestamp": at, "count": 3}
    return made("Event", name, involvedObject=about, type=kind, **rest)


def test_warnings_come_newest_first_and_the_rest_if_asked_for(stage):
    stage.put(
        event("one", "Warning", "2026-01-01T00:00:00Z"),
        event("two", "Warning", "2026-01-01T00:05:00Z"),
        event("three", "Normal", "2026-01-01T00:03:00Z"),
    )
    found = stage.cluster.list_events()
    assert [one.message for one in found] == ["two happened", "one happened"]
    assert found[0].about == "Pod/web-1"
    assert found[0].at == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert found[0].count == 3
    assert len(stage.cluster.list_events(warnings_only=False)) == 3


def test_of_secrets_only_the_names_are_told_and_releases_are_left_out(stage):
    value = base64.b64encode(b"mongodb://root:hunter2@db").decode()
    stage.put(
        made("Secret", "mongo", data={"mongo-uri": value, "mongo-oplog-uri": value}),
        made("Secret", "empty"),
        made("Secret", "sh.helm.release.v1.x.v1", type="helm.sh/release.v1", data={"release": value}),
    )
    found = stage.cluster.list_secret_keys()
    assert found == {"mongo": {"mongo-uri", "mongo-oplog-uri"}, "empty": frozenset()}
    assert "hunter2" not in repr(found)
    assert value not in repr(found)


def test_a_claim_tells_what_it_was_given(stage):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    status = {"phase": "Bound", "capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"]}
    stage.put(made("PersistentVolumeClaim", "uploads", spec=spec, status=status))
    stage.put(made("PersistentVolumeClaim", "waiting", spec=spec, status={"phase": "Pending"}))
    uploads, waiting = stage.cluster.list_claims()
    assert (uploads.phase, uploads.modes, uploads.size_bytes) == ("Bound", ("ReadWriteOnce",), 8 << 30)
    assert (waiting.phase, waiting.size_bytes) == ("Pending", 5 << 30)


def test_the_live_objects_stand_where_their_manifests_stood(stage):
    stage.put(made("ConfigMap", "web", data={"a": "1"}), deployment("web"))
    asked = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": NAMESPACE}},
        {"apiVersion": "example.org/v1", "kind": "Unknown", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "Unknown", "metadata": {"name": "web"}},
    ]
    first, second, third, fourth, fifth = stage.cluster.get_live_objects(asked)
    assert first is not None
    assert first["spec"]["replicas"] == 2
    assert third is not None
    assert third["data"] == {"a": "1"}
    assert (second, fourth, fifth) == (None, None, None)


def test_where_there_is_nothing_nothing_is_told(stage):
    assert stage.cluster.list_workloads() == []
    assert stage.cluster.list_pods() == []
    assert stage.cluster.list_events() == []
    assert stage.cluster.list_claims() == []


def test_a_node_whose_disk_nobody_measures_tells_only_how_large_it_is(stage):
    (node,) = stage.cluster.list_nodes(disks=True)
    assert (node.name, node.ready, node.pressures) == (NODE, True, ())
    assert node.disk_bytes == 129886128 * 1024
    assert node.disk_free_bytes is None
    assert node.disk_estimated_bytes == node.disk_bytes


def test_a_node_whose_disk_is_measured_tells_what_is_free_to_those_who_ask(stage):
    stage.measure(float(7 << 30))
    (node,) = stage.cluster.list_nodes(disks=True)
    assert node.disk_free_bytes == 7 << 30
    assert node.disk_bytes == 129886128 * 1024
    assert stage.cluster.list_nodes()[0].disk_free_bytes is None


def test_a_full_disk_is_measured_too(stage):
    stage.measure(0.0)
    assert stage.cluster.list_nodes(disks=True)[0].disk_free_bytes == 0.0


def test_only_the_node_that_was_measured_has_free_disk_to_tell(stage):
    stage.measure(float(7 << 30))
    other = the_node("1.31")
    other["metadata"] = {"name": "another"}
    other["status"] = {**other["status"], "addresses": []}
    stage.put(other)
    found = {node.name: node.disk_free_bytes for node in stage.cluster.list_nodes(disks=True)}
    assert found == {NODE: 7 << 30, "another": None}


def test_a_node_tells_the_images_that_it_has_and_what_they_take(stage):
    stage.pulled("docker.io/rocketchat/rocket.chat@sha256:5f0c", "docker.io/rocketchat/rocket.chat:8.2.0")
    (node,) = stage.cluster.list_nodes(disks=True)
    assert node.images == {
        "docker.io/rocketchat/rocket.chat@sha256:5f0c",
        "docker.io/rocketchat/rocket.chat:8.2.0",
    }
    assert node.images_bytes == 300 << 20
    assert node.disk_estimated_bytes == node.disk_bytes - (300 << 20)


# What follows is the API's alone.


@pytest.fixture
def measured(real: tuple[KubernetesServer, Path]) -> tuple[KubernetesServer, Path]:
    """With a Prometheus behind the API, which a real one does not pass on to where tests may listen."""
    if not isinstance(real[0], KubernetesServer):
        pytest.skip("an API server refuses to pass requests on to loopback")
    return real


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[KubernetesServer, Path]]:
    with open_cluster() as server:
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield server, server.kubeconfig(tmp_path / "kubeconfig")


def opened(kubeconfig: Path, prometheus: str = MEASURED_BY):
    return connect(Secret(kubeconfig.read_text()), NAMESPACE, prometheus)


def test_a_node_tells_its_memory_and_what_of_it_is_used(real):
    (node,) = opened(real[1]).list_nodes()
    assert node.ready
    assert node.memory_bytes == 16271572 * 1024
    assert node.memory_used_bytes is not None
    assert node.memory_free_bytes == node.memory_bytes - node.memory_used_bytes
    assert node.pressures == ()


def test_a_node_that_nobody_measures_has_no_free_memory_to_tell():
    assert Node("vm", True, 1e9).memory_free_bytes is None


def test_an_image_that_was_pulled_is_one_that_the_node_has(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    server.add(deployment("web"))
    deadline = time.monotonic() + 15
    while "docker.io/rocketchat/rocket.chat:8.2.0" not in cluster.list_nodes()[0].images:
        assert time.monotonic() < deadline, cluster.list_nodes()
    assert cluster.list_nodes()[0].images_bytes == server.behaviour.image_bytes


def gone(server: KubernetesServer) -> None:
    server.cluster.delete("Service", PROMETHEUS[1], PROMETHEUS[0])


def not_up(server: KubernetesServer) -> None:
    server.cluster.delete("Endpoints", PROMETHEUS[1], PROMETHEUS[0])


def no_sample(server: KubernetesServer) -> None:
    server.behaviour.disk_free_bytes = float("nan")


def somebody_else(server: KubernetesServer) -> None:
    (found,) = server.store.items(("", "services"), PROMETHEUS[0])
    server.store.put(("", "services"), {**found, "metadata": {**found["metadata"], "labels": {}}})


@pytest.mark.parametrize("missing", [gone, not_up, no_sample, somebody_else])
def test_where_prometheus_does_not_answer_the_node_is_there_and_its_disk_not_measured(
    measured, missing, caplog
):
    caplog.set_level("INFO", "shared.adapters.kubernetes")
    server, kubeconfig = measured
    server.add(*prometheus_objects())
    assert opened(kubeconfig).list_nodes(disks=True)[0].disk_free_bytes is not None
    assert caplog.messages == []
    missing(server)
    (node,) = opened(kubeconfig).list_nodes(disks=True)
    assert (node.ready, node.disk_free_bytes) == (True, None)
    event = "disk_sample_missing" if missing is no_sample else "disk_not_measured"
    assert caplog.messages == [f"kubernetes.{event}"]


@pytest.mark.parametrize("named", ["", "monitoring", f"{MEASURED_BY}1", "elsewhere/prometheus:9090"])
def test_a_prometheus_that_is_not_named_or_not_there_measures_nothing(real, named):
    server, kubeconfig = real
    server.add(*prometheus_objects())
    assert opened(kubeconfig, named).list_nodes(disks=True)[0].disk_free_bytes is None


@pytest.mark.parametrize(
    ("policy", "measured"),
    [
        ("timezone: UTC", "True"),
        ('deploy: {prometheus: ""}', "False"),
        ("deploy: {prometheus: x/y:1}", "False"),
    ],
)
def test_the_policy_says_which_prometheus_is_asked_if_any(real, tmp_path, policy, measured):
    server, kubeconfig = real
    if not isinstance(server, KubernetesServer):
        pytest.skip("an API server refuses to pass requests on to loopback")
    server.add(*prometheus_objects())
    (tmp_path / "policy.yaml").write_text(policy)
    code = (
        "from shared.wiring.kubernetes import connect_cluster; "
        "print(connect_cluster().list_nodes(disks=True)[0].disk_free_bytes is not None)"
    )
    settings = {
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "GROUNDCREW_KUBECONFIG": str(kubeconfig),
    }
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == measured


def test_prometheus_is_asked_only_for_the_disk_and_only_by_those_who_want_to_know(measured):
    server, kubeconfig = measured
    server.add(*prometheus_objects())
    cluster = opened(kubeconfig)
    cluster.list_nodes()
    assert [r for r in server.requests if r.resource == "services/proxy"] == []
    cluster.list_nodes(disks=True)
    (asked,) = [r for r in server.requests if r.resource == "services/proxy"]
    assert asked.path.endswith(f"/monitoring/services/http:{PROMETHEUS[1]}:9090/proxy/api/v1/query")
    assert asked.code == 200
    assert "node_filesystem_avail_bytes" in asked.query["query"]


def test_what_runs_is_seen_while_it_comes_up(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    server.add(deployment("web"))
    deadline = time.monotonic() + 15
    while not all(one.settled for one in cluster.list_workloads()):
        assert time.monotonic() < deadline, cluster.list_workloads()
    assert [one.started for one in cluster.list_pods("app=web")] == [True, True]


def test_an_image_that_never_pulls_is_seen_as_stuck_and_not_started(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    item = deployment("web", replicas=1)
    item["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.invalid/never-pulls:1"
    server.add(item)
    deadline = time.monotonic() + 15
    while not any(one.blocked_reason for one in cluster.list_pods()):
        assert time.monotonic() < deadline, cluster.list_pods()
    (found,) = cluster.list_pods()
    assert "never-pulls" in found.blocked_reason
    assert not found.started


def test_a_custom_resource_is_found_once_its_kind_is_served(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    item = made("Widget", "one", api="example.org/v1", spec={"size": 1})
    assert cluster.get_live_objects([item]) == [None]
    server.add(build_definition("example.org", "v1", "Widget", "widgets"), item)
    (found,) = cluster.get_live_objects([item])
    assert found is not None
    assert found["spec"] == {"size": 1}


def test_more_than_a_page_holds_is_all_read(real):
    server, kubeconfig = real
    server.behaviour.paused = True
    server.add(*(made("Secret", f"s-{number:03}") for number in range(260)))
    assert len(opened(kubeconfig).list_secret_keys()) == 260
    lists = [r for r in server.requests if r.resource == "secrets" and r.verb == "list"]
    assert len(lists) == 2


def test_discovery_is_asked_once_for_each_group(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    cluster.get_live_objects([made("ConfigMap", "a"), made("ConfigMap", "b")])
    cluster.get_live_objects([made("Secret", "a")])
    assert sum(r.path == "/api/v1" for r in server.requests) == 1


def test_missing_rights_are_refused_and_named_without_the_token(real, tmp_path):
    server, _ = real
    token = server.token_for("nobody", NAMESPACE)
    cluster = opened(server.kubeconfig(tmp_path / "restricted", token=token))
    with pytest.raises(Refused, match=r"cannot list resource \"pods\"") as caught:
        cluster.list_pods()
    assert token not in "".join(traceback.format_exception(caught.value))


def test_nodes_without_the_right_to_metrics_or_prometheus_are_told_without_what_those_measure(real, tmp_path):
    server, _ = real
    server.add(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "nodes"},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "nodes"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodes"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": NAMESPACE}],
        },
    )
    server.add(*prometheus_objects())
    token = server.token_for("reader", NAMESPACE)
    (node,) = opened(server.kubeconfig(tmp_path / "reader", token=token)).list_nodes(disks=True)
    assert (node.memory_used_bytes, node.disk_free_bytes) == (None, None)


def test_a_wrong_token_is_refused_and_not_shown(real, tmp_path):
    server, _ = real
    kubeconfig = server.kubeconfig(tmp_path / "wrong", token="w" * 32)
    with pytest.raises(Refused) as caught:
        opened(kubeconfig).list_pods()
    assert "w" * 32 not in "".join(traceback.format_exception(caught.value))


def test_an_api_server_that_is_down_is_unavailable_and_asked_again_when_it_is_back(real):
    server, kubeconfig = real
    cluster = opened(kubeconfig)
    assert cluster.list_pods() == []
    server.stop()
    with pytest.raises(Unavailable):
        cluster.list_pods()
    server.start()
    assert cluster.list_pods() == []


@pytest.mark.parametrize(
    "text",
    ["", "{}", "not: a: kubeconfig", "users: [{token: s3cr3t", json.dumps({"users": [{"token": "s3cr3t"}]})],
    ids=["empty", "no content", "no mapping", "broken", "no clusters"],
)
def test_a_kubeconfig_that_cannot_be_read_is_told_without_being_shown(text):
    with pytest.raises(UsageError) as caught:
        connect(Secret(text), NAMESPACE)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("namespace", ["", "../default", "UPPER", "a/b"])
def test_only_a_namespace_is_taken_for_one(real, namespace):
    with pytest.raises(UsageError):
        connect(Secret(real[1].read_text()), namespace)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (409, Conflict),
        (410, Conflict),
        (422, UsageError),
        (429, Unavailable),
        (500, Unavailable),
        (0, Unavailable),
    ],
)
def test_each_answer_has_its_kind_of_failure(status, kind):
    assert type(failure(status, "", "/api/v1/pods")) is kind


@pytest.mark.parametrize(
    ("api_version", "kind", "served"),
    [
        ("v1", "ConfigMap", ServedResource("", "configmaps", True)),
        ("policy/v1", "PodDisruptionBudget", ServedResource("policy", "poddisruptionbudgets", True)),
        ("networking.k8s.io/v1", "Ingress", ServedResource(NETWORKING, "ingresses", True)),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            ServedResource("networking.k8s.io", "networkpolicies", True),
        ),
        ("v1", "Node", ServedResource("", "nodes", False)),
    ],
)
def test_a_kind_is_served_under_its_plural(stage, api_version, kind, served) -> None:
    assert stage.cluster.resource_of(api_version, kind) == served


def test_a_kind_that_is_not_served_is_none(stage) -> None:
    if isinstance(stage.cluster, MemoryCluster):
        stage.cluster.unknown_kinds = {"Widget"}
    assert stage.cluster.resource_of("example.org/v1", "Widget") is None


def test_what_one_may_do_is_asked_of_the_api(tmp_path) -> None:
    with open_cluster() as server:
        rule = {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["get"]}
        subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": NAMESPACE}
        rbac = "rbac.authorization.k8s.io"
        role = {"apiGroup": rbac, "kind": "Role", "name": "reader"}
        server.add(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            made("Role", "reader", api=f"{rbac}/v1", rules=[rule]),
            made("RoleBinding", "reader", api=f"{rbac}/v1", roleRef=role, subjects=[subject]),
        )
        token = server.token_for("somebody", NAMESPACE)
        cluster = connect(Secret(server.kubeconfig(tmp_path / "kc", token=token).read_text()), NAMESPACE)
        allowed = AccessRight("policy", "poddisruptionbudgets", "get", NAMESPACE)
        assert cluster.is_allowed(allowed)
        for change in ({"verb": "list"}, {"group": ""}, {"resource": "pods"}, {"namespace": "default"}):
            assert not cluster.is_allowed(replace(allowed, **change)), change
        assert not cluster.is_allowed(replace(allowed, namespace="")), "in one namespace is not in all"
