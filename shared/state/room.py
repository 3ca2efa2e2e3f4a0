"""Whether the node has room for the pods that start before the old ones stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.core.deploy_versions import Room, headroom_gate
from shared.core.deploy_words import Gate, Manifest
from shared.core.workloads import Node, quantity
from shared.ports_deploy import Cluster
from shared.state.charts import images

# An image of Rocket.Chat takes about 2 GiB unpacked.
_IMAGE_BYTES = 2 << 30


def headroom(cluster: Cluster, before: Sequence[Manifest], after: Sequence[Manifest]) -> Gate:
    """A Deployment's rolling update runs one more pod of each; new images need their place on the disk."""
    nodes = [node for node in cluster.nodes() if node.ready]
    changed = set(images(after)) - set(images(before))
    need = Room(max(map(_surge, after), default=0.0) if changed else 0.0, float(len(changed) * _IMAGE_BYTES))
    return headroom_gate(_have(nodes), need)


def _have(nodes: Sequence[Node]) -> Room:
    """The roomiest node; where nobody measures, what the kubelet's pressure conditions say."""
    if not nodes:
        return Room(None, None)
    memory = max(_memory(node) for node in nodes)
    disk = max(0.0 if "DiskPressure" in node.pressures else node.disk_bytes for node in nodes)
    return Room(memory, disk)


def _memory(node: Node) -> float:
    if "MemoryPressure" in node.pressures:
        return 0.0
    free = node.memory_free_bytes
    return node.memory_bytes if free is None else free


def _surge(manifest: Manifest) -> float:
    """What one more pod of a Deployment asks for, in bytes; a StatefulSet's old pod stops first."""
    if manifest.get("kind") != "Deployment":
        return 0.0
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return sum(_request(container) for container in pod.get("containers") or ())


def _request(container: Mapping[str, Any]) -> float:
    requests = (container.get("resources") or {}).get("requests") or {}
    return quantity(requests.get("memory", 0))
