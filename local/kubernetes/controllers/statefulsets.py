"""StatefulSets: pods with names, one after the other, each with its own volumes.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from local.kubernetes.controllers.common import Context, is_ready, owner_reference, pod_of, short_digest
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object

HASH = "controller-revision-hash"


def run_stateful_sets(context: Context) -> None:
    """One pass."""
    for item in context.list_kind("StatefulSet"):
        if not item["metadata"].get("deletionTimestamp"):
            _reconcile_stateful_set(context, item)


def _reconcile_stateful_set(context: Context, item: Object) -> None:
    name, spec = item["metadata"]["name"], item["spec"]
    revision = f"{name}-{short_digest(spec['template'])}"
    pods = {pod["metadata"]["name"]: pod for pod in context.list_owned("Pod", item)}
    _scale_pods(context, item, pods, revision)
    _roll_pods(context, item, pods, revision)
    _report_status(context, item, revision)


def _scale_pods(context: Context, item: Object, pods: dict[str, Object], revision: str) -> None:
    name, spec = item["metadata"]["name"], item["spec"]
    parallel = spec["podManagementPolicy"] == "Parallel"
    expected = [f"{name}-{ordinal}" for ordinal in range(spec["replicas"])]
    for each in expected:
        if each not in pods:
            _create_pod(context, item, each, revision)
        if not parallel and not (each in pods and is_ready(pods[each])):
            return
    for each in sorted(pods.keys() - set(expected), key=lambda each: -int(each.rpartition("-")[2])):
        context.delete(pods[each])
        if not parallel:
            return


def _create_pod(context: Context, item: Object, name: str, revision: str) -> None:
    labels = {
        HASH: revision,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": name.rpartition("-")[2],
    }
    pod = pod_of(item, name, labels)
    pod["spec"] |= {"hostname": name, "subdomain": item["spec"].get("serviceName", "")}
    for template in item["spec"].get("volumeClaimTemplates") or ():
        claim = copy_json(template)
        own = f"{template['metadata']['name']}-{name}"
        meta = {"name": own, "namespace": item["metadata"]["namespace"]}
        labels_of = (item["spec"]["selector"].get("matchLabels") or {}).items()
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        claim["metadata"] = meta | {
            "labels": {**(template["metadata"].get("labels") or {}), **dict(labels_of)}
        }
        context.create(claim)  # one that is there from before is used again
        volumes = [v for v in pod["spec"].get("volumes") or () if v["name"] != template["metadata"]["name"]]
        source = {"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": own}}
        pod["spec"]["volumes"] = [*volumes, source]
    pod["metadata"]["ownerReferences"] = owner_reference(item)
    if context.create(pod):
        context.event(
            item, "SuccessfulCreate", f"create Pod {name} successful", source="statefulset-controller"
        )


def _roll_pods(context: Context, item: Object, pods: dict[str, Object], revision: str) -> None:
    """Replace pods of another revision from the last to the first, each once those above are ready."""
    update = item["spec"]["updateStrategy"]
    if update["type"] != "RollingUpdate":
        return
    first = update["rollingUpdate"].get("partition", 0)
    for ordinal in range(item["spec"]["replicas"] - 1, first - 1, -1):
        pod = pods.get(f"{item['metadata']['name']}-{ordinal}")
        if pod is None:
            return
        if pod["metadata"]["labels"].get(HASH) != revision:
            context.delete(pod)
            return
        if not is_ready(pod):
            return


def _report_status(context: Context, item: Object, revision: str) -> None:
    pods = [pod for pod in context.list_owned("Pod", item) if not pod["metadata"].get("deletionTimestamp")]
    updated = sum(pod["metadata"]["labels"].get(HASH) == revision for pod in pods)
    ready = sum(map(is_ready, pods))
    before = item.get("status") or {}
    done = updated == ready == len(pods) == item["spec"]["replicas"]
    current = revision if done else before.get("currentRevision", revision)
    counts = {
        "readyReplicas": ready,
        "currentReplicas": sum(pod["metadata"]["labels"].get(HASH) == current for pod in pods),
        "updatedReplicas": updated,
    }
    status: Object = {
        "observedGeneration": item["metadata"]["generation"],
        "replicas": len(pods),
        "availableReplicas": ready,
        "currentRevision": current,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    context.set_status(item, status | {key: value for key, value in counts.items() if value})
