"""Long operations of the stand-in, seen through by Microsoft's own client."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import pytest
import requests
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.mgmt.compute import ComputeManagementClient, models

from local.azure_rm import AzureServer
from local.azure_rm.fleet import GROUP
from local.azure_rm.sdk import get_resource, real_client
from local.fakes.clock import ManualClock


def accepted(server: AzureServer, path: str) -> requests.Response:
    """The raw answer to a POST below the machine `node`."""
    headers = {"Authorization": f"Bearer {server.credential().get_token().token}"}
    url = f"{server.url}/subscriptions/{server.subscription}/resourceGroups/{GROUP}/providers"
    node = f"{url}/Microsoft.Compute/virtualMachines/node"
    return requests.post(f"{node}/{path}?api-version=2026-04-01", headers=headers, timeout=5)


@pytest.mark.parametrize(
    ("style", "headers"),
    [("azure-async-operation", {"Azure-AsyncOperation", "Location"}), ("location", {"Location"})],
)
def test_each_style_of_polling_has_its_own_headers(
    server: AzureServer, style: str, headers: set[str]
) -> None:
    server.api.polling, server.api.retry_after = style, 7
    server.add_vm("node")

    answer = accepted(server, "deallocate")

    assert answer.status_code == 202
    assert {name for name in answer.headers if name in ("Azure-AsyncOperation", "Location")} == headers
    assert answer.headers["Retry-After"] == "7"


def test_the_status_of_an_operation_goes_from_in_progress_to_an_end() -> None:
    delays = {"virtualMachines/deallocate": timedelta(minutes=1)}
    with AzureServer(clock=ManualClock(), delays=delays) as server:
        server.add_vm("node")
        answer = accepted(server, "deallocate")
        status = urlsplit(answer.headers["Azure-AsyncOperation"])
        monitor = urlsplit(answer.headers["Location"])

        def ask(url: SplitResult) -> requests.Response:
            return get_resource(server, url.path, **dict(parse_qsl(url.query)))

        assert (ask(status).status_code, ask(status).json()["status"]) == (200, "InProgress")
        assert ask(monitor).status_code == 202
        server.advance(timedelta(minutes=1))
        assert (ask(status).status_code, ask(status).json()["status"]) == (200, "Succeeded")
        assert ask(monitor).status_code == 204


@pytest.mark.parametrize("style", ["azure-async-operation", "location"])
def test_the_client_s_own_polling_sees_power_operations_through(
    server: AzureServer, client: ComputeManagementClient, style: str
) -> None:
    server.api.polling = style
    vm = server.add_vm("node")
    machines = client.virtual_machines

    for begin, power in (
        (machines.begin_restart, "running"),
        (machines.begin_power_off, "stopped"),
        (machines.begin_deallocate, "deallocated"),
        (machines.begin_start, "running"),
    ):
        begin(GROUP, "node").result()
        assert vm.power == power
        assert vm.provisioning == "Succeeded"


@pytest.mark.parametrize("style", ["azure-async-operation", "location"])
def test_a_capacity_failure_reaches_the_client_through_its_polling(
    server: AzureServer, client: ComputeManagementClient, style: str
) -> None:
    server.api.polling = style
    vm = server.add_vm("node", power="deallocated")
    server.faults.fail_operation("virtualMachines/start")

    with pytest.raises(HttpResponseError) as caught:
        client.virtual_machines.begin_start(GROUP, "node").result()

    assert caught.value.error.code == "AllocationFailed"
    assert (vm.power, vm.provisioning) == ("deallocated", "Failed")


@pytest.mark.parametrize("style", ["azure-async-operation", "location"])
def test_a_command_s_output_comes_as_one_status(
    server: AzureServer, client: ComputeManagementClient, style: str
) -> None:
    server.api.polling = style
    server.add_vm("node")
    server.guest.commands["microk8s"] = 'echo "microk8s $*"; echo warning >&2'
    body = models.RunCommandInput(command_id="RunShellScript", script=["microk8s stop", "rm -f x"])

    result = client.virtual_machines.begin_run_command(GROUP, "node", body).result()

    [status] = result.value
    assert status.code == "ProvisioningState/succeeded"
    out, _, err = status.message.partition("[stderr]")
    assert "[stdout]\nmicrok8s stop\n" in out
    assert "warning" in err
    assert "not found" in err  # nothing of this machine is on the script's path


def test_long_output_is_cut_to_its_last_4096_bytes(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    server.add_vm("node")
    loop = "i=0; while [ $i -lt 1000 ]; do echo line-$i; i=$((i+1)); done"
    body = models.RunCommandInput(command_id="RunShellScript", script=[loop])

    [status] = client.virtual_machines.begin_run_command(GROUP, "node", body).result().value

    stdout = status.message.partition("[stdout]\n")[2].partition("\n[stderr]")[0]
    assert len(stdout) == 4096
    assert stdout.endswith("line-999\n")


def test_a_snapshot_and_a_disk_go_through_their_lives(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    disk = server.add_disk("data")
    creation = models.CreationData(create_option="Copy", source_resource_id=disk.id)
    order = models.Snapshot(
        location="westeurope",
        tags={"owner": "x"},
        properties=models.SnapshotProperties(creation_data=creation, incremental=True),
    )

    snapshot = client.snapshots.begin_create_or_update(GROUP, "data-1", order).result()
    copy = models.CreationData(create_option="Copy", source_resource_id=snapshot.id)
    restored = client.disks.begin_create_or_update(
        GROUP,
        "again",
        models.Disk(location="westeurope", properties=models.DiskProperties(creation_data=copy)),
    ).result()

    assert (snapshot.provisioning_state, snapshot.incremental, snapshot.completion_percent) == (
        "Succeeded",
        True,
        100.0,
    )
    assert snapshot.incremental_snapshot_family_id == client.disks.get(GROUP, "data").unique_id
    assert restored.creation_data.source_resource_id == snapshot.id
    assert restored.disk_state == "Unattached"
    assert client.snapshots.begin_update(GROUP, "data-1", {"tags": {"n": "2"}}).result().tags == {"n": "2"}
    client.snapshots.begin_delete(GROUP, "data-1").result()
    client.disks.begin_delete(GROUP, "again").result()
    assert list(client.snapshots.list()) == []
    with pytest.raises(ResourceNotFoundError):
        client.disks.get(GROUP, "again")


def test_a_name_cannot_be_given_to_a_snapshot_of_another_disk(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    server.add_snapshot("data-1", server.add_disk("data"))
    creation = {"createOption": "Copy", "sourceResourceId": server.add_disk("other").id}
    order: Any = {"location": "westeurope", "properties": {"creationData": creation, "incremental": True}}

    with pytest.raises(ResourceExistsError) as caught:
        client.snapshots.begin_create_or_update(GROUP, "data-1", order, polling=False)

    assert caught.value.error.code == "PropertyChangeNotAllowed"


def test_two_operations_on_a_machine_conflict_but_not_on_two_machines() -> None:
    with AzureServer(clock=ManualClock()) as server, real_client(server) as client:
        server.add_vm("one")
        server.add_vm("two")
        client.virtual_machines.begin_deallocate(GROUP, "one", polling=False)

        client.virtual_machines.begin_deallocate(GROUP, "two", polling=False)
        with pytest.raises(ResourceExistsError) as caught:
            client.virtual_machines.begin_start(GROUP, "one", polling=False)

        assert caught.value.error.code == "Conflict"


def test_a_hanging_operation_never_ends() -> None:
    with AzureServer(clock=ManualClock()) as server, real_client(server) as client:
        vm = server.add_vm("node")
        server.faults.hang_operation("virtualMachines/deallocate")

        client.virtual_machines.begin_deallocate(GROUP, "node", polling=False)
        server.advance(timedelta(days=30))

        assert vm.power == "deallocating"


def test_a_renamed_machine_keeps_its_disks(server: AzureServer, client: ComputeManagementClient) -> None:
    vm = server.add_vm("old", tags={"a": "b"})

    server.rename_vm(vm, "new")

    [seen] = client.virtual_machines.list_all()
    assert (seen.name, seen.tags) == ("new", {"a": "b"})
    assert client.disks.get(GROUP, "old-os").managed_by == seen.id
