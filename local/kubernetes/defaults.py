"""Values that the API server fills in where an object leaves them out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from local.kubernetes.errors import Object

STORAGE_CLASS = "microk8s-hostpath"


def _set_defaults(target: Object, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def pod_spec(spec: Object) -> None:
    """https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/"""
    _set_defaults(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    if spec.get("serviceAccountName"):
        # The older name of the field, which the server still fills in.
        _set_defaults(spec, serviceAccount=spec["serviceAccountName"])
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _default_container(container)
    for volume in spec.get("volumes") or ():
        for kind in ("secret", "configMap", "projected"):
            if isinstance(volume.get(kind), dict):
                # 0644: JSON has no octal numbers.
                _set_defaults(volume[kind], defaultMode=420)


def _default_container(container: Object) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = tag in ("", "latest") and "@" not in image
    _set_defaults(
        container,
        # https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting
        imagePullPolicy="Always" if latest else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        resources={},
    )
    for port in container.get("ports") or ():
        _set_defaults(port, protocol="TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _set_defaults(
                container[name], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3
            )
            if isinstance(container[name].get("httpGet"), dict):
                _set_defaults(container[name]["httpGet"], path="/", scheme="HTTP")


def _default_template(spec: Object) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    if isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def _default_deployment(item: Object) -> None:
    spec = item["spec"]
    _default_template(spec)
    _set_defaults(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _set_defaults(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _set_defaults(spec["strategy"], rollingUpdate={})
        _set_defaults(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(item: Object) -> None:
    _default_template(item["spec"])
    _set_defaults(item["spec"], replicas=1)


def _stateful_set(item: Object) -> None:
    spec = item["spec"]
    _default_template(spec)
    _set_defaults(
        spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10, updateStrategy={}
    )
    _set_defaults(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set_defaults(spec["updateStrategy"], rollingUpdate={})
        _set_defaults(spec["updateStrategy"]["rollingUpdate"], partition=0)
    _set_defaults(
        spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"}
    )
    for claim in spec.get("volumeClaimTemplates") or ():
        _set_defaults(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _set_defaults(claim["spec"], volumeMode="Filesystem")


def _daemon_set(item: Object) -> None:
    _default_template(item["spec"])
    _set_defaults(item["spec"], revisionHistoryLimit=10, updateStrategy={})
    _set_defaults(item["spec"]["updateStrategy"], type="RollingUpdate")


def _default_job(item: Object) -> None:
    spec, meta = item["spec"], item["metadata"]
    _default_template(spec)
    _set_defaults(
        spec, completions=1, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False
    )
    _set_defaults(spec, manualSelector=False, podReplacementPolicy="TerminatingOrFailed")
    if not spec.get("selector") and meta.get("uid"):
        key = "batch.kubernetes.io/controller-uid"
        spec["selector"] = {"matchLabels": {key: meta["uid"]}}
        labels = spec["template"]["metadata"].setdefault("labels", {})
        labels |= {key: meta["uid"], "batch.kubernetes.io/job-name": meta["name"]}
        # The names from before 1.27, by which older tools still select.
        labels |= {"controller-uid": meta["uid"], "job-name": meta["name"]}


def _default_service(item: Object) -> None:
    spec = item["spec"]
    _set_defaults(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        _set_defaults(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] == "ExternalName":
        return
    _set_defaults(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if item["metadata"].get("uid"):
        # MicroK8s gives Services addresses of 10.152.183.0/24.
        _set_defaults(spec, clusterIP=stable_address(item["metadata"]["uid"], "10.152.183"))
        _set_defaults(spec, clusterIPs=[spec["clusterIP"]])


def stable_address(seed: str, prefix: str) -> str:
    """A stable address within `prefix`, which has three numbers."""
    return f"{prefix}.{2 + hashlib.sha256(seed.encode()).digest()[0] % 252}"


def _default_secret(item: Object) -> None:
    _set_defaults(item, type="Opaque")
    # It can be written and is never read back: a comparison with what was sent differs, there as here.
    text = item.pop("stringData", None)
    if text:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in text.items()}
        item["data"] = {**(item.get("data") or {}), **encoded}


def _default_namespace(item: Object) -> None:
    # Network policies select namespaces by it; nobody can set it to another value.
    item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = item["metadata"]["name"]
    _set_defaults(item, spec={}, status={})
    if not item["metadata"].get("deletionTimestamp"):
        _set_defaults(item["spec"], finalizers=["kubernetes"])
        _set_defaults(item["status"], phase="Active")


def _default_claim(item: Object) -> None:
    _set_defaults(item["spec"], volumeMode="Filesystem", storageClassName=STORAGE_CLASS)
    _set_defaults(item, status={"phase": "Pending"})


def _default_definition(item: Object) -> None:
    names = item["spec"]["names"]
    _set_defaults(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    _set_defaults(item["spec"], conversion={"strategy": "None"})


_DEFAULTS: Mapping[str, Callable[[Object], None]] = {
    "deployments": _default_deployment,
    "replicasets": _replica_set,
    "statefulsets": _stateful_set,
    "daemonsets": _daemon_set,
    "jobs": _default_job,
    "pods": lambda item: pod_spec(item["spec"]),
    "services": _default_service,
    "secrets": _default_secret,
    "namespaces": _default_namespace,
    "persistentvolumeclaims": _default_claim,
    "customresourcedefinitions": _default_definition,
}


FIRST_STATUS: Mapping[str, Object] = {
    "pods": {"phase": "Pending"},
    "replicasets": {"replicas": 0},
    "statefulsets": {"replicas": 0, "availableReplicas": 0},
    "daemonsets": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "poddisruptionbudgets": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "horizontalpodautoscalers": {"desiredReplicas": 0, "currentMetrics": []},
    "customresourcedefinitions": {"storedVersions": []},
}
"""What a built-in object's status is before its controller has seen it; of all others it is empty."""


def fill_defaults(item: Object, plural: str) -> None:
    """Fill in, in place, an object of a built-in kind that has passed its schema."""
    if plural in _DEFAULTS:
        if plural not in ("secrets", "namespaces"):
            item.setdefault("spec", {})
        _DEFAULTS[plural](item)
