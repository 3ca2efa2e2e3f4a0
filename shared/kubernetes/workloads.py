"""What runs in a namespace, read out of Kubernetes' objects: workloads, pods, events, claims, nodes.

Pure: the objects come as the API has them in JSON; what is missing there is taken as not yet so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.kernel.timestamps import parse_optional_timestamp
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.node_disk import list_image_names, sum_image_bytes
from shared.kubernetes.quantity import parse_quantity

# https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff and the kubelet's other words for
# a container that will not start by itself.
FATAL_WAITING_REASONS = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or a StatefulSet. `current` says that its controller has seen the newest change."""

    kind: str
    name: str
    desired: int
    ready: int
    updated: int
    current: bool
    images: tuple[str, ...] = ()
    failure: str = ""  # the controller's own words when it gave up

    @property
    def settled(self) -> bool:
        """Whether every replica is of the newest change and ready."""
        return (
            self.current and not self.failure and self.ready >= self.desired and self.updated >= self.desired
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; `blocked_reason` names a container that will not start by itself, and why."""

    name: str
    phase: str
    ready: bool
    images: tuple[str, ...]
    restarts: int = 0
    blocked_reason: str = ""
    started: bool = False  # whether a main container ever ran
    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """A warning or a note about an object."""

    kind: str
    about: str  # Pod/rocketchat-0
    reason: str
    message: str
    at: datetime | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim; `bytes` is what it was given, or asked for while it waits."""

    name: str
    phase: str
    modes: tuple[str, ...]
    size_bytes: float


@dataclass(frozen=True, slots=True)
class Node:
    """A node. What is None was not measured: there is no metrics server, no Prometheus, or nobody asked."""

    name: str
    ready: bool
    memory_bytes: float
    memory_used_bytes: float | None = None
    disk_bytes: float = 0.0  # all of it that pods may have, full or free
    pressures: tuple[str, ...] = ()  # MemoryPressure, DiskPressure, PIDPressure
    disk_free_bytes: float | None = None
    images: frozenset[str] = frozenset()  # as `image_name` spells them
    images_bytes: float = 0.0
    cpus: float = 0.0  # cores that pods may have, requested or not

    @property
    def memory_free_bytes(self) -> float | None:
        """What pods could still use; None if it is not measured."""
        used = self.memory_used_bytes
        return None if used is None else max(0.0, self.memory_bytes - used)

    @property
    def disk_estimated_bytes(self) -> float:
        """What the images leave of the disk: at most this is free, since volumes and logs lie there too."""
        return max(0.0, self.disk_bytes - self.images_bytes)


def parse_workload(item: Manifest) -> Workload:
    """A Deployment or StatefulSet as the API has it."""
    spec, status = _mapping_at(item, "spec"), _mapping_at(item, "status")
    replicas = spec.get("replicas", 1)
    # Until then its numbers are of the change before: a release would look ready before anything was begun.
    is_observed = int(status.get("observedGeneration") or 0) >= int(
        _mapping_at(item, "metadata").get("generation") or 0
    )
    return Workload(
        str(item.get("kind", "")),
        str(_mapping_at(item, "metadata").get("name", "")),
        1 if replicas is None else int(replicas),
        int(status.get("readyReplicas") or 0),
        int(status.get("updatedReplicas") or 0),
        is_observed,
        _container_images(_mapping_at(_mapping_at(spec, "template"), "spec")),
        _rollout_failure(status),
    )


def _rollout_failure(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        kind, state, reason = (str(condition.get(key, "")) for key in ("type", "status", "reason"))
        # What the controllers themselves call failed; everything else may still come right.
        if (kind == "Progressing" and state == "False") or (kind == "ReplicaFailure" and state == "True"):
            return f"{reason}: {condition.get('message', '')}".rstrip(": ")
    return ""


def parse_pod(item: Manifest) -> Pod:
    """A Pod as the API has it."""
    meta, spec, status = _mapping_at(item, "metadata"), _mapping_at(item, "spec"), _mapping_at(item, "status")
    # Of both kinds: a pod whose init container cannot pull its image never gets to the others.
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    # Without the init containers: they run before the new version does.
    main = status.get("containerStatuses") or ()
    ready = any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()
    )
    return Pod(
        str(meta.get("name", "")),
        str(status.get("phase", "Pending")),
        ready,
        _container_images(spec),
        sum(int(one.get("restartCount") or 0) for one in statuses),
        next(filter(None, map(_waiting_reason, statuses)), ""),
        any(_has_run(one) for one in main),
        dict(meta.get("labels") or {}),
        parse_optional_timestamp(meta.get("creationTimestamp")),
    )


def _waiting_reason(status: Mapping[str, Any]) -> str:
    waiting = _mapping_at(_mapping_at(status, "state"), "waiting")
    reason = str(waiting.get("reason", ""))
    if reason not in FATAL_WAITING_REASONS:
        return ""
    return f"{status.get('name')}: {reason}: {waiting.get('message', '')}".rstrip(": ")


def _has_run(status: Mapping[str, Any]) -> bool:
    states = (*_mapping_at(status, "state"), *_mapping_at(status, "lastState"))
    # A container that ran and ended has run: a crash after the start is no version that never started.
    return bool(status.get("restartCount")) or "running" in states or "terminated" in states


def parse_event(item: Manifest) -> ClusterEvent:
    """An Event of the core API."""
    about = _mapping_at(item, "involvedObject")
    # Events of the newer API have `eventTime` only; of a series the last one counts.
    at = item.get("lastTimestamp") or item.get("eventTime") or item.get("firstTimestamp")
    return ClusterEvent(
        str(item.get("type", "")),
        f"{about.get('kind')}/{about.get('name')}",
        str(item.get("reason", "")),
        str(item.get("message", "")),
        parse_optional_timestamp(at),
        int(item.get("count") or 1),
    )


def sorted_events(events: Iterable[ClusterEvent]) -> list[ClusterEvent]:
    """The newest first; of the same moment by what they are about."""
    return sorted(events, key=lambda one: (-one.at.timestamp() if one.at else 0.0, one.about, one.reason))


def parse_claim(item: Manifest) -> Claim:
    """A PersistentVolumeClaim."""
    spec, status = _mapping_at(item, "spec"), _mapping_at(item, "status")
    capacity = _mapping_at(status, "capacity").get("storage")
    # The request, as long as it is not bound: what was asked for is all that is known.
    size = capacity or _mapping_at(_mapping_at(spec, "resources"), "requests").get("storage") or 0
    return Claim(
        str(_mapping_at(item, "metadata").get("name", "")),
        str(status.get("phase", "Pending")),
        tuple(map(str, spec.get("accessModes") or ())),
        parse_quantity_or_zero(size),
    )


def parse_node(
    item: Manifest, metrics: Mapping[str, float], disks: Mapping[str, float] | None = None
) -> Node:
    """A Node; `metrics` is the memory in use, `disks` the free disk: in bytes by node, where measured."""
    name, status = str(_mapping_at(item, "metadata").get("name", "")), _mapping_at(item, "status")
    # "Unknown" counts as not ready: it is what a node's conditions are when its kubelet is silent.
    states = {one.get("type"): one.get("status") for one in status.get("conditions") or ()}
    allocatable = _mapping_at(status, "allocatable")
    pressures = tuple(
        sorted(kind for kind, state in states.items() if str(kind).endswith("Pressure") and state == "True")
    )
    return Node(
        name,
        states.get("Ready") == "True",
        parse_quantity_or_zero(allocatable.get("memory", 0)),
        # None if it was not measured: zero would read as an idle node.
        metrics.get(name),
        parse_quantity_or_zero(allocatable.get("ephemeral-storage", 0)),
        pressures,
        (disks or {}).get(name),
        list_image_names(status.get("images")),
        sum_image_bytes(status.get("images")),
        parse_quantity_or_zero(allocatable.get("cpu", 0)),
    )


def describe_unhealthy(workloads: Iterable[Workload], pods: Iterable[Pod]) -> list[str]:
    """A sentence for each thing that keeps a release from being healthy, in a stable order."""
    reasons = [
        f"{one.kind} {one.name}: "
        + (one.failure or f"{one.ready} of {one.desired} ready, {one.updated} updated")
        for one in sorted(workloads, key=lambda one: (one.kind, one.name))
        if not one.settled
    ]
    return reasons + [
        f"Pod {one.name}: {one.blocked_reason}"
        for one in sorted(pods, key=lambda one: one.name)
        if one.blocked_reason
    ]


def select_of_release(
    manifests: Iterable[Manifest], workloads: Iterable[Workload], pods: Iterable[Pod]
) -> tuple[list[Workload], list[Pod]]:
    """What of a namespace belongs to the manifests: workloads by their name, pods by the selectors."""
    controllers = [one for one in manifests if one.get("kind") in ("Deployment", "StatefulSet")]
    names = {(one["kind"], _mapping_at(one, "metadata").get("name")) for one in controllers}
    selectors = [
        _mapping_at(_mapping_at(_mapping_at(one, "spec"), "selector"), "matchLabels") for one in controllers
    ]
    return (
        [one for one in workloads if (one.kind, one.name) in names],
        [
            one
            for one in pods
            if any(selector and selector.items() <= one.labels.items() for selector in selectors)
        ],
    )


def parse_quantity_or_zero(text: object) -> float:
    """A Kubernetes quantity in base units; 0 for what is none."""
    try:
        return parse_quantity(text)
    except ValueError:
        return 0.0


def _container_images(spec: Mapping[str, Any]) -> tuple[str, ...]:
    containers: Sequence[Mapping[str, Any]] = spec.get("containers") or ()
    return tuple(str(one.get("image", "")) for one in containers)


def _mapping_at(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = item.get(name)
    return part if isinstance(part, Mapping) else {}
