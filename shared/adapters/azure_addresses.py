"""Public IP addresses behind `Addresses`: plain REST.

https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD, ArmId, parse_tags
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.prices import Address

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KIND = "Microsoft.Network/publicIPAddresses"
API_VERSION = "2024-05-01"
# What an address may belong to: a network interface, a load balancer or a gateway.
_HOLDERS = ("ipConfiguration", "natGateway", "linkedPublicIPAddress")


class AzureAddresses:
    """The addresses of a subscription, or of one resource group of it."""

    def __init__(self, client: ArmClient) -> None:
        self._client = client

    def list(self) -> list[Address]:
        """See `Addresses.list`."""
        resources = self._client.list_resources(KIND, API_VERSION, "List the public IP addresses")
        return sorted(map(parse_address, resources), key=lambda address: address.id)


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureAddresses:
    """The addresses of `subscription` (in `group` only, if given)."""
    return AzureAddresses(connect_arm(credential, subscription, group=group, base_url=base_url))


def parse_address(address: Mapping[str, Any]) -> Address:
    """A `PublicIPAddress` of the API."""
    identity = ArmId.parse(address["id"], KIND)
    properties = address.get("properties") or {}
    return Address(
        str(identity),
        address["name"],
        identity.group,
        address["location"],
        # Addresses from before there were SKUs have none, and are billed as Basic.
        str((address.get("sku") or {}).get("name") or "Basic"),
        str(properties.get("publicIPAllocationMethod") or "").lower() == "static",
        6 if str(properties.get("publicIPAddressVersion") or "").lower() == "ipv6" else 4,
        any(properties.get(holder) for holder in _HOLDERS),
        parse_tags(address),
    )
