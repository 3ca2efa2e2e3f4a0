"""What the stand-in answers is what Azure's published OpenAPI documents describe."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.mgmt.compute import models

from local.azure_rm import AzureServer
from local.azure_rm.sdk import get_resource
from local.fakes.clock import ManualClock
from tests.local.azure_rm.published import Document
from tests.local.azure_rm.test_models import fields

COMPUTE, DISKS, ACTIVITY, EVENTS, CLUSTERS, ADDRESSES, PRICES = (
    Document(name)
    for name in ("compute", "disks", "activity", "events", "clusters", "addresses", "prices")
)  # fmt: skip
GROUP = "/resourceGroups/rocketchat"


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """With one of each, two to a page."""
    with AzureServer(clock=ManualClock(), page_size=2) as running:
        disk = running.add_disk("data")
        for number in range(3):
            running.add_vm(f"vm{number}", zones=("1",), tags={"a": "b"})
            running.add_snapshot(f"s{number}", disk)
        yield running


def ask(server: AzureServer, path: str, version: str, **query: str) -> Any:
    provider = f"/subscriptions/{server.subscription}{path}"
    answer = get_resource(server, provider, **{"api-version": version, **query})
    return answer.json()


def send(server: AzureServer, method: str, path: str, version: str, body: Any) -> requests.Response:
    token = server.credential().get_token().token
    return requests.request(
        method,
        f"{server.url}/subscriptions/{server.subscription}{path}",
        params={"api-version": version},
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


VMS = "/providers/Microsoft.Compute/virtualMachines"


def test_machines_and_their_listings(server: AzureServer) -> None:
    for query in ({}, {"statusOnly": "true"}):
        page = ask(server, VMS, "2024-07-01", **query)
        assert COMPUTE.faults(page, "VirtualMachineListResult") == []
        assert "nextLink" in page
    one = ask(server, f"{GROUP}{VMS}/vm0", "2024-07-01", **{"$expand": "instanceView"})
    assert COMPUTE.faults(one, "VirtualMachine") == []
    assert one["properties"]["instanceView"]["statuses"]


@pytest.mark.parametrize("power", ["running", "stopped", "deallocated"])
def test_instance_views_in_every_state_and_after_a_failure(server: AzureServer, power: str) -> None:
    server.add_vm("other", power=power)
    path = f"{GROUP}{VMS}/other/instanceView"
    assert COMPUTE.faults(ask(server, path, "2024-07-01"), "VirtualMachineInstanceView") == []
    server.faults.fail_operation("virtualMachines/start")
    send(server, "POST", f"{GROUP}{VMS}/other/start", "2024-07-01", {})
    server.advance(timedelta(minutes=1))
    assert COMPUTE.faults(ask(server, path, "2024-07-01"), "VirtualMachineInstanceView") == []


def test_errors(server: AzureServer) -> None:
    assert COMPUTE.faults(ask(server, f"{GROUP}{VMS}/none", "2024-07-01"), "CloudError") == []


def test_disks_and_snapshots(server: AzureServer) -> None:
    disks = "/providers/Microsoft.Compute/disks"
    snapshots = "/providers/Microsoft.Compute/snapshots"
    assert DISKS.faults(ask(server, disks, "2024-03-02"), "DiskList") == []
    assert DISKS.faults(ask(server, snapshots, "2024-03-02"), "SnapshotList") == []
    source = f"/subscriptions/{server.subscription}{GROUP}{disks}/data"
    body = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": source}},
    }
    made = send(server, "PUT", f"{GROUP}{snapshots}/new", "2024-03-02", body)
    assert DISKS.faults(made.json(), "Snapshot") == []


def test_the_activity_log(server: AzureServer) -> None:
    vm = server.add_vm("lost")
    server.stop_as(vm, "ana@example.com")
    server.evict(vm)
    server.lose_host(vm)
    path = "/providers/Microsoft.Insights/eventtypes/management/values"
    since = (server.clock.now() - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    text = f"eventTimestamp ge '{since}' and resourceUri eq '{vm.id}'"
    page = ask(server, path, "2015-04-01", **{"$filter": text})
    assert page["value"]
    assert ACTIVITY.faults(page, "EventDataCollection") == []
    refused = ask(server, path, "2015-04-01", **{"$filter": "caller eq 'x'"})
    assert ACTIVITY.faults(refused, "ErrorResponse") == []


@pytest.mark.parametrize("power", ["Running", "Stopped"])
def test_clusters(server: AzureServer, power: str) -> None:
    path = "/providers/Microsoft.ContainerService/managedClusters"
    server.add_cluster("aks", power=power)
    page = ask(server, path, "2024-09-01")
    assert CLUSTERS.faults(page, "ManagedClusterListResult") == []
    assert page["value"][0]["properties"]["powerState"] == {"code": power}
    act = "stop" if power == "Running" else "start"
    assert send(server, "POST", f"{GROUP}{path}/aks/{act}", "2024-09-01", {}).status_code == 202
    assert CLUSTERS.faults(ask(server, f"{GROUP}{path}/aks", "2024-09-01"), "ManagedCluster") == []


def test_public_addresses(server: AzureServer) -> None:
    server.add_address("used", held_by="/subscriptions/s/resourceGroups/g/x/ipConfigurations/one")
    server.add_address("basic", sku="Basic", static=False, version="IPv6")
    page = ask(server, "/providers/Microsoft.Network/publicIPAddresses", "2024-05-01")
    assert len(page["value"]) == 2
    assert ADDRESSES.faults(page, "PublicIPAddressListResult") == []


def test_retail_prices(server: AzureServer) -> None:
    pages: list[Any] = []
    url = f"{server.prices_url}?api-version=2023-01-01-preview&currencyCode='EUR'"
    while url:
        pages.append(requests.get(url, timeout=10).json())
        url = pages[-1]["NextPageLink"]
    assert [PRICES.faults(page, "Page") for page in pages] == [[]] * len(pages)
    rows = [row for page in pages for row in page["Items"]]
    assert any("savingsPlan" in row for row in rows)
    assert any("reservationTerm" in row for row in rows)


@pytest.mark.parametrize("document", [COMPUTE, DISKS], ids=["compute", "disks"])
def test_the_extracts_name_no_field_that_microsofts_own_models_do_not_know(document: Document) -> None:
    compared = [name for name in document.definitions if hasattr(models, name)]
    assert len(compared) > 5
    for name in compared:
        assert document.properties(name) - fields(getattr(models, name)).keys() == set(), name


SIMPLE = {"string": (str, datetime), "integer": (int,), "number": (float, int), "boolean": (bool,)}


def differences(definition: dict[str, Any], hints: dict[str, Any]) -> Iterator[str]:
    """Where a definition has another type than Microsoft's model, a value that it lacks, or requires more."""
    for name, schema in definition.get("properties", {}).items():
        hint = hints[name]
        types = [one for one in typing.get_args(hint) or (hint,) if one is not type(None)]
        enums = [one for one in types if isinstance(one, type) and issubclass(one, Enum)]
        values = {value.value for enum in enums for value in enum}
        if enums and set(schema.get("enum", ())) - values:
            yield f"{name}: {sorted(set(schema['enum']) - values)}"
        if schema.get("type") in SIMPLE and not set(types) & {*SIMPLE[schema["type"]], *enums}:
            yield f"{name}: {schema['type']}, not {hint}"
        if name in definition.get("required", ()) and type(None) in typing.get_args(hint):
            yield f"{name}: required"


@pytest.mark.parametrize("document", [COMPUTE, DISKS], ids=["compute", "disks"])
def test_the_extracts_agree_with_microsofts_own_models_in_types_values_and_what_is_required(
    document: Document,
) -> None:
    # The models are generated from the documents, which are too large to be had here.
    found = {
        name: list(differences(definition, fields(getattr(models, name))))
        for name, definition in document.definitions.items()
        if hasattr(models, name)
    }
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_an_extract_that_says_something_else_than_the_models_is_found() -> None:
    wrong = {
        "required": ["lun", "toBeDetached"],
        "properties": {
            "lun": {"type": "string"},
            "toBeDetached": {"type": "boolean"},
            "createOption": {"type": "string", "enum": ["Glue"]},
        },
    }
    assert list(differences(wrong, fields(models.DataDisk))) == [
        "lun: string, not <class 'int'>",
        "toBeDetached: required",
        "createOption: ['Glue']",
    ]


def test_whole_documents_take_the_place_of_extracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "specification/compute/resource-manager/Microsoft.Compute/ComputeRP/stable/2024-07-01"
    common = tmp_path / "specification/compute/resource-manager/Microsoft.Compute/common-types/v1"
    base = {"properties": {"id": {"type": "string"}}, "required": ["id"]}
    resource = {"$ref": "../common.json#/definitions/Resource"}
    whole = {"allOf": [resource], "properties": {"lun": {"type": "integer"}}}
    for where, name, definition in ((common, "Resource", base), (folder, "DataDisk", whole)):
        where.mkdir(parents=True)
        (where / "any.json").write_text(json.dumps({"definitions": {name: definition}}))
    monkeypatch.setenv("GROUNDCREW_TEST_AZURE_SPECS", str(tmp_path))
    document = Document("compute")
    assert document.faults({"lun": 0}, "DataDisk") == ["DataDisk.id: missing"]
    assert document.faults({"id": "x", "createOption": "Attach"}, "DataDisk") == [
        "DataDisk.createOption: no such field"
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_events_of_the_grid(server: AzureServer, fails: bool) -> None:
    if fails:
        server.faults.fail_operation("virtualMachines/deallocate", "InternalError")
    send(server, "POST", f"{GROUP}{VMS}/vm0/deallocate", "2024-07-01", {})
    server.advance(timedelta(minutes=1))
    (event,) = server.events
    assert EVENTS.faults(event, "EventGridEvent") == []
    outcome = "Failure" if fails else "Success"
    assert event["eventType"] == f"Microsoft.Resources.ResourceAction{outcome}"
    assert EVENTS.faults(event["data"], f"ResourceAction{outcome}EventData") == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"lun": "0", "createOption": "Attach"}, "DataDisk.lun: str instead of integer"),
        ({"lun": True, "createOption": "Attach"}, "DataDisk.lun: bool instead of integer"),
        ({"lun": 0}, "DataDisk.createOption: missing"),
        ({"lun": 0, "createOption": "Glue"}, "DataDisk.createOption: 'Glue' is none of its values"),
        ({"lun": 0, "createOption": "Attach", "size": 1}, "DataDisk.size: no such field"),
    ],
)
def test_what_is_not_published_is_found(value: dict[str, Any], fault: str) -> None:
    assert COMPUTE.faults(value, "DataDisk") == [fault]


def test_nested_faults_and_times_without_a_zone_are_found() -> None:
    view = {"statuses": [{"level": "Loud"}, {"time": "2026-03-02T07:00:00"}]}
    assert COMPUTE.faults(view, "VirtualMachineInstanceView") == [
        "VirtualMachineInstanceView.statuses[0].level: 'Loud' is none of its values",
        "VirtualMachineInstanceView.statuses[1].time: a time without a zone",
    ]
