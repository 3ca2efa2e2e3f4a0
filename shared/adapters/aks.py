"""Starting and stopping AKS clusters behind `PowerSwitch`: plain REST, since four calls are worth no SDK.

https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from shared.azure.arm import PUBLIC_CLOUD, ArmId, parse_tags, rest_client, translate_arm_errors
from shared.cloud.machines import Machine, MachineState, PowerState
from shared.kernel.errors import Refused

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

KIND = "Microsoft.ContainerService/managedClusters"
API_VERSION = "2024-09-01"
# AKS says "not allowed" when it means "busy with something else".
_CONFLICTS = frozenset({"OperationNotAllowed", "EtagMismatch"})
_MOVING = {"starting": PowerState.STARTING, "stopping": PowerState.DEALLOCATING}
_POWER = {"running": PowerState.RUNNING, "stopped": PowerState.DEALLOCATED}


class AksClusters:
    """The clusters of a subscription, or of a resource group; a stopped one's nodes are deallocated."""

    def __init__(
        self, client: ARMPipelineClient[Any, Any], subscription: str, base_url: str, *, group: str = ""
    ) -> None:
        self._client, self._subscription, self._group = client, subscription, group
        self._base_url = base_url.rstrip("/")

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        return sorted(map(parse_cluster, self._pages()), key=lambda machine: machine.id)

    def states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.states`."""
        return {state.id: state for state in map(parse_state, self._pages())}

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        group = f"/resourceGroups/{quote(self._group)}" if self._group else ""
        path = f"/subscriptions/{quote(self._subscription)}{group}/providers/{KIND}"
        url: str | None = f"{self._base_url}{path}?api-version={API_VERSION}"
        while url:
            page = self._send("GET", url, "List the clusters")
            yield from page.get("value") or []
            url = self._same_host(page.get("nextLink"))

    def state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.state`."""
        cluster = ArmId.parse(machine_id, KIND)
        return parse_state(self._send("GET", self._url(cluster), f"State of cluster {cluster.name}"))

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        cluster = ArmId.parse(machine_id, KIND)
        self._send("POST", self._url(cluster, "/start"), f"Start cluster {cluster.name}")

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        cluster = ArmId.parse(machine_id, KIND)
        self._send("POST", self._url(cluster, "/stop"), f"Stop cluster {cluster.name}")

    def _url(self, cluster: ArmId, action: str = "") -> str:
        return f"{self._base_url}{quote(str(cluster))}{action}?api-version={API_VERSION}"

    def _same_host(self, url: str | None) -> str | None:
        if url and urlsplit(url).netloc != urlsplit(self._base_url).netloc:
            raise Refused("A listing's next page is on another host", value=urlsplit(url).netloc)
        return url or None

    def _send(self, method: str, url: str, message: str) -> Mapping[str, Any]:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        with translate_arm_errors(message, _CONFLICTS):
            response = self._client.send_request(HttpRequest(method, url))
            if response.status_code >= 300:
                raise HttpResponseError(response=response, error_format=ARMErrorFormat)
            answer: Mapping[str, Any] = response.json() if response.content else {}
            return answer


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AksClusters:
    """The clusters of `subscription` (in `group` only, if given). Imports azure-core."""
    return AksClusters(rest_client(credential, base_url=base_url), subscription, base_url, group=group)


def parse_cluster(cluster: Mapping[str, Any]) -> Machine:
    """A `ManagedCluster` of the API; its size is that of its first pool of nodes."""
    identity = ArmId.parse(cluster["id"], KIND)
    pools = (cluster.get("properties") or {}).get("agentPoolProfiles") or [{}]
    size = str(pools[0].get("vmSize") or "")
    return Machine(
        str(identity), cluster["name"], identity.group, cluster["location"], size, parse_tags(cluster)
    )


def parse_state(cluster: Mapping[str, Any]) -> MachineState:
    """A `ManagedCluster` of the API: its provisioning state while it moves, else its power state."""
    properties = cluster.get("properties") or {}
    provisioning = str(properties.get("provisioningState") or "").lower()
    code = str((properties.get("powerState") or {}).get("code") or "").lower()
    power = _MOVING.get(provisioning) or _POWER.get(code, PowerState.UNKNOWN)
    failed = provisioning == "failed"
    busy = provisioning not in ("succeeded", "failed", "canceled")
    return MachineState(str(ArmId.parse(cluster["id"], KIND)), power, busy, "Failed" if failed else "")
