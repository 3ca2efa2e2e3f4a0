"""Whether the cluster's nodes are ready: a `Probe` over the `Cluster` port."""

from __future__ import annotations

from dataclasses import dataclass

from shared.health.ports import Health
from shared.kernel.errors import GroundcrewError, Refused
from shared.kubernetes.ports import Cluster


@dataclass(frozen=True)
class NodeHealth:
    """Well when there are nodes and all of them are ready. A kubelet's pressures are told, not judged."""

    cluster: Cluster

    def check(self) -> Health:
        """See `Probe.check`."""
        try:
            nodes = self.cluster.list_nodes()
        except Refused as error:
            # A right that is missing says nothing about the server.
            return Health(True, f"nodes were not checked: {_error_text(error)}")
        except GroundcrewError as error:
            return Health(False, _error_text(error))
        waiting = [node.name for node in nodes if not node.ready]
        if waiting or not nodes:
            return Health(False, f"not ready: {', '.join(waiting)}" if waiting else "the cluster has no node")
        pressed = [f"{node.name} has {', '.join(node.pressures)}" for node in nodes if node.pressures]
        count = "the node is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
        return Health(True, "; ".join([f"{count} ready", *pressed]))


def _error_text(error: GroundcrewError) -> str:
    return error.message if error.value is None else f"{error.message} ({error.value})"
