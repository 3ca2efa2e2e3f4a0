"""`ClusterPosture` over the Kubernetes API: a namespace's pod security level, and what its pods may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from shared.hardening.model import ObservedNamespace, ObservedPod
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_optional_timestamp
from shared.kubernetes.api import Json, KubernetesApi, connect_api, quoted

_LEVEL = "pod-security.kubernetes.io/enforce"
_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")
# Added ones with which a container leaves it. https://kubernetes.io/docs/concepts/security/pod-security-standards/
_CAPABILITIES = frozenset({"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "NET_ADMIN", "DAC_READ_SEARCH"})
_HASH = re.compile(r"-[a-z0-9]{5,10}$")


class KubernetesPosture:
    """The cluster behind `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def read_namespace(self, namespace: str) -> ObservedNamespace:
        """See `ClusterPosture.read_namespace`; pods of one workload are told as one, by its name."""
        pods: dict[str, ObservedPod] = {}
        for item in self._api.list_items(f"/api/v1/namespaces/{quoted(namespace)}/pods"):
            pod = _parse_pod(item)
            # Of several pods of one workload the oldest tells how old the image may be.
            known = pods.get(pod.name, pod)
            oldest = min((one.started for one in (known, pod) if one.started), default=None)
            pods[pod.name] = replace(known, started=oldest)
        return ObservedNamespace(
            namespace, self._level(namespace), tuple(pods[name] for name in sorted(pods))
        )

    def _level(self, namespace: str) -> str | None:
        try:
            item = self._api.get(f"/api/v1/namespaces/{quoted(namespace)}")
        except Refused:
            return None  # pods can be seen all the same  # and a level that is not known is told as that
        return str(((item.get("metadata") or {}).get("labels") or {}).get(_LEVEL, ""))


def connect_cluster_posture(kubeconfig: Secret) -> KubernetesPosture:
    """The kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesPosture(connect_api(kubeconfig))


def _parse_pod(item: Json) -> ObservedPod:
    spec = item.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    images = {str(one.get("image") or "") for one in containers}
    started = parse_optional_timestamp((item.get("status") or {}).get("startTime"))
    risks = sorted({*_pod_risks(spec), *(risk for one in containers for risk in _container_risks(one))})
    return ObservedPod(
        _workload_name(item), tuple(risks), tuple(sorted(filter(_is_floating, images))), started
    )


def _pod_risks(spec: Json) -> Iterator[str]:
    yield from (name for name in _HOST_FIELDS if spec.get(name) is True)
    for volume in spec.get("volumes") or ():
        if volume.get("hostPath"):
            yield f"hostPath {volume['hostPath'].get('path')}"


def _container_risks(container: Json) -> Iterator[str]:
    context = container.get("securityContext") or {}
    if context.get("privileged") is True:
        yield "privileged"
    added = {str(one) for one in (context.get("capabilities") or {}).get("add") or ()}
    yield from (f"capability {name}" for name in sorted(added & _CAPABILITIES))


def _is_floating(image: str) -> bool:
    """Whether the image has neither a digest nor a version in its name."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def _workload_name(item: Json) -> str:
    """What owns the pod, without the hash that each rollout gives to it."""
    meta = item.get("metadata") or {}
    owner = next(iter(meta.get("ownerReferences") or ()), None)
    if owner is None:
        return str(meta.get("name") or "")
    name = str(owner.get("name") or "")
    return _HASH.sub("", name) if owner.get("kind") in ("ReplicaSet", "Job") else name
