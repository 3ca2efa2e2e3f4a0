"""What is served below objects: scale, logs, eviction, tokens; and kinds that are answered, not kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from local.kubernetes import access, deletion, listing, selectors
from local.kubernetes.addons import NODE
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object, bad_request, not_found_error
from local.kubernetes.handlers import Answer, ApiCall, dispatch_call, patched_object
from local.kubernetes.proxy import proxy_service
from local.kubernetes.registry import format_timestamp
from local.kubernetes.requests import RequestTarget, parse_boolean

_SHORTEST_TOKEN = 600  # seconds


def answer_scale(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """GET, PUT and PATCH of `/scale`, which owns `spec.replicas` under its own name."""
    target = call.target
    current = cluster.registry.get(call.resource, target.namespace, target.name)
    if target.verb == "get":
        return Answer(_scale_of(current))
    body = call.decode_content()
    write = call.write()

    def change(item: Object) -> Object:
        current = _scale_of(item)
        desired = patched_object(cluster, call, current, body) if target.verb == "patch" else body
        revision = (desired.get("metadata") or {}).get("resourceVersion")
        replicas = (desired.get("spec") or {}).get("replicas", 0)
        meta = {**item["metadata"]} | ({"resourceVersion": revision} if revision else {})
        return {**item, "metadata": meta, "spec": {**item["spec"], "replicas": replicas}}

    scaled = cluster.registry.edit(call.resource, target.namespace, target.name, change, write)
    return Answer(_scale_of(scaled))


def _scale_of(item: Object) -> Object:
    meta = {
        key: item["metadata"][key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    labels = ((item["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    status: Object = {"replicas": (item.get("status") or {}).get("replicas", 0)}
    status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels))
    spec = {"replicas": item["spec"].get("replicas", 1)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def answer_log(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """What a container wrote. Raises `ApiError` 400 for one that has not started."""
    pod = cluster.registry.get(call.resource, call.target.namespace, call.target.name)
    names = [
        each["name"] for each in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
    ]
    container = call.query.get("container") or names[-1] if len(names) == 1 else call.query.get("container")
    name = call.target.name
    if not container:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {names}")
    if container not in names:
        raise bad_request(f"container {container} is not valid for pod {name}")
    written = cluster.logs.get((call.target.namespace, name, container))
    if written is None:
        reason = _waiting_message(pod, container)
        trying = (
            "trying and failing to pull image" if "ImagePull" in reason else f"waiting to start: {reason}"
        )
        raise bad_request(f'container "{container}" in pod "{name}" is {trying}')
    lines = list(written)
    if call.query.get("tailLines"):
        lines = lines[len(lines) - min(len(lines), listing.read_number(call.query, "tailLines")) :]
    if parse_boolean(call.query.get("timestamps")):
        started = (pod.get("status") or {}).get("startTime", "")
        lines = [f"{started} {line}" for line in lines]
    text = "".join(f"{line}\n" for line in lines)
    limit = listing.read_number(call.query, "limitBytes")
    return Answer(text[:limit] if limit else text, text=True)


def _waiting_message(pod: Object, container: str) -> str:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == container and "waiting" in status.get("state", {}):
            return str(status["state"]["waiting"].get("reason", "ContainerCreating"))
    return "ContainerCreating"


def evict_pod(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """POST of an Eviction: a deletion by another name."""
    target = call.target
    options = call.decode_content().get("deleteOptions") or {}
    deletion.delete_object(cluster.registry, call.resource, target.namespace, target.name, options)
    return Answer(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
    )


def issue_token(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """POST of a TokenRequest: a bearer token of the service account, which ends with what it is bound to.

    https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
    """
    target = call.target
    cluster.registry.get(call.resource, target.namespace, target.name)
    spec = call.decode_content().get("spec") or {}
    seconds = int(spec.get("expirationSeconds") or 3600)
    if seconds < _SHORTEST_TOKEN:
        raise bad_request("spec.expirationSeconds: may not specify a duration less than 10 minutes")
    seconds = min(seconds, cluster.longest_token_seconds)
    bound = spec.get("boundObjectRef") or {}
    secret = str(bound.get("name", "")) if bound.get("kind") == "Secret" else ""
    if secret:
        found = cluster.registry.get(cluster.resource("Secret"), target.namespace, secret)
        if bound.get("uid") not in (None, "", found["metadata"]["uid"]):
            raise bad_request("the bound object's UID does not match")
    ends = cluster.registry.now() + timedelta(seconds=seconds)
    token = cluster.token_for(target.name, target.namespace, secret=secret, ends=ends)
    status = {"token": token, "expirationTimestamp": format_timestamp(ends)}
    return Answer({**call.decode_content(), "metadata": {"name": target.name}, "status": status}, 201)


def finalize_namespace(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """PUT of a namespace's finalizers."""
    return dispatch_call(cluster, replace(call, target=replace(call.target, subresource="")))


BELOW: Mapping[str, Callable[[EmbeddedCluster, ApiCall], Answer]] = {
    "scale": answer_scale,
    "log": answer_log,
    "eviction": evict_pod,
    "token": issue_token,
    "finalize": finalize_namespace,
    "proxy": proxy_service,
    "status": dispatch_call,
}


def review_access(cluster: EmbeddedCluster, call: ApiCall, user: access.User) -> Answer:
    """`kubectl auth can-i` and `kubectl auth whoami`."""
    body = copy_json(call.decode_content())
    if call.resource.kind == "SelfSubjectReview":
        body["status"] = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        return Answer(body, 201)
    spec = body.get("spec") or {}
    attributes = spec.get("resourceAttributes") or {}
    target = RequestTarget(
        attributes.get("verb") or (spec.get("nonResourceAttributes") or {}).get("verb", ""),
        (spec.get("nonResourceAttributes") or {}).get("path", ""),
        attributes.get("group", ""),
        attributes.get("version", ""),
        attributes.get("resource", ""),
        attributes.get("subresource", ""),
        attributes.get("namespace", ""),
        attributes.get("name", ""),
    )
    body["status"] = {"allowed": access.is_allowed(cluster.store, user, target)}
    return Answer(body, 201)


def answer_metrics(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """`metrics.k8s.io`: a plausible constant use by each running pod, and their sum on the node."""
    now = format_timestamp(cluster.registry.now())
    pods = [
        pod
        for pod in cluster.store.items(deletion.PODS)
        if (pod.get("status") or {}).get("phase") == "Running"
    ]
    if call.resource.kind == "NodeMetrics":
        usage = {"cpu": f"{250 + 10 * len(pods)}m", "memory": f"{2048 + 64 * len(pods)}Mi"}
        measured = [_measured_item(call, now, {"name": NODE}, {"usage": usage})]
    else:
        measured = [
            _measured_item(call, now, _pod_place(pod), {"containers": _pod_usage(pod)}) for pod in pods
        ]
    chosen = listing.parse_selection(call.resource, call.target, call.query)
    measured = [item for item in measured if selectors.Selection.matches_object(chosen, item)]
    if call.target.name:
        if not measured:
            raise not_found_error(call.resource.plural, call.resource.group, call.target.name)
        return Answer(measured[0])
    api_version = call.resource.api_version
    return Answer(
        {"kind": f"{call.resource.kind}List", "apiVersion": api_version, "metadata": {}, "items": measured}
    )


def _pod_place(pod: Object) -> Object:
    return {key: pod["metadata"].get(key) for key in ("name", "namespace", "labels")}


def _pod_usage(pod: Object) -> list[Object]:
    usage = {"cpu": "10m", "memory": "64Mi"}
    return [{"name": container["name"], "usage": usage} for container in pod["spec"]["containers"]]


def _measured_item(call: ApiCall, now: str, meta: Object, rest: Object) -> Object:
    shown = {"kind": call.resource.kind, "apiVersion": call.resource.api_version, "metadata": meta}
    return {**shown, "timestamp": now, "window": "15s", **rest}
