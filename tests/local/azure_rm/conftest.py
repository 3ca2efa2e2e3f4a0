"""A stand-in of Azure for each test, and Microsoft's own client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.mgmt.compute import ComputeManagementClient

from local.azure_rm import AzureServer
from local.azure_rm.sdk import real_client


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """In real time; operations take ten milliseconds, and a page holds three."""
    with AzureServer(page_size=3) as running:
        yield running


@pytest.fixture
def client(server: AzureServer) -> Iterator[ComputeManagementClient]:
    """For that server."""
    with real_client(server) as made:
        yield made
