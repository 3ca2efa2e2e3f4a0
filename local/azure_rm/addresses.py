"""Public IP addresses, rendered as Microsoft.Network does, as far as listing them goes.

https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/list-all
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from local.azure_rm.replies import Json
from local.azure_rm.resources import ArmResource


@dataclass
class PublicAddress(ArmResource):
    """A public IP address; `held_by` is the id of the configuration that has it."""

    sku: str = "Standard"
    static: bool = True
    version: str = "IPv4"
    held_by: str = ""

    kind = "Microsoft.Network/publicIPAddresses"

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - one signature for all
        """The address as a GET answers it."""
        properties: Json = {
            "provisioningState": self.provisioning,
            "resourceGuid": self.unique_id,
            "publicIPAddressVersion": self.version,
            "publicIPAllocationMethod": "Static" if self.static else "Dynamic",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
        }
        # A dynamic one has no address while nothing runs, and the field is missing, not empty.
        if self.static:
            properties["ipAddress"] = "203.0.113.7" if self.version == "IPv4" else "2001:db8::7"
        # The only sign that something uses it.
        if self.held_by:
            properties["ipConfiguration"] = {"id": self.held_by}
        return self.envelope() | {
            "sku": {"name": self.sku, "tier": "Regional"},
            "etag": f'W/"{self.unique_id}"',
            "properties": properties,
        }
