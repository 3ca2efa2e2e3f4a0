"""Public IP addresses behind `Addresses`: plain REST, since one listing is worth no SDK.

https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from shared.azure.arm import PUBLIC_CLOUD, ArmId, parse_tags, rest_client, translate_arm_errors
from shared.cloud.prices import Address
from shared.kernel.errors import Refused

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

KIND = "Microsoft.Network/publicIPAddresses"
API_VERSION = "2024-05-01"
# What an address may belong to: a network interface, a load balancer or a gateway.
_HOLDERS = ("ipConfiguration", "natGateway", "linkedPublicIPAddress")


class AzureAddresses:
    """The addresses of a subscription, or of one resource group of it."""

    def __init__(
        self, client: ARMPipelineClient[Any, Any], subscription: str, base_url: str, *, group: str = ""
    ) -> None:
        self._client, self._subscription, self._group = client, subscription, group
        self._base_url = base_url.rstrip("/")

    def list(self) -> list[Address]:
        """See `Addresses.list`."""
        return sorted(map(parse_address, self._pages()), key=lambda address: address.id)

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        group = f"/resourceGroups/{quote(self._group)}" if self._group else ""
        path = f"/subscriptions/{quote(self._subscription)}{group}/providers/{KIND}"
        url: str | None = f"{self._base_url}{path}?api-version={API_VERSION}"
        while url:
            page = self._get(url)
            yield from page.get("value") or []
            url = self._same_host(page.get("nextLink"))

    def _same_host(self, url: str | None) -> str | None:
        if url and urlsplit(url).netloc != urlsplit(self._base_url).netloc:
            raise Refused("A listing's next page is on another host", value=urlsplit(url).netloc)
        return url or None

    def _get(self, url: str) -> Mapping[str, Any]:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        with translate_arm_errors("List the public IP addresses"):
            response = self._client.send_request(HttpRequest("GET", url))
            if response.status_code >= 300:
                raise HttpResponseError(response=response, error_format=ARMErrorFormat)
            answer: Mapping[str, Any] = response.json()
            return answer


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureAddresses:
    """The addresses of `subscription` (in `group` only, if given). Imports azure-core."""
    return AzureAddresses(rest_client(credential, base_url=base_url), subscription, base_url, group=group)


def parse_address(address: Mapping[str, Any]) -> Address:
    """A `PublicIPAddress` of the API."""
    identity = ArmId.parse(address["id"], KIND)
    properties = address.get("properties") or {}
    return Address(
        str(identity),
        address["name"],
        identity.group,
        address["location"],
        str((address.get("sku") or {}).get("name") or "Basic"),
        str(properties.get("publicIPAllocationMethod") or "").lower() == "static",
        6 if str(properties.get("publicIPAddressVersion") or "").lower() == "ipv6" else 4,
        any(properties.get(holder) for holder in _HOLDERS),
        parse_tags(address),
    )
