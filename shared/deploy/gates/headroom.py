"""Whether the node has room for the pods that start before the old ones stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.deploy.gates.versions import Headroom, headroom_gate
from shared.deploy.model import Gate
from shared.kubernetes.images import list_images
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.node_disk import normalize_image_name
from shared.kubernetes.ports import Cluster
from shared.kubernetes.workloads import Node, parse_quantity_or_zero

# An image of Rocket.Chat is 0.4 GB packed and 1.6 GB unpacked, and containerd keeps both:
# https://github.com/RocketChat/Rocket.Chat/issues/16730, https://github.com/containerd/cri/issues/881
IMAGE_BYTES = 2 << 30


def evaluate_headroom(cluster: Cluster, before: Sequence[Manifest], after: Sequence[Manifest]) -> Gate:
    """A Deployment's rolling update runs one more pod of each; new images need their place on the disk."""
    changed = set(list_images(after)) - set(list_images(before))
    surge = max(map(_surge_bytes, after), default=0.0) if changed else 0.0
    nodes = [node for node in cluster.list_nodes(disks=True) if node.ready]
    if not nodes:
        return headroom_gate(Headroom(None, None), Headroom(surge, None))
    # One node must have both. Where several have, or none has, the one with most disk to spare is told of.
    results = [_evaluate_node(node, surge, changed) for node in nodes]
    return max(results, key=lambda one: (one[0].passed, one[1]))[0]


def _evaluate_node(node: Node, surge: float, images: Iterable[str]) -> tuple[Gate, float]:
    """The gate for one node, and how many bytes of its disk would be left."""
    (memory, of_memory), (disk, of_disk) = _free_memory(node), _free_disk(node)
    pull = float(len(_missing_images(node, images)) * IMAGE_BYTES)
    notes = [note for note in (of_memory, of_disk) if note]
    return headroom_gate(Headroom(memory, disk), Headroom(surge, pull), notes=notes), disk - pull


def _free_memory(node: Node) -> tuple[float, str]:
    """Free bytes, and a note unless they were measured."""
    if "MemoryPressure" in node.pressures:
        return 0.0, f"{node.name} has MemoryPressure"
    free = node.memory_free_bytes
    return (node.memory_bytes, "memory is the whole node's: no metrics") if free is None else (free, "")


def _free_disk(node: Node) -> tuple[float, str]:
    """Free bytes, and a note unless they were measured."""
    if "DiskPressure" in node.pressures:
        return 0.0, f"{node.name} has DiskPressure"
    free = node.disk_free_bytes
    if free is None:
        return node.disk_estimated_bytes, "disk estimated from the node's images: no Prometheus"
    return free, ""


def _missing_images(node: Node, images: Iterable[str]) -> set[str]:
    """The images that the node would have to pull. Under pressure those that nobody uses are being deleted.

    https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#self-healing-behavior
    """
    there = frozenset() if "DiskPressure" in node.pressures else node.images
    return {normalize_image_name(image) for image in images} - there


def _surge_bytes(manifest: Manifest) -> float:
    """What one more pod of a Deployment asks for, in bytes; a StatefulSet's old pod stops first."""
    if manifest.get("kind") != "Deployment":
        return 0.0
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return sum(_requested_bytes(container) for container in pod.get("containers") or ())


def _requested_bytes(container: Mapping[str, Any]) -> float:
    requests = (container.get("resources") or {}).get("requests") or {}
    return parse_quantity_or_zero(requests.get("memory", 0))
