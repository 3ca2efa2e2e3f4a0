"""Network security groups and interfaces behind `NetworkPosture`: plain REST.

https://learn.microsoft.com/rest/api/virtualnetwork/network-security-groups
The role Reader has the rights: `Microsoft.Network/networkSecurityGroups/read` and `networkInterfaces/read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD
from shared.azure.arm_client import ArmClient, connect_arm
from shared.hardening.model import NetworkGroup, NetworkRule, ObservedNetwork

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

GROUPS, INTERFACES = "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/networkInterfaces"
API_VERSION = "2024-05-01"
Json = Mapping[str, Any]


class AzureNetwork:
    """The groups and interfaces of a subscription, or of one resource group of it."""

    def __init__(self, client: ArmClient) -> None:
        self._client = client

    def read_network(self) -> ObservedNetwork:
        """See `NetworkPosture.read_network`."""
        groups = [*self._client.list_resources(GROUPS, API_VERSION, "List the network security groups")]
        interfaces = self._client.list_resources(INTERFACES, API_VERSION, "List the network interfaces")
        subnets = {
            str(one.get("id")).lower() for group in groups for one in _properties(group).get("subnets") or ()
        }
        unguarded = [str(one.get("name")) for one in interfaces if not _is_guarded(one, subnets)]
        guarding = [group for group in groups if _is_used(group)]
        public = [str(one.get("name")) for one in interfaces if _is_public(one)]
        return ObservedNetwork(
            tuple(map(parse_group, guarding)), tuple(sorted(unguarded)), tuple(sorted(public))
        )


def _is_public(interface: Json) -> bool:
    configurations = _properties(interface).get("ipConfigurations") or ()
    return any(_properties(one).get("publicIPAddress") for one in configurations)


def connect_network(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureNetwork:
    """Those of `subscription` (in `group` only, if given)."""
    return AzureNetwork(connect_arm(credential, subscription, group=group, base_url=base_url))


def parse_group(item: Json) -> NetworkGroup:
    """A group's own inbound rules and the default ones; outbound ones are left out."""
    properties = _properties(item)
    rules = [*(properties.get("securityRules") or ()), *(properties.get("defaultSecurityRules") or ())]
    inbound = [one for one in rules if str(_properties(one).get("direction")).lower() == "inbound"]
    return NetworkGroup(str(item.get("name")), tuple(map(_parse_rule, inbound)))


def _parse_rule(item: Json) -> NetworkRule:
    """Sources and ports stand in the singular or the plural field, whichever was used."""
    properties = _properties(item)
    return NetworkRule(
        str(item.get("name")),
        # The least of all: what cannot be read must not seem to come before a rule that denies.
        int(properties.get("priority") or 65500),
        str(properties.get("access")).lower() == "allow",
        str(properties.get("protocol") or "*"),
        # A rule whose source is an application security group has neither, and lets in members of it only.
        _both(properties, "sourceAddressPrefix", "sourceAddressPrefixes"),
        _both(properties, "destinationPortRange", "destinationPortRanges"),
    )


def _both(properties: Json, one: str, many: str) -> tuple[str, ...]:
    first = properties.get(one)
    return (*((str(first),) if first else ()), *map(str, properties.get(many) or ()))


def _is_used(group: Json) -> bool:
    return bool(_properties(group).get("subnets") or _properties(group).get("networkInterfaces"))


def _is_guarded(interface: Json, subnets: set[str]) -> bool:
    properties = _properties(interface)
    if properties.get("networkSecurityGroup"):
        return True
    places = [_properties(one).get("subnet") or {} for one in properties.get("ipConfigurations") or ()]
    # All of them: one address in a subnet without a group is a way in.
    return bool(places) and all(str(one.get("id")).lower() in subnets for one in places)


def _properties(item: Json) -> Json:
    properties = item.get("properties")
    return properties if isinstance(properties, Mapping) else {}
