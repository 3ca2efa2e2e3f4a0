"""What pods ask a node for, as the scheduler counts it: CPU and memory that others may not have. Pure.

The scheduler looks at requests and not at what is used: a node whose processors idle may have no room.
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-requests-are-scheduled
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.kubernetes.images import as_mapping, as_mappings
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import parse_quantity_or_zero

_ENDED = ("Succeeded", "Failed")  # what they asked for is free again


@dataclass(frozen=True, slots=True)
class PodRequests:
    """Requests of one pod or of several: cores and bytes."""

    cpus: float = 0.0
    memory_bytes: float = 0.0

    def __add__(self, other: PodRequests) -> PodRequests:
        return PodRequests(self.cpus + other.cpus, self.memory_bytes + other.memory_bytes)


def sum_node_requests(pods: Iterable[Manifest]) -> dict[str, PodRequests]:
    """Requests by node of the pods that are bound to one and have not ended."""
    total: dict[str, PodRequests] = {}
    for pod in pods:
        spec, status = as_mapping(pod.get("spec")), as_mapping(pod.get("status"))
        node = str(spec.get("nodeName") or "")
        if node and status.get("phase") not in _ENDED:
            total[node] = total.get(node, PodRequests()) + sum_pod_requests(spec)
    return total


def sum_pod_requests(spec: Mapping[str, Any]) -> PodRequests:
    """Requests of a pod by its spec: at most what runs at one time.

    Sidecars run on beside all that comes after them, other initial containers one by one and before the rest:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    sidecars, most = PodRequests(), PodRequests()
    for container in as_mappings(spec.get("initContainers")):
        together = sidecars + _read_requests(container)
        most = _larger(most, together)
        sidecars = together if container.get("restartPolicy") == "Always" else sidecars
    main = sidecars
    for container in as_mappings(spec.get("containers")):
        main += _read_requests(container)
    # Of a runtime that takes something for itself, such as a virtual machine for each pod.
    return _larger(most, main) + _parse_amounts(as_mapping(spec.get("overhead")))


def _read_requests(container: Mapping[str, Any]) -> PodRequests:
    # A limit without a request needs no care here: the API server has written the one from the other.
    return _parse_amounts(as_mapping(as_mapping(container.get("resources")).get("requests")))


def _parse_amounts(amounts: Mapping[str, Any]) -> PodRequests:
    return PodRequests(
        parse_quantity_or_zero(amounts.get("cpu", 0)), parse_quantity_or_zero(amounts.get("memory", 0))
    )


def _larger(one: PodRequests, other: PodRequests) -> PodRequests:
    """The larger of each, since each is scheduled by itself."""
    return PodRequests(max(one.cpus, other.cpus), max(one.memory_bytes, other.memory_bytes))
