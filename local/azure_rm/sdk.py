"""Ways to ask the server other than through Groundcrew's adapters: Microsoft's own client, and plain HTTP."""

from __future__ import annotations

from typing import Any

import requests
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient

from local.azure_rm.server import AzureServer


class PlainHttp(SansIOHTTPPolicy):  # type: ignore[type-arg]
    """The one thing the real client must be told: tokens may go over plain http here."""

    def on_request(self, request: Any) -> None:
        """Before each request, those for pages and polls included."""
        request.context.options["enforce_https"] = False


def real_client(server: AzureServer, *, valid: bool = True) -> ComputeManagementClient:
    """The real client as it comes, but without retries and polling every ten milliseconds."""
    return ComputeManagementClient(
        server.credential(valid=valid),
        server.subscription,
        server.url,
        polling_interval=0.01,
        per_call_policies=[PlainHttp()],
        retry_total=0,
    )


def get_resource(server: AzureServer, path: str, **query: str) -> requests.Response:
    """What is on the wire: a signed-in GET of a path below the server's address."""
    headers = {"Authorization": f"Bearer {server.credential().get_token().token}"}
    return requests.get(f"{server.url}{path}", params=query, headers=headers, timeout=5)
