"""Deployments: a ReplicaSet for each template, and the way from one to the next.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from local.kubernetes.controllers.common import (
    Context,
    find_condition,
    is_ready,
    live_pods,
    owner_reference,
    resolve_portion,
    short_digest,
    with_condition,
)
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object

HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def run_deployments(context: Context) -> None:
    """One pass."""
    for item in context.list_kind("Deployment"):
        if not item["metadata"].get("deletionTimestamp"):
            _reconcile_deployment(context, item)


def _reconcile_deployment(context: Context, item: Object) -> None:
    sets = context.list_owned("ReplicaSet", item)
    template_hash = short_digest(item["spec"]["template"])
    current = next((each for each in sets if each["metadata"]["labels"][HASH] == template_hash), None)
    if not item["spec"].get("paused"):
        current = _current_replica_set(context, item, sets, current, template_hash)
        if current is None:
            return
        old = [each for each in sets if each["metadata"]["uid"] != current["metadata"]["uid"]]
        _roll_replicas(context, item, current, old)
        _clean_up(context, item, old)
    _report_status(context, item, template_hash)


def _revision_of(item: Object) -> int:
    return int((item["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _current_replica_set(
    context: Context, item: Object, sets: list[Object], current: Object | None, template_hash: str
) -> Object | None:
    """The ReplicaSet of the present template, with the highest revision."""
    newest = max((_revision_of(each) for each in sets), default=0)
    if current is None:
        current = context.create(_replica_set(item, template_hash, newest + 1))
        if current is not None:
            name = current["metadata"]["name"]
            context.event(
                item, "ScalingReplicaSet", f"Scaled up replica set {name}", source="deployment-controller"
            )
    elif _revision_of(current) < newest:
        current = _annotated_replica_set(context, current, newest + 1)
    if current is not None and _revision_of(item) != _revision_of(current):
        revision = _revision_of(current)
        context.edit(item, lambda found: _note_revision(found, revision), subresource="status")
    return current


def _note_revision(item: Object, revision: int) -> None:
    item["metadata"].setdefault("annotations", {})[_REVISION] = str(revision)


def _annotated_replica_set(context: Context, item: Object, revision: int) -> Object:
    return context.edit(item, lambda each: _note_revision(each, revision))


def _replica_set(item: Object, template_hash: str, revision: int) -> Object:
    template = copy_json(item["spec"]["template"])
    template["metadata"].setdefault("labels", {})[HASH] = template_hash
    selector = copy_json(item["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH] = template_hash
    meta = item["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{template_hash}",
            "namespace": meta["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": owner_reference(item),
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }


def _scale_replica_set(context: Context, item: Object, replicas: int) -> None:
    if item["spec"]["replicas"] != replicas:
        context.edit(item, lambda each: each["spec"].update(replicas=replicas))


def _list_pods(context: Context, item: Object) -> list[Object]:
    return live_pods(context.list_owned("Pod", item))


def _roll_replicas(context: Context, item: Object, current: Object, old: list[Object]) -> None:
    """Move replicas from the old sets to the current one, within surge and unavailability."""
    desired = item["spec"]["replicas"]
    strategy = item["spec"]["strategy"]
    if strategy["type"] == "Recreate":
        for each in old:
            _scale_replica_set(context, each, 0)
        if not any(context.list_owned("Pod", each) for each in old):
            _scale_replica_set(context, current, desired)
        return
    rolling = strategy["rollingUpdate"]
    surge = resolve_portion(rolling["maxSurge"], desired, up=True)
    missing = resolve_portion(rolling["maxUnavailable"], desired, up=False) or (1 if surge == 0 else 0)
    old_total = sum(each["spec"]["replicas"] for each in old)
    allowance = desired + surge - old_total
    now = current["spec"]["replicas"]
    _scale_replica_set(context, current, min(desired, max(now, allowance)) if now <= desired else desired)
    available = sum(map(is_ready, _list_pods(context, current)))
    old_ready = {each["metadata"]["uid"]: sum(map(is_ready, _list_pods(context, each))) for each in old}
    spare = available + sum(old_ready.values()) - (desired - missing)
    for each in sorted(old, key=_revision_of):
        broken = each["spec"]["replicas"] - old_ready[each["metadata"]["uid"]]
        fewer = min(each["spec"]["replicas"], max(broken, 0) + max(spare, 0))
        spare -= max(0, fewer - max(broken, 0))
        _scale_replica_set(context, each, each["spec"]["replicas"] - fewer)


def _clean_up(context: Context, item: Object, old: list[Object]) -> None:
    limit = item["spec"]["revisionHistoryLimit"]
    done = [
        each
        for each in sorted(old, key=_revision_of)
        if not each["spec"]["replicas"] and not _list_pods(context, each)
    ]
    for each in done[: max(0, len(done) - limit)]:
        context.delete(each)


def _report_status(context: Context, item: Object, template_hash: str) -> None:
    sets = context.list_owned("ReplicaSet", item)
    pods = {each["metadata"]["labels"][HASH]: _list_pods(context, each) for each in sets}
    every = [pod for listed in pods.values() for pod in listed]
    ready = sum(map(is_ready, every))
    updated = pods.get(template_hash, [])
    replicas = item["spec"]["replicas"]
    counts = {
        "replicas": len(every),
        "updatedReplicas": len(updated),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, replicas - ready),
    }
    status: Object = {"observedGeneration": item["metadata"]["generation"]}
    status |= {key: value for key, value in counts.items() if value}
    status["conditions"] = copy_json((item.get("status") or {}).get("conditions") or [])
    _set_conditions(context, item, status, template_hash, sum(map(is_ready, updated)))
    context.set_status(item, status)


def _set_conditions(context: Context, item: Object, status: Object, template_hash: str, fresh: int) -> None:
    replicas, now = item["spec"]["replicas"], context.now
    missing = 0
    if item["spec"]["strategy"]["type"] == "RollingUpdate":
        missing = resolve_portion(
            item["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], replicas, up=False
        )
    enough = status.get("availableReplicas", 0) >= replicas - missing
    with_condition(
        status,
        "Available",
        "True" if enough else "False",
        now,
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        lastUpdateTime=now,
    )
    name = f"{item['metadata']['name']}-{template_hash}"
    complete = fresh == status.get("replicas", 0) == status.get("updatedReplicas", 0) == replicas
    before = find_condition(status, "Progressing")
    # What was complete once stays so, until another template is wanted: pods come and go.
    settled = (
        before is not None and before.get("reason") == "NewReplicaSetAvailable" and name in before["message"]
    )
    if complete:
        # A later way to the same template begins anew, and is not overdue for what an earlier one took.
        context.forget_timers(item["metadata"]["uid"])
    if complete or settled:
        context.forget_timers(item["metadata"]["uid"], "progress")
        verdict = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    elif _is_overdue(
        context, item, template_hash, (status.get("updatedReplicas", 0), fresh, status.get("replicas", 0))
    ):
        verdict = ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
    else:
        verdict = ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    with_condition(status, "Progressing", verdict[0], now, verdict[1], verdict[2], lastUpdateTime=now)
    _copy_replica_failure(context, item, status, name)


def _copy_replica_failure(context: Context, item: Object, status: Object, replica_set: str) -> None:
    """Why pods cannot be created is said by the Deployment, too, for as long as it is so."""
    found = context.store.get(("apps", "replicasets"), item["metadata"]["namespace"], replica_set)
    failure = find_condition((found or {}).get("status") or {}, "ReplicaFailure")
    status["conditions"] = [one for one in status["conditions"] if one["type"] != "ReplicaFailure"]
    if failure:
        status["conditions"].append(dict(failure))


def _is_overdue(context: Context, item: Object, template_hash: str, progress: tuple[int, int, int]) -> bool:
    """Whether nothing has moved for `progressDeadlineSeconds` (of simulated time).

    It counts from the last that moved: a template that comes back has all of its time again.
    """
    uid = item["metadata"]["uid"]
    key = (uid, "progress", template_hash, progress)
    context.forget_timers(uid, "progress", but=key)
    return context.is_due(key, item["spec"]["progressDeadlineSeconds"])
