"""The real Python client against the API: pods and what makes, moves and removes them."""

from __future__ import annotations

import json

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

PAUSE = "registry.k8s.io/pause:3.9"
BUSYBOX = "docker.io/library/busybox:1.37"


def pod(name, *, image=PAUSE, labels=None, **spec):
    container = {"name": "main", "image": image} | spec.pop("container", {})
    meta = {"name": name, "labels": labels or {}}
    return {"metadata": meta, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}}


def secret(name, labels=None, **data):
    return {"metadata": {"name": name, "labels": labels or {}}, "stringData": data}


def deployment(name, **spec):
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": PAUSE}]},
    }
    whole = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": whole}


def phase(cluster, name):
    return cluster.core.read_namespaced_pod(name, cluster.namespace).status.phase


def refused(error):
    """(code, reason, message) of what the server said."""
    body = json.loads(error.value.body)
    assert body["kind"] == "Status"
    assert body["code"] == error.value.status
    return error.value.status, body.get("reason"), body["message"]


def test_a_pod_goes_its_way_and_its_log_is_kept(cluster):
    body = pod(
        "hello", image=BUSYBOX, restartPolicy="Never", container={"command": ["sh", "-c", "echo hello"]}
    )
    cluster.core.create_namespaced_pod(cluster.namespace, body)
    cluster.until(lambda: phase(cluster, "hello") == "Succeeded")
    assert cluster.kubelet.read_namespaced_pod_log("hello", cluster.namespace) == "hello\n"


def test_the_log_of_a_container_that_did_not_start_is_refused_with_the_reason(cluster):
    cluster.core.create_namespaced_pod(
        cluster.namespace, pod("never", image="registry.invalid/never-pulls:1")
    )

    def waiting():
        states = cluster.core.read_namespaced_pod("never", cluster.namespace).status.container_statuses or ()
        return [s.state.waiting.reason for s in states if s.state.waiting] == ["ImagePullBackOff"]

    cluster.until(waiting)
    with pytest.raises(ApiException) as error:
        cluster.kubelet.read_namespaced_pod_log("never", cluster.namespace)
    assert refused(error)[:2] == (400, "BadRequest")
    assert "image" in refused(error)[2]


def test_a_container_that_keeps_failing_is_restarted_and_held_back(cluster):
    body = pod("crash", image=BUSYBOX, container={"command": ["sh", "-c", "exit 7"]})
    cluster.core.create_namespaced_pod(cluster.namespace, body)

    def held():
        states = cluster.core.read_namespaced_pod("crash", cluster.namespace).status.container_statuses or ()
        return next(
            (s for s in states if s.state.waiting and s.state.waiting.reason == "CrashLoopBackOff"), None
        )

    status = cluster.until(held)
    assert status.restart_count >= 1
    assert status.last_state.terminated.exit_code == 7


def test_a_pod_that_asks_for_too_much_is_not_scheduled_and_an_event_says_why(cluster):
    greedy = {"resources": {"requests": {"memory": "64Ti"}}}
    cluster.core.create_namespaced_pod(cluster.namespace, pod("greedy", container=greedy))

    def told():
        events = cluster.core.list_namespaced_event(
            cluster.namespace, field_selector="involvedObject.name=greedy,reason=FailedScheduling"
        )
        return any("Insufficient memory" in event.message for event in events.items)

    cluster.until(told)
    assert phase(cluster, "greedy") == "Pending"


def test_a_job_that_fails_too_often_is_failed_for_that_reason(cluster):
    template = pod("", image=BUSYBOX, restartPolicy="Never", container={"command": ["sh", "-c", "exit 1"]})[
        "spec"
    ]
    body = {"metadata": {"name": "drill"}, "spec": {"backoffLimit": 0, "template": {"spec": template}}}
    cluster.batch.create_namespaced_job(cluster.namespace, body)

    def verdict():
        conditions = cluster.batch.read_namespaced_job("drill", cluster.namespace).status.conditions
        return [c.reason for c in conditions or () if c.type == "Failed"]

    assert cluster.until(verdict) == ["BackoffLimitExceeded"]


def test_a_claim_is_bound_when_a_pod_uses_it(cluster):
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    cluster.core.create_namespaced_persistent_volume_claim(cluster.namespace, claim)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    cluster.core.create_namespaced_pod(cluster.namespace, pod("user", volumes=[volume], container=mount))

    def bound():
        found = cluster.core.read_namespaced_persistent_volume_claim("data", cluster.namespace)
        return found.status.phase == "Bound" and found.spec.volume_name

    assert cluster.until(bound)


def test_a_pod_goes_with_its_owner_unless_it_is_orphaned(cluster):
    def sets():
        return cluster.apps.list_namespaced_replica_set(cluster.namespace).items

    for policy, left in (("Orphan", 1), ("Foreground", 0), ("Background", 0)):
        cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web", replicas=0))
        cluster.until(lambda: any(each.metadata.owner_references for each in sets()))
        cluster.apps.delete_namespaced_deployment("web", cluster.namespace, propagation_policy=policy)
        cluster.until(
            lambda: (
                not cluster.apps.list_namespaced_deployment(
                    cluster.namespace, field_selector="metadata.name=web"
                ).items
            )
        )
        cluster.until(lambda left=left: len(sets()) == left)
        cluster.apps.delete_collection_namespaced_replica_set(cluster.namespace)
        cluster.until(lambda: not sets())


def test_a_namespace_takes_everything_in_it_along(cluster):
    name = f"{cluster.namespace}-too"
    cluster.core.create_namespace({"metadata": {"name": name}})
    cluster.core.create_namespaced_secret(name, secret("one"))
    cluster.core.create_namespaced_pod(name, pod("main"))
    cluster.core.delete_namespace(name)
    cluster.until(lambda: name not in {space.metadata.name for space in cluster.core.list_namespace().items})
    assert not [
        s for s in cluster.core.list_secret_for_all_namespaces().items if s.metadata.namespace == name
    ]


def test_the_node_tells_its_capacity_and_its_use(cluster):
    node = cluster.core.list_node().items[0]
    assert {"cpu", "memory"} <= node.status.allocatable.keys()
    assert [c.status for c in node.status.conditions if c.type == "Ready"] == ["True"]
    cluster.server  # noqa: B018 - a real cluster may lack the metrics server
    usage = client.CustomObjectsApi(cluster.api).list_cluster_custom_object(
        "metrics.k8s.io", "v1beta1", "nodes"
    )
    assert usage["items"][0]["usage"].keys() == {"cpu", "memory"}


def test_the_scale_of_a_deployment_is_read_and_set(cluster):
    cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web", replicas=0))
    cluster.apps.patch_namespaced_deployment_scale("web", cluster.namespace, {"spec": {"replicas": 2}})
    cluster.until(
        lambda: cluster.apps.read_namespaced_deployment_scale("web", cluster.namespace).status.replicas == 2
    )
    assert cluster.apps.read_namespaced_deployment("web", cluster.namespace).metadata.generation == 2


def test_an_evicted_pod_is_replaced_by_another(cluster):
    cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web"))

    def pods():
        return {p.metadata.name for p in cluster.core.list_namespaced_pod(cluster.namespace).items}

    name = next(iter(cluster.until(pods)))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, body)
    cluster.until(lambda: pods() and name not in pods())
