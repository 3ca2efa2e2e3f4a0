"""Starting and stopping AKS clusters behind `PowerSwitch`: plain REST.

https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD, ArmId, Json, parse_tags
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.machines import Machine, MachineState, NodePool, PowerState

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KIND = "Microsoft.ContainerService/managedClusters"
API_VERSION = "2024-09-01"
# AKS says "not allowed" when it means "busy with something else".
_CONFLICTS = frozenset({"OperationNotAllowed", "EtagMismatch"})
_MOVING = {"starting": PowerState.STARTING, "stopping": PowerState.DEALLOCATING}
_POWER = {"running": PowerState.RUNNING, "stopped": PowerState.DEALLOCATED}


class AksClusters:
    """The clusters of a subscription, or of a resource group; a stopped one's nodes are deallocated."""

    def __init__(self, client: ArmClient) -> None:
        self._client = client

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        return sorted(map(parse_cluster, self._clusters()), key=lambda machine: machine.id)

    def list_states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.list_states`."""
        return {state.id: state for state in map(parse_state, self._clusters())}

    def _clusters(self) -> Sequence[Json]:
        return self._client.list_resources(KIND, API_VERSION, "List the clusters")

    def get_state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.get_state`."""
        cluster = ArmId.parse(machine_id, KIND)
        return parse_state(self._client.get(cluster, API_VERSION, f"State of cluster {cluster.name}"))

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        cluster = ArmId.parse(machine_id, KIND)
        self._client.send("POST", cluster, API_VERSION, f"Start cluster {cluster.name}", action="/start")

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        cluster = ArmId.parse(machine_id, KIND)
        self._client.send("POST", cluster, API_VERSION, f"Stop cluster {cluster.name}", action="/stop")


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AksClusters:
    """The clusters of `subscription` (in `group` only, if given)."""
    client = connect_arm(credential, subscription, group=group, base_url=base_url, conflicts=_CONFLICTS)
    return AksClusters(client)


def parse_cluster(cluster: Mapping[str, Any]) -> Machine:
    """A `ManagedCluster` of the API; its size is that of its first pool of nodes."""
    identity = ArmId.parse(cluster["id"], KIND)
    # The API lists the system pool first, which a cluster always has.
    pools = (cluster.get("properties") or {}).get("agentPoolProfiles") or [{}]
    size = str(pools[0].get("vmSize") or "")
    return Machine(
        str(identity),
        cluster["name"],
        identity.group,
        cluster["location"],
        size,
        parse_tags(cluster),
        pools=tuple(_parse_pool(pool) for pool in pools if pool),
    )


def _parse_pool(pool: Mapping[str, Any]) -> NodePool:
    return NodePool(
        str(pool.get("name") or ""),
        str(pool.get("vmSize") or ""),
        int(pool.get("count") or 0),
        bool(pool.get("enableAutoScaling")),
        str(pool.get("osType") or "").lower() == "windows",
    )


def parse_state(cluster: Mapping[str, Any]) -> MachineState:
    """A `ManagedCluster` of the API: its provisioning state while it moves, else its power state."""
    properties = cluster.get("properties") or {}
    provisioning = str(properties.get("provisioningState") or "").lower()
    code = str((properties.get("powerState") or {}).get("code") or "").lower()
    # While it stops, the power state still says `Running`: only the provisioning state tells that it moves.
    power = _MOVING.get(provisioning) or _POWER.get(code, PowerState.UNKNOWN)
    failed = provisioning == "failed"
    # What is not known is busy: an order that meets an operation is refused, and waiting costs a tick.
    busy = provisioning not in ("succeeded", "failed", "canceled")
    return MachineState(str(ArmId.parse(cluster["id"], KIND)), power, busy, "Failed" if failed else "")
