"""A namespace in memory: the objects a test puts there, read by the same rules as the API's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.kernel.errors import GroundcrewError
from shared.kubernetes.access import AccessRight, ServedResource
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import (
    Claim,
    ClusterEvent,
    Node,
    Pod,
    Workload,
    parse_claim,
    parse_event,
    parse_node,
    parse_pod,
    parse_workload,
    sorted_events,
)

CLUSTER_WIDE = frozenset({"Node", "Namespace", "ClusterRole", "ClusterRoleBinding", "StorageClass"})


class MemoryCluster:
    """`Cluster` for tests. `failures` are raised by the next calls; `memory_used` and `disk_free` are what is
    measured, in bytes by node."""

    def __init__(self, namespace: str = "rocketchat", version: str = "1.31.0") -> None:
        self._namespace, self._version = namespace, version
        self._items: list[Manifest] = []
        self.memory_used: dict[str, float] = {}
        self.disk_free: dict[str, float] = {}
        self.failures: list[GroundcrewError] = []
        self.unknown_kinds: set[str] = set()
        self.denied: set[tuple[str, str, str]] = set()  # group, resource, verb

    def add(self, *items: Mapping[str, Any]) -> None:
        """Put objects in place, or others of the same kind and name instead."""
        for item in items:
            self.remove(str(item["kind"]), str(item["metadata"]["name"]))
            self._items.append(item)

    def remove(self, kind: str, name: str) -> None:
        """Take an object away, if it is there."""
        self._items = [one for one in self._items if (one["kind"], one["metadata"]["name"]) != (kind, name)]

    def get_version(self) -> str:
        """See `Cluster.get_version`."""
        self._raise_failure()
        return self._version

    def list_workloads(self) -> list[Workload]:
        """See `Cluster.list_workloads`."""
        items = [*self._items_of("Deployment"), *self._items_of("StatefulSet")]
        return sorted(map(parse_workload, items), key=lambda one: (one.kind, one.name))

    def list_pods(self, selector: str = "") -> list[Pod]:
        """See `Cluster.list_pods`; of selectors only `key=value,…` is known."""
        labels = dict(term.split("=", 1) for term in selector.split(",") if term)
        pods = [one for one in map(parse_pod, self._items_of("Pod")) if labels.items() <= one.labels.items()]
        return sorted(pods, key=lambda one: one.name)

    def list_events(self, *, warnings_only: bool = True) -> list[ClusterEvent]:
        """See `Cluster.list_events`."""
        events = map(parse_event, self._items_of("Event"))
        return sorted_events(one for one in events if one.kind == "Warning" or not warnings_only)

    def list_secret_keys(self) -> Mapping[str, frozenset[str]]:
        """See `Cluster.list_secret_keys`."""
        secrets = [one for one in self._items_of("Secret") if one.get("type") != "helm.sh/release.v1"]
        return {
            one["metadata"]["name"]: frozenset({**(one.get("data") or {}), **(one.get("stringData") or {})})
            for one in secrets
        }

    def list_claims(self) -> list[Claim]:
        """See `Cluster.list_claims`."""
        return sorted(map(parse_claim, self._items_of("PersistentVolumeClaim")), key=lambda one: one.name)

    def list_nodes(self, *, disks: bool = False) -> list[Node]:
        """See `Cluster.list_nodes`."""
        free = self.disk_free if disks else {}
        nodes = [parse_node(one, self.memory_used, free) for one in self._items_of("Node")]
        return sorted(nodes, key=lambda one: one.name)

    def resource_of(self, api_version: str, kind: str) -> ServedResource | None:
        """See `Cluster.resource_of`; every kind is served that is not among `unknown_kinds`."""
        self._raise_failure()
        if kind in self.unknown_kinds:
            return None
        group = api_version.rpartition("/")[0]
        return ServedResource(group, _plural_of(kind), kind not in CLUSTER_WIDE)

    def is_allowed(self, right: AccessRight) -> bool:
        """See `Cluster.is_allowed`; everything is allowed that is not among `denied`."""
        self._raise_failure()
        return (right.group, right.resource, right.verb) not in self.denied

    def get_live_objects(self, manifests: Sequence[Manifest]) -> list[Manifest | None]:
        """See `Cluster.get_live_objects`."""
        self._raise_failure()
        there = {_identity_of(one, self._namespace): one for one in self._items}
        return [there.get(_identity_of(one, self._namespace)) for one in manifests]

    def _items_of(self, kind: str) -> list[Manifest]:
        self._raise_failure()
        return [
            one
            for one in self._items
            if one["kind"] == kind
            and (kind in CLUSTER_WIDE or one["metadata"].get("namespace", self._namespace) == self._namespace)
        ]

    def _raise_failure(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def _plural_of(kind: str) -> str:
    """As the API's own kinds are named: https://kubernetes.io/docs/reference/using-api/api-concepts/"""
    name = kind.lower()
    if name.endswith(("s", "x", "ch")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _identity_of(item: Manifest, namespace: str) -> tuple[str, str, str, str]:
    meta = item.get("metadata") or {}
    place = "" if item.get("kind") in CLUSTER_WIDE else str(meta.get("namespace") or namespace)
    return str(item.get("apiVersion")), str(item.get("kind")), place, str(meta.get("name"))
