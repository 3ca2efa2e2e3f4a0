"""What admission refuses of pods: a level of pod security, a quota, a priority or an account that is missing.

https://kubernetes.io/docs/concepts/security/pod-security-admission/
https://kubernetes.io/docs/concepts/policy/resource-quotas/
Of the levels `restricted` is checked, as far as pods of today's manifests go; of quotas `pods` and the sums
of limits and requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from local.kubernetes.errors import Object, forbidden_error
from local.kubernetes.quantities import parse_quantity
from local.kubernetes.store import Store

_LEVEL = "pod-security.kubernetes.io/enforce"
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
_CLASSES = ("scheduling.k8s.io", "priorityclasses")
_BUILT_IN_CLASSES = ("system-cluster-critical", "system-node-critical")


def admit_pod(store: Store, pod: Object) -> None:
    """Raises `ApiError` 403, in the words of the admission plugin that refuses."""
    name, namespace = pod["metadata"].get("name", ""), pod["metadata"]["namespace"]
    wanted = pod["spec"].get("priorityClassName")
    known = (*_BUILT_IN_CLASSES, *(each["metadata"]["name"] for each in store.items(_CLASSES)))
    if wanted and wanted not in known:
        raise forbidden_error("pods", "", name, f"no PriorityClass with name {wanted} was found")
    _check_account(store, pod)
    labels = (store.get(("", "namespaces"), "", namespace) or {})["metadata"].get("labels") or {}
    if labels.get(_LEVEL) == "restricted":
        version = labels.get(f"{_LEVEL}-version", "latest")
        if violations := ", ".join(_restricted_violations(pod["spec"])):
            why = f'violates PodSecurity "restricted:{version}": {violations}'
            raise forbidden_error("pods", "", name, why)
    for quota in store.items(("", "resourcequotas"), namespace):
        _check_quota(store, quota, pod)


def _check_account(store: Store, pod: Object) -> None:
    """A pod runs as a service account that is there. The default one comes with its namespace."""
    spec, meta = pod["spec"], pod["metadata"]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    if account != "default" and store.get(("", "serviceaccounts"), meta["namespace"], account) is None:
        why = f"error looking up service account {meta['namespace']}/{account}"
        found = f'{why}: serviceaccount "{account}" not found'
        raise forbidden_error("pods", "", meta.get("name", ""), found)


def _restricted_violations(spec: Object) -> Iterator[str]:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    if any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
        yield "host namespaces"
    if any(not _VOLUMES & volume.keys() for volume in spec.get("volumes") or ()):
        yield "restricted volume types"
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        # What a container does not say of these, its pod says for it.
        both = {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
        yield from _container_violations(container["name"], both)


def _container_violations(name: str, context: Object) -> Iterator[str]:
    its, must = f'(container "{name}" must set securityContext.', "pod or container"
    if context.get("privileged"):
        yield f'privileged (container "{name}" must not set securityContext.privileged=true)'
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"allowPrivilegeEscalation != false {its}allowPrivilegeEscalation=false)"
    if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ()):
        yield f'unrestricted capabilities {its}capabilities.drop=["ALL"])'
    if context.get("runAsNonRoot") is not True:
        yield f'runAsNonRoot != true ({must} "{name}" must set securityContext.runAsNonRoot=true)'
    if context.get("runAsUser") == 0:
        yield f'runAsUser=0 (container "{name}" must not set runAsUser=0)'
    if (context.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        kinds = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f'seccompProfile ({must} "{name}" must set {kinds})'


def _check_quota(store: Store, quota: Object, pod: Object) -> None:
    name, namespace = pod["metadata"].get("name", ""), pod["metadata"]["namespace"]
    hard = (quota.get("spec") or {}).get("hard") or {}
    living = [
        each
        for each in store.items(("", "pods"), namespace)
        if (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]
    exceeded = []
    for resource, limit in sorted(hard.items()):
        if resource != "pods" and not resource.startswith(("limits.", "requests.")):
            continue
        if resource != "pods" and _missing(pod, resource):
            missing = f"must specify {resource} for: {_missing(pod, resource)}"
            raise forbidden_error("pods", "", name, f"failed quota: {quota['metadata']['name']}: {missing}")
        asked, used = _use_of(pod, resource), sum((_use_of(each, resource) for each in living), Decimal())
        if used + asked > parse_quantity(limit):
            exceeded.append((resource, asked, used, limit))
    if exceeded:
        lists = (",".join(f"{resource}={row[number]}" for resource, *row in exceeded) for number in range(3))
        requested, used_text, limited = lists
        why = f"requested: {requested}, used: {used_text}, limited: {limited}"
        raise forbidden_error("pods", "", name, f"exceeded quota: {quota['metadata']['name']}, {why}")


def list_counted_containers(pod: Object) -> list[Object]:
    """Those whose resources add up: what keeps running, sidecars among it.

    An initial container that asks for more than all of them together would count in their place; none does.
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    initial = pod["spec"].get("initContainers") or ()
    return [*(one for one in initial if one.get("restartPolicy") == "Always"), *pod["spec"]["containers"]]


def _missing(pod: Object, resource: str) -> str:
    kind, _, what = resource.partition(".")
    without = [
        each["name"]
        for each in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
        if what not in ((each.get("resources") or {}).get(kind) or {})
    ]
    return ",".join(without)


def _use_of(pod: Object, resource: str) -> Decimal:
    if resource == "pods":
        return Decimal(1)
    kind, _, what = resource.partition(".")
    return sum(
        (
            parse_quantity(((each.get("resources") or {}).get(kind) or {}).get(what, "0"))
            for each in list_counted_containers(pod)
        ),
        Decimal(),
    )
