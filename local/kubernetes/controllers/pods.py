"""The scheduler and the kubelet: a pod's way from Pending to its end."""

from __future__ import annotations

from local.kubernetes.addons import ALLOCATABLE, NODE
from local.kubernetes.admission import list_counted_containers
from local.kubernetes.controllers import containers
from local.kubernetes.controllers.common import Context, live_pods, with_condition
from local.kubernetes.copying import copy_json
from local.kubernetes.deletion import PODS
from local.kubernetes.errors import Object
from local.kubernetes.quantities import parse_quantity

_SCHEDULER = "default-scheduler"


def run_pods(context: Context) -> None:
    """One pass."""
    for pod in context.list_kind("Pod"):
        meta, status = pod["metadata"], pod.get("status") or {}
        if meta.get("deletionTimestamp"):
            _stop_pod(context, pod)
        elif status.get("phase") in ("Succeeded", "Failed"):
            continue
        elif not pod["spec"].get("nodeName"):
            _schedule_pod(context, pod)
        else:
            containers.update_containers(context, pod)


def _stop_pod(context: Context, pod: Object) -> None:
    meta = pod["metadata"]
    grace = meta.get("deletionGracePeriodSeconds") or 0
    if meta.get("finalizers") or not context.is_due(
        (meta["uid"], "stop"), min(grace, context.behaviour.stop_seconds)
    ):
        return
    containers.stop_programs(context, pod)
    context.store.remove(PODS, meta["namespace"], meta["name"])
    context.forget_timers(meta["uid"])
    for key in [key for key in context.cluster.logs if key[:2] == (meta["namespace"], meta["name"])]:
        del context.cluster.logs[key]


def _schedule_pod(context: Context, pod: Object) -> None:
    problem = _scheduling_obstacle(context, pod)
    status = copy_json(pod.get("status") or {})
    status |= {"phase": "Pending", "qosClass": "Burstable"}
    if problem:
        with_condition(status, "PodScheduled", "False", context.now, "Unschedulable", problem)
        if status != pod.get("status"):
            context.set_status(pod, status, _SCHEDULER)
            context.event(pod, "FailedScheduling", problem, kind="Warning", source=_SCHEDULER)
        return
    bound = context.edit(pod, lambda each: each["spec"].update(nodeName=NODE), manager=_SCHEDULER)
    with_condition(status, "PodScheduled", "True", context.now)
    context.set_status(bound, status, _SCHEDULER)
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    context.event(pod, "Scheduled", f"Successfully assigned {where} to {NODE}", source=_SCHEDULER)


def _scheduling_obstacle(context: Context, pod: Object) -> str:
    """Why no node takes the pod, or an empty text."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    for volume in spec.get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and context.store.get(("", "persistentvolumeclaims"), namespace, claim) is None:
            return f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found.'
    nodes = [node for node in context.list_kind("Node") if not (node.get("spec") or {}).get("unschedulable")]
    if not nodes:
        return "0/1 nodes are available: 1 node(s) were unschedulable."
    labels = nodes[0]["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    others = [each for each in live_pods(context.list_kind("Pod")) if each["spec"].get("nodeName")]
    for resource in ("cpu", "memory", "ephemeral-storage"):
        if sum(_requested_amount(each, resource) for each in [*others, pod]) > parse_quantity(
            ALLOCATABLE[resource]
        ):
            return f"0/1 nodes are available: 1 Insufficient {resource}."
    return ""


def _requested_amount(pod: Object, resource: str) -> float:
    total = 0.0
    for container in list_counted_containers(pod):
        resources = container.get("resources") or {}
        text = (resources.get("requests") or resources.get("limits") or {}).get(resource, "0")
        total += float(parse_quantity(text))
    return total
