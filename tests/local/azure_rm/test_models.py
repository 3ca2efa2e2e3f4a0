"""The stand-in's answers, judged by the models of Microsoft's own client."""

from __future__ import annotations

import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.mgmt.compute import ComputeManagementClient, models

from local.azure_rm import AzureServer
from local.azure_rm.fleet import GROUP, SUBSCRIPTION
from local.azure_rm.sdk import get_resource

BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
VM_VERSION, DISK_VERSION = "2026-04-01", "2026-03-02"


def fields(model: type) -> dict[str, Any]:
    """A model's fields by their names in JSON, with their types."""
    found: dict[str, Any] = {}
    for base in model.__mro__:
        hints = typing.get_type_hints(base, {**vars(models), "_models": models}) if base is not object else {}
        for name, rest in vars(base).items():
            # The SDK has no public way to ask for a field's name in JSON.
            if type(rest).__name__ == "_RestField":
                found.setdefault(rest._rest_name_input or name, hints[name])
    return found


def strangers(data: Any, hint: Any, path: str = "") -> list[str]:
    """Paths in the JSON that Microsoft's models do not know."""
    arguments = [part for part in typing.get_args(hint) if part is not type(None)]
    origin = typing.get_origin(hint)
    if origin is list:
        return [bad for entry in data for bad in strangers(entry, arguments[0], f"{path}[]")]
    if origin is dict or not isinstance(data, dict | list):
        return []
    if arguments:
        hint = next((part for part in arguments if part is not str), arguments[0])
        return strangers(data, hint, path)
    known = fields(hint)
    return [
        bad
        for key, value in data.items()
        for bad in ([f"{path}.{key}"] if key not in known else strangers(value, known[key], f"{path}.{key}"))
    ]


@pytest.mark.parametrize(
    ("path", "version", "query", "model"),
    [
        ("virtualMachines/node", VM_VERSION, {}, models.VirtualMachine),
        ("virtualMachines/node", VM_VERSION, {"$expand": "instanceView"}, models.VirtualMachine),
        ("virtualMachines/node/instanceView", VM_VERSION, {}, models.VirtualMachineInstanceView),
        ("disks/node-data0", DISK_VERSION, {}, models.Disk),
        ("disks/node-os", DISK_VERSION, {}, models.Disk),
        ("snapshots/data-1", DISK_VERSION, {}, models.Snapshot),
    ],
    ids=["vm", "vm-expanded", "instance-view", "data-disk", "os-disk", "snapshot"],
)
def test_no_answer_has_a_field_that_microsoft_s_models_do_not_know(
    server: AzureServer, path: str, version: str, query: dict[str, str], model: type
) -> None:
    vm = server.add_vm("node", tags={"a": "b"}, zones=("1",), data_disks=2)
    disk = server.add_disk("data")
    server.add_snapshot("data-1", disk, tags={"c": "d"})
    vm.move(server.clock.now(), power="deallocated", provisioning="Failed", failure=("Code", "text"))

    answer = get_resource(server, f"{BASE}/{path}", **{"api-version": version, **query})

    assert answer.status_code == 200
    assert strangers(answer.json(), model) == []


def test_the_check_for_unknown_fields_finds_one() -> None:
    body = {"name": "x", "properties": {"vmId": "1", "storageProfile": {"osDisk": {"diskSizeGb": 1}}}}

    assert strangers(body, models.VirtualMachine) == [".properties.storageProfile.osDisk.diskSizeGb"]


def test_a_machine_reads_through_the_models_as_it_was_put_there(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    vm = server.add_vm("node", size="Standard_D8ads_v5", tags={"a": "b"}, zones=("2",), data_disks=2)

    seen = client.virtual_machines.get(GROUP, "node", expand="instanceView")

    assert (seen.name, seen.id, seen.location, seen.tags, seen.zones) == (
        "node",
        vm.id,
        "westeurope",
        {"a": "b"},
        ["2"],
    )
    assert seen.hardware_profile.vm_size == "Standard_D8ads_v5"
    assert seen.storage_profile.os_disk.managed_disk.id == vm.disks[0].id
    assert [disk.lun for disk in seen.storage_profile.data_disks] == [0, 1]
    assert seen.time_created == vm.created
    assert [status.code for status in seen.instance_view.statuses] == [
        "ProvisioningState/succeeded",
        "PowerState/running",
    ]
    assert seen.instance_view.statuses[1].display_status == "VM running"
    assert seen.instance_view.vm_agent.statuses[0].display_status == "Ready"


def test_times_are_utc_with_an_offset(server: AzureServer) -> None:
    server.add_vm("node")

    text = get_resource(server, f"{BASE}/virtualMachines/node", **{"api-version": VM_VERSION}).json()

    created = datetime.fromisoformat(text["properties"]["timeCreated"])
    assert created.utcoffset() == timedelta()
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=1)
