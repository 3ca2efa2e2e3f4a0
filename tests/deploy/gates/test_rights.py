"""The gate `rights` names every right that is missing, before Helm meets the first of them."""

from __future__ import annotations

import pytest

from local.fakes.cluster import MemoryCluster
from shared.deploy.gates.rights import check_rights
from shared.deploy.progress import DeployState


def manifest(kind: str, api_version: str = "v1", **meta: str) -> dict:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **meta}}


SERVICE, CONFIG = manifest("Service"), manifest("ConfigMap")
BUDGET = manifest("PodDisruptionBudget", "policy/v1")


def check(denied, before=(), after=(SERVICE,)):
    cluster = MemoryCluster()
    cluster.denied = set(denied)
    return check_rights(cluster, before, after, namespace="rocketchat")


def test_with_all_rights_it_is_open_and_says_how_many_were_asked_for() -> None:
    gate = check([], after=(SERVICE, SERVICE, BUDGET))
    assert gate.passed
    assert gate.reason == "the service account has all 23 rights that the plan needs"  # 11 + 2 × 6


@pytest.mark.parametrize("verb", ["create", "delete", "get", "list", "patch", "watch"])
def test_each_verb_on_each_kind_of_the_chart_is_needed(verb: str) -> None:
    gate = check([("policy", "poddisruptionbudgets", verb)], after=(SERVICE, BUDGET))
    assert not gate.passed
    assert gate.reason == (f"the service account may not {verb} poddisruptionbudgets.policy in rocketchat")
    assert "infra/chart/rbac.yaml" in gate.hint


def test_all_that_is_missing_is_named_at_once() -> None:
    denied = [("", "configmaps", "create"), ("", "configmaps", "get"), ("", "services", "patch")]
    gate = check(denied, after=(CONFIG, SERVICE))
    assert gate.reason == (
        "the service account may not create, get configmaps in rocketchat; patch services in rocketchat"
    )


@pytest.mark.parametrize(("verb", "passed"), [("delete", False), ("get", False), ("create", True)])
def test_what_leaves_the_chart_need_only_be_found_and_deleted(verb: str, passed: bool) -> None:
    assert check([("", "configmaps", verb)], before=(CONFIG,)).passed is passed


@pytest.mark.parametrize("verb", ["create", "delete", "get", "list", "patch", "update", "watch"])
def test_helms_own_records_need_all_verbs_whatever_the_chart_has(verb: str) -> None:
    assert not check([("", "secrets", verb)]).passed


@pytest.mark.parametrize(
    ("group", "resource"),
    [("", "pods"), ("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets")],
)
def test_what_readiness_is_judged_by_must_be_listed(group: str, resource: str) -> None:
    assert not check([(group, resource, "list")]).passed


def test_a_kind_that_the_cluster_does_not_serve_is_left_to_the_gate_that_renders() -> None:
    cluster = MemoryCluster()
    cluster.unknown_kinds = {"Widget"}
    widget = manifest("Widget", "example.org/v1")
    assert check_rights(cluster, [], [widget], namespace="rocketchat").passed


class AskedCluster(MemoryCluster):
    """Keeps the places that were asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, str]] = set()

    def is_allowed(self, right) -> bool:
        self.asked.add((right.resource, right.namespace))
        return super().is_allowed(right)


def test_a_right_is_asked_for_where_the_object_will_be() -> None:
    cluster = AskedCluster()
    role = manifest("ClusterRole", "rbac.authorization.k8s.io/v1")
    elsewhere = manifest("Service", namespace="monitoring")
    check_rights(cluster, [], [CONFIG, role, elsewhere], namespace="rocketchat")
    assert {("configmaps", "rocketchat"), ("clusterroles", ""), ("services", "monitoring")} <= cluster.asked
    assert ("services", "rocketchat") not in cluster.asked


def test_a_deploy_without_the_rights_changes_nothing(world, files) -> None:
    world.deployed_first("8.2.0")
    world.cluster.denied = {("apps", "deployments", "patch")}
    _, sha = world.merge(files("8.3.0"))
    world.work()
    record = world.record(sha)
    assert (record.state, record.progress.attempts) == (DeployState.FAILED, 0), record
    assert record.progress.reason == "closed gates: rights"
    assert len(world.releases.history()) == 1
    assert record.backup_reference == "", "no backup is taken for what cannot be deployed"


@pytest.mark.parametrize(
    ("version", "passed"), [("4.0.0", True), ("3.19.0", False), ("5.0.0", False), ("40.1", False)]
)
def test_a_helm_of_another_major_closes_a_gate(world, files, version: str, passed: bool) -> None:
    world.deployed_first("8.2.0")
    world.releases.version = version
    _, sha = world.merge(files("8.3.0"))
    world.work()
    assert (world.record(sha).state is DeployState.DONE) is passed
    assert any(
        line.startswith(f"{'passed' if passed else 'closed'}  helm: Helm is {version}")
        for line in world.record(sha).gates
    )
