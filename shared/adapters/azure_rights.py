"""What the app's identity may do at a scope, as Resource Manager tells the caller about itself.

https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
Classic administrators, deny assignments and locks are not in it: an order can still be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.rights import RoleGrant

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KIND = "Microsoft.Authorization/permissions"
API_VERSION = "2022-04-01"


class AzureRights:
    """The caller's own rights."""

    def __init__(self, client: ArmClient) -> None:
        self._client = client

    def list_grants(self, scope: str) -> list[RoleGrant]:
        """One for each role at the scope (an id), inherited ones included. Raises Refused, Unavailable."""
        message = f"List the rights on {scope.rpartition('/')[2]}"
        return [parse_grant(one) for one in self._client.list_under(scope, KIND, API_VERSION, message)]


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureRights:
    """The rights in `subscription`."""
    return AzureRights(connect_arm(credential, subscription, group=group, base_url=base_url))


def parse_grant(permission: Mapping[str, Any]) -> RoleGrant:
    """A `Permission` of the API; data actions are not asked for here."""
    # Several roles add up, and `notActions` take away within their own role only: so each stays by itself.
    return RoleGrant(
        tuple(map(str, permission.get("actions") or ())), tuple(map(str, permission.get("notActions") or ()))
    )
