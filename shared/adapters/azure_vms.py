"""Azure virtual machines behind `Machines`, through `azure-mgmt-compute`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.azure.arm import (
    PUBLIC_CLOUD,
    ArmId,
    OperationTimeout,
    bounded_polling,
    compute_client,
    parse_tags,
    translate_arm_errors,
)
from shared.cloud.machines import CommandResult, Machine, MachineState, PowerState
from shared.kernel.errors import Unavailable
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.compute import ComputeManagementClient

KIND = "Microsoft.Compute/virtualMachines"
_BUSY = frozenset({"creating", "updating", "deleting", "migrating"})
# Run-command tells no exit code, so the script's own is printed after it, where truncation cannot reach.
_EXIT = "groundcrew:exit="
_MESSAGE = re.compile(r"\[stdout\]\n(?P<stdout>.*)\n\[stderr\]\n(?P<stderr>.*)\Z", re.DOTALL)


class AzureMachines:
    """The machines of a subscription, or of one resource group of it."""

    def __init__(
        self,
        client: ComputeManagementClient,
        *,
        group: str = "",
        poll_every: timedelta = timedelta(seconds=5),
    ) -> None:
        self._vms, self._group, self._poll_every = client.virtual_machines, group.lower(), poll_every

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        with translate_arm_errors("List the virtual machines"):
            match = self._vms.list(self._group) if self._group else self._vms.list_all()
            return sorted((parse_machine(vm) for vm in match), key=lambda machine: machine.id)

    def states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.states`. One listing: `statusOnly` carries the power states, but no tags."""
        with translate_arm_errors("List the states of the virtual machines"):
            match = [parse_status(vm) for vm in self._vms.list_all(status_only="true")]
        group_path = f"/resourcegroups/{self._group}/" if self._group else ""
        return {state.id: state for state in match if group_path in state.id}

    def state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.state`."""
        machine = ArmId.parse(machine_id, KIND)
        with translate_arm_errors(f"State of virtual machine {machine.name}"):
            return parse_view(str(machine), self._vms.instance_view(machine.group, machine.name))

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        machine = ArmId.parse(machine_id, KIND)
        with translate_arm_errors(f"Start virtual machine {machine.name}"):
            self._vms.begin_start(machine.group, machine.name, polling=False)

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        machine = ArmId.parse(machine_id, KIND)
        with translate_arm_errors(f"Deallocate virtual machine {machine.name}"):
            self._vms.begin_deallocate(machine.group, machine.name, polling=False)

    def run_command(self, machine_id: str, script: str, *, timeout: timedelta) -> CommandResult:
        """See `Machines.run_command`."""
        machine = ArmId.parse(machine_id, KIND)
        message = f"Run a command in virtual machine {machine.name}"
        body: Any = {"commandId": "RunShellScript", "script": _wrap_script(script)}
        with translate_arm_errors(message):
            try:
                poller = self._vms.begin_run_command(
                    machine.group,
                    machine.name,
                    body,
                    polling=bounded_polling(timeout, self._poll_every),
                )
                return parse_command(poller.result())
            except OperationTimeout as error:
                hint = "The script may still be running; the guest agent may hang"
                raise Unavailable(f"{message}: no end in sight", value=str(timeout), hint=hint) from error


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureMachines:
    """The machines of `subscription` (in `group` only, if given). Imports the SDK."""
    return AzureMachines(compute_client(credential, subscription, base_url=base_url), group=group)


def parse_machine(vm: Mapping[str, Any]) -> Machine:
    """A `VirtualMachine` of the API, as JSON or as the SDK's model of it."""
    identity = ArmId.parse(vm["id"], KIND)
    properties = vm.get("properties") or {}
    storage = properties.get("storageProfile") or {}
    disks = [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]
    ids = [str((disk.get("managedDisk") or {}).get("id") or "").lower() for disk in disks]
    return Machine(
        str(identity),
        vm["name"],
        identity.group,
        vm["location"],
        str((properties.get("hardwareProfile") or {}).get("vmSize") or ""),
        parse_tags(vm),
        tuple(vm.get("zones") or ()),
        tuple(one for one in ids if one),
    )


def parse_status(vm: Mapping[str, Any]) -> MachineState:
    """An entry of the listing with `statusOnly=true`."""
    properties = vm.get("properties") or {}
    return parse_view(str(ArmId.parse(vm["id"], KIND)), properties.get("instanceView") or {})


def parse_view(machine_id: str, view: Mapping[str, Any]) -> MachineState:
    """A `VirtualMachineInstanceView`: statuses such as `PowerState/running` and `ProvisioningState/updating`.

    A failure follows its state: `ProvisioningState/failed/AllocationFailed`. Unknown codes are `UNKNOWN`.
    """
    power, busy, failure, detail, since = PowerState.UNKNOWN, False, "", "", None
    for status in view.get("statuses") or ():
        family, _, rest = str(status.get("code") or "").partition("/")
        label, _, code = rest.partition("/")
        if family.lower() == "powerstate":
            power = _POWER.get(label.lower(), PowerState.UNKNOWN)
        elif family.lower() == "provisioningstate":
            busy = label.lower() in _BUSY
            since = parse_optional_timestamp(status.get("time"))
            if label.lower() == "failed":
                failure, detail = code or "Failed", str(status.get("message") or "")
    return MachineState(machine_id, power, busy, failure, detail, since)


def parse_command(result: Mapping[str, Any]) -> CommandResult:
    """A `RunCommandResult`: on Linux one status whose message holds both streams."""
    statuses = result.get("value") or []
    message = "".join(str(status.get("message") or "") for status in statuses)
    match = _MESSAGE.search(message)
    stdout, stderr = (match["stdout"], match["stderr"]) if match else (message, "")
    text, marker, code = stdout.rpartition(_EXIT)
    if not marker or not code.strip().isdigit():
        return CommandResult(stdout, stderr, None)
    return CommandResult(text.removesuffix("\n"), stderr.removesuffix("\n"), int(code))


def _wrap_script(script: str) -> Sequence[str]:
    # A subshell, so that neither `exit` nor `set -e` keeps the marker from being printed.
    return ["(", *script.splitlines(), ")", f"printf '\\n{_EXIT}%d\\n' \"$?\""]


_POWER = {state.value: state for state in PowerState}
