"""The namespace of drills: the fake, and the API with exactly the rights of infra/chart/rbac-drill.yaml.

The stand-in answers; with GROUNDCREW_TEST_KUBECONFIG a real cluster does, as its administrator.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.fakes.clock import ManualClock
from local.fakes.scratch_cluster import MemoryScratchCluster
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.rehearsal import connect_rehearsal
from shared.adapters.kubernetes.scratch import connect_scratch, list_drill_rights
from shared.kernel.errors import Conflict, NotFound, Refused
from shared.kernel.secret import Secret
from shared.kubernetes.api import api_root, connect_api
from shared.kubernetes.pod_requests import PodRequests
from shared.restore.drill.cluster.manifest import build_job
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchPod, ScratchSpec
from shared.restore.drill.cluster.ports import ScratchCluster

_REAL = os.environ.get("GROUNDCREW_TEST_KUBECONFIG")
_SECONDS = 300.0 if _REAL else 60.0
RIGHTS = ROOT / "infra" / "chart" / "rbac-drill.yaml"
IMAGE, NEVER = "docker.io/library/mongo:8.0.15", "registry.invalid/never-pulls:8.0.0"
SPEC = ScratchSpec("", "0123456789abcdef", IMAGE, 1, 1 << 30, 4 << 30, timedelta(hours=1))

pytestmark = pytest.mark.timeout(400)


@dataclass
class ScratchStage:
    """The cluster, and what only one of them can do."""

    cluster: ScratchCluster
    server: KubernetesServer | None = None
    kubeconfig: Path | None = None

    def spec(self, **changes: Any) -> ScratchSpec:
        return replace(SPEC, name=f"drill-{uuid.uuid4().hex[:8]}", **changes)

    def start(self, **changes: Any) -> str:
        spec = self.spec(**changes)
        self.cluster.create_job(build_job(spec))
        return spec.name


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(RIGHTS.read_text()))


def apply_to_real(kubeconfig: str) -> None:
    plurals = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
    api = connect_api(Secret(Path(kubeconfig).read_text()))
    for item in objects():
        if "RoleBinding" in item["kind"]:
            continue  # its subject is of the release's namespace, which this cluster may not have
        place = item["metadata"].get("namespace")
        where = f"/namespaces/{place}" if place else ""
        plural = plurals.get(item["kind"], f"{item['kind'].lower()}s")
        path = f"{api_root(item['apiVersion'])}{where}/{plural}/{item['metadata']['name']}"
        api.apply(path, item, {"fieldManager": "groundcrew-test", "force": "true"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KubernetesServer]:
    with KubernetesServer() as running:
        running.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rocketchat"}}, *objects())
        yield running


@pytest.fixture(params=["memory", "api"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> ScratchStage:
    if request.param == "memory":
        return ScratchStage(MemoryScratchCluster(ManualClock(datetime(2026, 11, 23, tzinfo=UTC))))
    if _REAL:
        apply_to_real(_REAL)
        return ScratchStage(connect_scratch(Secret(Path(_REAL).read_text()), "groundcrew-drill"))
    return api_stage(request.getfixturevalue("server"), tmp_path)


def api_stage(server: KubernetesServer, tmp_path: Path) -> ScratchStage:
    token = server.token_for("groundcrew", "rocketchat")
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", token=token)
    return ScratchStage(
        connect_scratch(Secret(kubeconfig.read_text()), "groundcrew-drill"), server, kubeconfig
    )


@pytest.fixture
def api(server: KubernetesServer, tmp_path: Path) -> ScratchStage:
    if _REAL:
        pytest.skip("only the stand-in can be told to do that")
    return api_stage(server, tmp_path)


def await_pod(stage: ScratchStage, job: str, condition: Callable[[ScratchPod], bool]) -> ScratchPod:
    end = time.monotonic() + _SECONDS
    while not condition(pod := stage.cluster.observe_pod(job)):
        assert time.monotonic() < end, f"timed out waiting for the pod: {pod}"
        time.sleep(0.05)
    return pod


def await_removal(stage: ScratchStage, job: str) -> None:
    end = time.monotonic() + _SECONDS
    while stage.cluster.has_pods(job):
        assert time.monotonic() < end, "timed out waiting for the pod to go"
        time.sleep(0.05)


def test_a_job_runs_is_listed_with_its_owner_and_goes_with_its_pod(stage: ScratchStage) -> None:
    name = stage.start()
    try:
        pod = await_pod(stage, name, lambda each: each.running)
        assert pod.name
        (job,) = stage.cluster.list_jobs()
        assert (job.name, job.owner, job.deadline) == (name, SPEC.owner, timedelta(hours=1))
        assert job.created is not None
        assert not job.finished
        with pytest.raises(Conflict):
            stage.cluster.create_job(build_job(replace(SPEC, name=name)))
        stage.cluster.forward_port(pod.name, 27017).close()
    finally:
        stage.cluster.delete_job(name)
    await_removal(stage, name)
    assert stage.cluster.list_jobs() == []
    stage.cluster.delete_job(name)  # gone already is fine
    assert stage.cluster.observe_pod(name) == ScratchPod(reason="the Job was deleted", ended=True)


def test_the_namespace_is_shut_in_and_the_nodes_are_told(stage: ScratchStage) -> None:
    assert stage.cluster.read_setup() == NamespaceSetup("restricted", isolated=True)
    assert [node.ready for node in stage.cluster.list_nodes()][:1] == [True]
    assert stage.cluster.find_missing_rights() == []


def test_a_pod_that_is_not_there_cannot_be_reached(stage: ScratchStage) -> None:
    with pytest.raises(NotFound):
        stage.cluster.forward_port("nobody", 27017)


def test_every_right_of_the_file_is_used_and_none_is_missing(api: ScratchStage) -> None:
    server = api.server
    assert server
    test_a_job_runs_is_listed_with_its_owner_and_goes_with_its_pod(api)
    test_the_namespace_is_shut_in_and_the_nodes_are_told(api)
    asked = {
        (request.group, request.resource, request.verb)
        for request in server.requests
        if "serviceaccount" in request.user and request.resource != "selfsubjectaccessreviews"
    }
    granted = {
        (group, resource, verb)
        for role in objects()
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # The right that Kubernetes asks for since 1.35: tests/contract/test_port_forward.py has it.
    assert granted - asked == {("", "pods/portforward", "create")}
    assert asked - granted == set()
    assert {request.code for request in server.requests if request.code == 403} == set()
    rights = {(right.group, right.resource, right.verb) for right in list_drill_rights("groundcrew-drill")}
    assert rights == granted - {("metrics.k8s.io", "nodes", "list")}


def test_without_a_right_the_doctor_can_name_it(api: ScratchStage) -> None:
    assert api.server
    api.server.cluster.delete("RoleBinding", "groundcrew-drill", "groundcrew-drill")
    missing = [f"{right.verb} {right.resource}" for right in api.cluster.find_missing_rights()]
    assert "create pods/portforward" in missing
    assert "create jobs" in missing
    assert "list nodes" not in missing
    with pytest.raises(Refused):
        api.cluster.list_jobs()


@pytest.mark.parametrize("where", ["rocketchat", "kube-system"])
def test_the_rights_end_at_the_namespaces_edge(api: ScratchStage, where: str) -> None:
    assert api.kubeconfig
    elsewhere = connect_scratch(Secret(api.kubeconfig.read_text()), where)
    with pytest.raises(Refused):
        elsewhere.create_job(build_job(api.spec()))
    with pytest.raises(Refused):
        elsewhere.forward_port("rocketchat-mongodb-0", 27017)
    missing = {right.resource for right in elsewhere.find_missing_rights()}
    assert {"jobs", "pods/portforward", "pods", "namespaces"} <= missing


def test_policies_that_allow_something_leave_the_namespace_open(api: ScratchStage) -> None:
    assert api.server
    meta = {"name": "monitoring", "namespace": "groundcrew-drill"}
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
    api.server.add(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}
    )
    assert not api.cluster.read_setup().isolated
    api.server.cluster.delete("NetworkPolicy", "monitoring", "groundcrew-drill")
    assert api.cluster.read_setup().isolated
    api.server.cluster.delete("NetworkPolicy", "deny-all", "groundcrew-drill")
    assert not api.cluster.read_setup().isolated


def test_an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words(api: ScratchStage) -> None:
    name = api.start(image=NEVER)
    pod = await_pod(api, name, lambda each: "Image" in each.reason)
    assert (pod.running, pod.ended) == (False, False)  # a registry may answer again
    assert NEVER in pod.reason


def test_a_pod_that_no_node_has_room_for_is_told_in_the_schedulers_words(api: ScratchStage) -> None:
    assert api.server
    quota = api.server.get("ResourceQuota", "drill", "groundcrew-drill")
    assert quota
    api.server.cluster.delete("ResourceQuota", "drill", "groundcrew-drill")
    for changes, what in (
        ({"memory_bytes": 64 << 30}, "memory"),
        ({"storage_bytes": 999 << 30}, "ephemeral"),
    ):
        name = api.start(**changes)
        pod = await_pod(api, name, lambda each: "Unschedulable" in each.reason)
        assert f"Insufficient {what}" in pod.reason
        api.cluster.delete_job(name)
        await_removal(api, name)


def test_what_admission_refuses_is_told_by_the_jobs_own_event(api: ScratchStage) -> None:
    assert api.server
    first = api.start()
    await_pod(api, first, lambda each: each.running)
    second = api.start()  # the quota has room for one pod
    pod = await_pod(api, second, lambda each: "FailedCreate" in each.reason)
    assert "exceeded quota: drill, requested: pods=1, used: pods=1, limited: pods=1" in pod.reason
    assert not pod.ended
    api.server.cluster.delete("PriorityClass", "groundcrew-drill")
    third = api.start()
    assert "no PriorityClass" in await_pod(api, third, lambda each: "FailedCreate" in each.reason).reason


def test_a_job_past_its_deadline_is_ended_by_the_cluster_and_says_so(api: ScratchStage) -> None:
    name = api.start(deadline=timedelta(seconds=2))
    # The event comes before the Job's status, by which it has ended.
    pod = await_pod(api, name, lambda each: each.ended)
    assert "DeadlineExceeded" in pod.reason
    assert api.cluster.list_jobs()[0].finished


def test_a_pod_that_was_evicted_or_killed_has_ended_and_says_why(api: ScratchStage) -> None:
    assert api.server
    name = api.start()
    pod = await_pod(api, name, lambda each: each.running)
    item = api.server.get("Pod", pod.name, "groundcrew-drill")
    assert item
    why = 'Usage of EmptyDir volume "data" exceeds the limit "4Gi". '
    api.server.cluster.set_status(item, {"phase": "Failed", "reason": "Evicted", "message": why})
    pod = await_pod(api, name, lambda each: each.ended)
    assert "Evicted" in pod.reason
    assert "exceeds the limit" in pod.reason


def test_a_deletion_without_a_word_leaves_the_pods_of_a_job_running_as_kubernetes_does(
    api: ScratchStage,
) -> None:
    """https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup"""
    assert api.server
    name = api.start()
    await_pod(api, name, lambda each: each.running)
    api.server.cluster.delete("Job", name, "groundcrew-drill")
    api.server.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}})
    assert api.cluster.has_pods(name)


def test_requests_are_those_of_the_releases_pods_and_unknown_without_the_right(api: ScratchStage) -> None:
    assert api.server is not None
    assert api.kubeconfig is not None
    own = Secret(api.kubeconfig.read_text())
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "chat", "namespace": "rocketchat"},
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "chat", "image": "i", "resources": {"requests": {"cpu": "1500m", "memory": "2Gi"}}}
            ],
        },
        "status": {"phase": "Running"},
    }
    api.server.add(pod)
    # rbac.yaml is not applied here: nothing is known, which is not nothing.
    assert connect_rehearsal(own, "groundcrew-rehearsal", "rocketchat").list_known_requests() is None
    granted = yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text())
    api.server.add(*(one for one in granted if one["metadata"].get("namespace") == "rocketchat"))
    seen = connect_rehearsal(own, "groundcrew-rehearsal", "rocketchat").list_known_requests()
    assert seen == {"node-1": PodRequests(1.5, float(2 << 30))}
