"""The rules of Resource Manager that the stand-in keeps: pages, versions, tokens, limits."""

from __future__ import annotations

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.mgmt.compute import ComputeManagementClient

from local.azure_rm import AzureServer
from local.azure_rm.fleet import GROUP, SUBSCRIPTION
from local.azure_rm.sdk import get_resource, real_client

BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
VM_VERSION, DISK_VERSION = "2026-04-01", "2026-03-02"


@pytest.mark.parametrize("count", [0, 3, 4, 10])
def test_listings_come_in_pages_and_lose_nothing(
    server: AzureServer, client: ComputeManagementClient, count: int
) -> None:
    server.world.groups.add(GROUP)
    disk = server.add_disk("data", group="elsewhere")
    names = [f"snapshot-{number}" for number in range(count)]
    for name in names:
        server.add_snapshot(name, disk)

    assert [one.name for one in client.snapshots.list()] == names
    assert [one.name for one in client.snapshots.list_by_resource_group("ELSEWHERE")] == names
    assert list(client.snapshots.list_by_resource_group(GROUP)) == []
    pages = max(1, -(-count // 3))
    assert len(server.requests("GET /subscriptions/[^/]+/providers/.*/snapshots$")) == pages


def test_the_status_listing_has_states_but_neither_tags_nor_sizes(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    vm = server.add_vm("node", power="deallocated", tags={"a": "b"})

    [seen] = client.virtual_machines.list_all(status_only="true")

    assert seen.instance_view.statuses[1].code == "PowerState/deallocated"
    assert (seen.tags, seen.storage_profile) == (None, None)
    assert seen.id != vm.id
    assert seen.id.lower() == vm.id.lower()


def test_the_plain_listing_has_no_states_and_expanding_needs_a_filter(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    server.add_vm("node")

    [seen] = client.virtual_machines.list(GROUP)
    with pytest.raises(HttpResponseError) as caught:
        list(client.virtual_machines.list(GROUP, expand="instanceView"))

    assert seen.instance_view is None
    assert caught.value.error.code == "InvalidParameter"


def test_what_is_not_there_is_not_found(server: AzureServer, client: ComputeManagementClient) -> None:
    server.add_vm("node")

    for call in (
        lambda: client.virtual_machines.get(GROUP, "other"),
        lambda: client.virtual_machines.begin_start(GROUP, "other"),
        lambda: client.snapshots.get("no-such-group", "x"),
        lambda: list(client.virtual_machines.list("no-such-group")),
    ):
        with pytest.raises(ResourceNotFoundError):
            call()


def test_a_token_it_did_not_give_is_refused(server: AzureServer) -> None:
    with real_client(server, valid=False) as client, pytest.raises(ClientAuthenticationError) as caught:
        list(client.virtual_machines.list_all())

    assert caught.value.status_code == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "MissingApiVersionParameter"),
        ({"api-version": "1999-01-01"}, "NoRegisteredProviderFound"),
        ({"api-version": DISK_VERSION}, "NoRegisteredProviderFound"),
    ],
    ids=["missing", "unknown", "of-another-type"],
)
def test_a_call_names_a_version_that_the_type_has(
    server: AzureServer, query: dict[str, str], code: str
) -> None:
    answer = get_resource(server, f"{BASE}/virtualMachines", **query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_paths_are_read_without_regard_to_case(server: AzureServer) -> None:
    server.add_vm("Node")

    answer = get_resource(server, f"{BASE}/VIRTUALMACHINES/nODE".upper(), **{"api-version": VM_VERSION})

    assert answer.json()["name"] == "Node"


def test_throttling_wears_off_and_says_how_long_to_wait(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    server.add_vm("node")
    server.faults.throttle(times=2, retry_after=17, match="virtualMachines")

    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            list(client.virtual_machines.list_all())
        assert caught.value.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "17"
        assert "x-ms-ratelimit-remaining-resource" in caught.value.response.headers
    assert len(list(client.virtual_machines.list_all())) == 1
