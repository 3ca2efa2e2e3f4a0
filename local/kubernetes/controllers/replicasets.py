"""ReplicaSets and DaemonSets: as many pods as are wanted."""

from __future__ import annotations

import secrets

from local.kubernetes.controllers.common import (
    Context,
    find_condition,
    is_ready,
    live_pods,
    pod_of,
    short_digest,
    with_condition,
)
from local.kubernetes.errors import Object


def run_replica_sets(context: Context) -> None:
    """One pass."""
    for item in context.list_kind("ReplicaSet"):
        if not item["metadata"].get("deletionTimestamp"):
            _replica_set(context, item)
    for item in context.list_kind("DaemonSet"):
        if not item["metadata"].get("deletionTimestamp"):
            _daemon_set(context, item)


def _replica_set(context: Context, item: Object) -> None:
    desired = item["spec"].get("replicas", 1)
    pods = live_pods(context.list_owned("Pod", item))
    refusal = ""
    for _ in range(desired - len(pods)):
        name = f"{item['metadata']['name']}-{short_digest(secrets.token_hex(8), 5)}"
        if context.create(pod_of(item, name, {})):
            context.event(item, "SuccessfulCreate", f"Created pod: {name}", source="replicaset-controller")
        elif refusal := context.refusal:
            break
    # Those that are not ready go first, then the youngest.
    surplus = sorted(pods, key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
    for pod in surplus[: max(0, len(pods) - desired)]:
        context.delete(pod)
    remaining = live_pods(context.list_owned("Pod", item))
    ready = sum(map(is_ready, remaining))
    status: Object = {"replicas": len(remaining), "observedGeneration": item["metadata"]["generation"]}
    if remaining:
        status["fullyLabeledReplicas"] = len(remaining)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    if refusal:
        with_condition(status, "ReplicaFailure", "True", context.now, "FailedCreate", refusal)
        known = find_condition(item.get("status") or {}, "ReplicaFailure")
        if known is None or known["message"] != refusal:
            said = f"Error creating: {refusal}"
            context.event(item, "FailedCreate", said, kind="Warning", source="replicaset-controller")
    context.set_status(item, status)


def _daemon_set(context: Context, item: Object) -> None:
    nodes = [node["metadata"]["name"] for node in context.list_kind("Node")]
    revision = short_digest(item["spec"]["template"])
    pods = live_pods(context.list_owned("Pod", item))
    for pod in pods:
        if pod["metadata"]["labels"].get("controller-revision-hash") != revision:
            context.delete(pod)
    current = {pod["spec"].get("nodeName"): pod for pod in live_pods(context.list_owned("Pod", item))}
    for node in nodes:
        if node not in current:
            name = f"{item['metadata']['name']}-{short_digest(secrets.token_hex(8), 5)}"
            made = pod_of(item, name, {"controller-revision-hash": revision})
            made["spec"]["nodeName"] = node
            context.create(made)
    ready = sum(is_ready(pod) for pod in current.values())
    status = {
        "currentNumberScheduled": len(current),
        "desiredNumberScheduled": len(nodes),
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberAvailable": ready,
        "updatedNumberScheduled": len(current),
        "observedGeneration": item["metadata"]["generation"],
    }
    context.set_status(item, status)
