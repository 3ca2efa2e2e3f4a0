"""What is used of Azure's SDK: azure-core for Resource Manager, and the sign-in of azure-identity.

They are imported inside the functions, since that takes a fresh worker a third of a second.
"""

from __future__ import annotations

import logging
import os
import threading
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.azure.managed_identity import AppServiceIdentity, has_endpoint

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# By the end of a service's host name: who issues tokens for that cloud, if it is not the public one.
# https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
_AUTHORITIES = {
    ".usgovcloudapi.net": "https://login.microsoftonline.us",
    ".chinacloudapi.cn": "https://login.chinacloudapi.cn",
}


def find_authority(url: str) -> str:
    """The address that issues tokens for the cloud of a service; empty for the public and unknown clouds."""
    host = urlsplit(url).hostname or ""
    return next((address for suffix, address in _AUTHORITIES.items() if host.endswith(suffix)), "")


_LOADING = threading.Lock()


@cache
def identity(
    client_id: str = "", *, resource_id: str = "", managed: bool = False, authority: str = ""
) -> TokenCredential:
    """What signs in to one connection; one token cache for each.

    A user-assigned identity is named by its client id or its resource id; `managed` alone is the app's
    system-assigned one. Without all three it is what the process has: the identity of AZURE_CLIENT_ID, the
    system-assigned one, or on a laptop the developer's own sign-in.
    """
    if has_endpoint(named=bool(resource_id or client_id or managed)):
        # As on Azure. An app without any of the three has the identity of AZURE_CLIENT_ID, if it is set.
        ambient = "" if managed or resource_id else os.environ.get("AZURE_CLIENT_ID", "")
        return AppServiceIdentity(client_id=client_id or ambient, resource_id=resource_id)  # type: ignore
    load_azure_core()
    quiet_sdk_logs()
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    if resource_id:
        return ManagedIdentityCredential(identity_config={"resource_id": resource_id})
    if client_id or managed:
        return ManagedIdentityCredential(client_id=client_id or None)
    # Not `managed_identity_client_id=None`, which would hide AZURE_CLIENT_ID from it.
    return DefaultAzureCredential(**({"authority": authority} if authority else {}))


def load_azure_core() -> None:
    """Import azure-core whole, one thread at a time: before anything else of the SDKs, in every factory.

    Its modules import each other in a circle. Two threads that enter it by different modules, as the checks
    of health do on a fresh worker, would each find the other's half done, and fail with ImportError.
    """
    with _LOADING:
        import azure.core.pipeline.policies
        import azure.core.pipeline.transport
        import azure.core.rest  # noqa: F401 - for what they leave in sys.modules


def quiet_sdk_logs() -> None:
    """Keep the SDKs from logging every request; an operator who sets another level keeps it.

    A sign-in that fails is an error of ours, in one line; the SDK has a dozen lines for each attempt.
    """
    logger = logging.getLogger("azure")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
        logging.getLogger("azure.identity").setLevel(logging.ERROR)
