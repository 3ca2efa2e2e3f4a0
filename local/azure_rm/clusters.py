"""Managed clusters (AKS), as far as starting and stopping them goes.

https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from local.azure_rm.replies import Json
from local.azure_rm.resources import ArmResource


@dataclass
class StoredCluster(ArmResource):
    """An AKS cluster with one pool of nodes."""

    power: str = "Running"
    size: str = "Standard_D4ads_v5"
    nodes: int = 1

    kind = "Microsoft.ContainerService/managedClusters"

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - one signature for all
        """The cluster as a GET answers it."""
        pool: Json = {
            "name": "system",
            "count": self.nodes,
            "vmSize": self.size,
            "osType": "Linux",
            "mode": "System",
            "provisioningState": self.provisioning,
            "powerState": {"code": self.power},
        }
        properties: Json = {
            "provisioningState": self.provisioning,
            "powerState": {"code": self.power},
            "kubernetesVersion": "1.33",
            "dnsPrefix": self.name,
            "agentPoolProfiles": [pool],
        }
        return self.envelope() | {"sku": {"name": "Base", "tier": "Free"}, "properties": properties}
