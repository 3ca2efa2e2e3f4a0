"""Where the cluster is not what was deployed, and by whom."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from shared.deploy.diff.drift import find_drift
from shared.kubernetes.workloads import Node, Pod, Workload, describe_unhealthy, parse_node, parse_pod

DEPLOYED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "web"}},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "web:1",
                        "env": [{"name": "A", "value": "1"}],
                        "resources": {"limits": {"memory": "1Gi", "cpu": "1"}},
                        "volumeMounts": [],
                    }
                ]
            }
        },
    },
}


def owned(fields: dict[str, Any], manager: str, *, at: str = "2026-03-02T08:00:00Z") -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def live(*changes: tuple[str, Any], managed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What the server has: defaults filled in, quantities and empty lists its own way, then the changes."""
    item = copy.deepcopy(DEPLOYED)
    item["metadata"] |= {"namespace": "chat", "uid": "1", "managedFields": managed or []}
    container = item["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"memory": "1024Mi", "cpu": "1000m"}},
    }
    del container["volumeMounts"]
    item["spec"]["revisionHistoryLimit"] = 10
    for path, value in changes:
        *parents, last = path.split(".")
        inner: Any = item
        for name in parents:
            inner = inner[int(name)] if name.isdigit() else inner[name]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return item


def told(there: dict[str, Any] | None, deployed: dict[str, Any] = DEPLOYED) -> list[str]:
    return [str(one) for one in find_drift([deployed], [there], namespace="chat")]


CONTAINER = "spec.template.spec.containers.0"
KUBECTL_REPLICAS = owned({"f:spec": {"f:replicas": {}}}, "kubectl-edit")
KUBECTL_ENV = owned(
    {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"web"}': {
                            "f:env": {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}
                        }
                    }
                }
            }
        }
    },
    "kubectl-set",
)


def test_defaults_and_the_servers_own_spelling_are_no_drift():
    assert told(live()) == []


def test_a_change_by_hand_names_the_tool_and_the_time():
    assert told(live(("spec.replicas", 3), managed=[KUBECTL_REPLICAS])) == [
        "Deployment chat/web: spec.replicas: 1 -> 3 by kubectl-edit at 2026-03-02 08:00Z"
    ]


def test_a_change_whose_owner_is_not_known_is_told_without_one():
    assert told(live((f"{CONTAINER}.image", "web:2"))) == [
        'Deployment chat/web: spec.template.spec.containers[web].image: "web:1" -> "web:2"'
    ]


def test_what_was_taken_out_is_told():
    assert told(live(("metadata.labels", {}))) == [
        'Deployment chat/web: metadata.labels[app.kubernetes.io/name]: "web" was removed'
    ]


def test_an_object_that_is_gone_is_told():
    assert told(None) == ["Deployment chat/web is gone"]


def test_what_a_person_added_is_told_and_what_controllers_added_is_not():
    env = [{"name": "A", "value": "1"}, {"name": "DEBUG", "value": "*"}]
    controller = owned({"f:metadata": {"f:annotations": {"f:x": {}}}}, "kube-controller-manager")
    there = live(
        (f"{CONTAINER}.env", env), ("metadata.annotations", {"x": "1"}), managed=[KUBECTL_ENV, controller]
    )
    assert told(there) == [
        "Deployment chat/web: spec.template.spec.containers[web].env[DEBUG].name was added by kubectl-set"
        ' at 2026-03-02 08:00Z: "DEBUG"',
        "Deployment chat/web: spec.template.spec.containers[web].env[DEBUG].value was added by kubectl-set"
        ' at 2026-03-02 08:00Z: "*"',
    ]


def test_what_the_clusters_own_controllers_change_is_no_drift():
    for manager in ("kube-controller-manager", "kubelite", "keda"):
        scaled = owned({"f:spec": {"f:replicas": {}}}, manager) | {"subresource": "scale"}
        assert told(live(("spec.replicas", 5), managed=[scaled])) == []


def test_a_person_who_scales_is_told_though_an_autoscaler_uses_the_same_endpoint():
    scaled = owned({"f:spec": {"f:replicas": {}}}, "kubectl") | {"subresource": "scale"}
    (found,) = told(live(("spec.replicas", 5), managed=[scaled]))
    assert "1 -> 5 by kubectl at" in found


def test_a_status_and_a_restart_are_no_drift():
    crd = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "status": {"phase": ""}}
    assert told({**crd, "status": {"phase": "Ready"}}, crd) == []
    note = "kubectl.kubernetes.io/restartedAt"
    fields = {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {f"f:{note}": {}}}}}}
    there = live(
        ("spec.template.metadata", {"annotations": {note: "now"}}), managed=[owned(fields, "kubectl-rollout")]
    )
    assert told(there) == []


def test_of_each_drift_it_is_known_whether_it_was_a_hand_and_whether_applying_takes_it_back():
    def one(*changes, managed):
        (found,) = find_drift([DEPLOYED], [live(*changes, managed=managed)], namespace="chat")
        return found.by_hand, found.restorable

    helm = owned({"f:spec": {"f:replicas": {}}}, "helm")
    label = owned({"f:metadata": {"f:labels": {"f:x": {}}}}, "kubectl-label")
    labels = {"app.kubernetes.io/name": "web", "x": "1"}
    assert one(("spec.replicas", 3), managed=[KUBECTL_REPLICAS]) == (True, True)
    assert one(("metadata.labels", {}), managed=[]) == (True, True), "who took it out is not known"
    assert one(("spec.replicas", 3), managed=[helm]) == (False, True), "changed on its way in"
    assert one(("metadata.labels", labels), managed=[label]) == (True, False)


def test_a_field_that_a_person_owns_but_left_as_deployed_is_no_drift():
    assert told(live(managed=[KUBECTL_REPLICAS])) == []


def test_the_values_of_secrets_are_compared_and_not_shown():
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"password": "one"},
    }
    same = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"password": encoded("one")},
    }
    assert told(same, secret) == []
    other = {**same, "data": {"password": encoded("another")}}
    assert told(other, secret) == ["Secret chat/s: data.password: **redacted** -> **redacted**"]


@pytest.mark.parametrize(
    ("deployed", "there", "same"),
    [("500m", "0.5", True), ("1Gi", "1024Mi", True), ("1Gi", "1G", False), (1, "1", True), ("x", "y", False)],
)
def test_quantities_are_compared_by_what_they_mean(deployed, there, same):
    def item(text: object) -> dict[str, Any]:
        limits = {"resources": {"limits": {"memory": text}}}
        return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": limits}

    assert (told(item(there), item(deployed)) == []) is same


@pytest.mark.parametrize(
    "fields",
    [{"f:spec": "x"}, {"k:{broken": {}}, {"v:1": {}}, {"f:spec": {"k:[1]": {}}}, {"": {}}],
    ids=["a text", "a broken key", "a value", "a list for a key", "nothing"],
)
def test_field_managers_in_a_form_nobody_knows_do_no_harm(fields):
    strange = owned({}, "kubectl") | {"fieldsV1": fields}
    assert told(live(("spec.replicas", 3), managed=[strange]))


# Workloads


def test_what_keeps_a_release_from_being_healthy_is_said_in_a_stable_order():
    workloads = [
        Workload("StatefulSet", "db", 1, 1, 1, True),
        Workload("Deployment", "web", 2, 1, 2, True),
        Workload("Deployment", "api", 1, 1, 1, True, failure="ProgressDeadlineExceeded: too slow"),
        Workload("Deployment", "old", 1, 1, 1, False),
    ]
    pods = [
        Pod("web-2", "Pending", False, (), blocked_reason="web: ErrImagePull"),
        Pod("web-1", "Running", True, ()),
    ]
    assert describe_unhealthy(workloads, pods) == [
        "Deployment api: ProgressDeadlineExceeded: too slow",
        "Deployment old: 1 of 1 ready, 1 updated",
        "Deployment web: 1 of 2 ready, 2 updated",
        "Pod web-2: web: ErrImagePull",
    ]


def test_an_object_without_a_status_is_one_that_nothing_happened_to_yet():
    assert parse_pod({}) == Pod("", "Pending", False, ())
    assert parse_node({}, {}) == Node("", False, 0.0)
