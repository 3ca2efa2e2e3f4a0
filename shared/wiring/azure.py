"""The wiring of what Azure Resource Manager stands behind: machines, clusters, disks."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.adapters.azure_activity import AzureActivityLog
    from shared.adapters.azure_addresses import AzureAddresses
    from shared.adapters.azure_disks import AzureDisks
    from shared.adapters.azure_network import AzureNetwork
    from shared.adapters.azure_rights import AzureRights
    from shared.adapters.azure_vms import AzureMachines
    from shared.cloud.machines import PowerSwitch


class _FixedToken:
    """A credential for the stand-in."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        """The token, for an hour."""
        from shared.azure.managed_identity import IdentityToken

        # The stand-in knows no end; the SDK asks for one, and asks anew shortly before it.
        return IdentityToken(self._token, int(time.time()) + 3600)


def is_configured() -> bool:
    """Whether a subscription is named: without one, jobs that policy asks nothing of have nothing to do."""
    return bool(read_environment().values.get(definitions.SUBSCRIPTION.name))


@cache
def build_credential() -> TokenCredential:
    """The app's identity, or a fixed token for the stand-in. Raises UsageError."""
    env = read_environment()
    token = env.secret(definitions.RESOURCE_MANAGER_TOKEN)
    if not token:
        from shared.azure.sdk import find_authority, identity

        return identity(authority=find_authority(env.get(definitions.RESOURCE_MANAGER)))
    # A fixed token for the real Azure would be one that somebody copied out of `az`, with all of that
    # person's rights.
    if urlsplit(env.get(definitions.RESOURCE_MANAGER)).hostname not in ("127.0.0.1", "localhost", "::1"):
        name = definitions.RESOURCE_MANAGER_TOKEN.name
        raise UsageError(
            f"{name} is for a stand-in on this machine only", hint="Remove it: an identity signs in."
        )
    return _FixedToken(token.reveal())


def _arm_arguments() -> dict[str, str]:
    env = read_environment()
    read = all_or_nothing(
        subscription=partial(env.get, definitions.SUBSCRIPTION),
        group=partial(env.get, definitions.RESOURCE_GROUP),
        base_url=partial(env.get, definitions.RESOURCE_MANAGER),
    )
    return dict(read)


@cache
def connect_machines() -> AzureMachines:
    """Virtual machines."""
    from shared.adapters.azure_vms import connect

    place = _arm_arguments()
    return connect(build_credential(), place.pop("subscription"), **place)


@cache
def connect_clusters() -> PowerSwitch:
    """AKS clusters."""
    from shared.adapters.aks import connect

    place = _arm_arguments()
    return connect(build_credential(), place.pop("subscription"), **place)


@cache
def connect_activity_log() -> AzureActivityLog:
    """Who did what to machines."""
    from shared.adapters.azure_activity import connect

    place = _arm_arguments()
    return connect(build_credential(), place["subscription"], base_url=place["base_url"])


@cache
def connect_disks() -> AzureDisks:
    """Disks and snapshots."""
    from shared.adapters.azure_disks import connect

    place = _arm_arguments()
    return connect(build_credential(), place.pop("subscription"), **place)


@cache
def connect_addresses() -> AzureAddresses:
    """Public IP addresses."""
    from shared.adapters.azure_addresses import connect

    place = _arm_arguments()
    return connect(build_credential(), place.pop("subscription"), **place)


@cache
def connect_rights() -> AzureRights:
    """What the app may do in the subscription."""
    from shared.adapters.azure_rights import connect

    place = _arm_arguments()
    return connect(build_credential(), place.pop("subscription"), **place)


@cache
def connect_network() -> AzureNetwork:
    """Network security groups and interfaces."""
    from shared.adapters.azure_network import connect_network

    place = _arm_arguments()
    return connect_network(build_credential(), place.pop("subscription"), **place)
