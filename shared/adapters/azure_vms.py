"""Azure virtual machines behind `Machines`: plain REST.

https://learn.microsoft.com/rest/api/compute/virtual-machines
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD, ArmId, parse_tags
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.machines import CommandResult, Machine, MachineState, PowerState
from shared.kernel.errors import Unavailable
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KIND = "Microsoft.Compute/virtualMachines"
API_VERSION = "2026-04-01"
_BUSY = frozenset({"creating", "updating", "deleting", "migrating"})
# Run-command tells no exit code, so the script's own is printed after it, where truncation cannot reach.
_EXIT = "groundcrew:exit="
_MESSAGE = re.compile(r"\[stdout\]\n(?P<stdout>.*)\n\[stderr\]\n(?P<stderr>.*)\Z", re.DOTALL)


class AzureMachines:
    """The machines of a subscription, or of one resource group of it."""

    def __init__(self, client: ArmClient, *, poll_every: timedelta = timedelta(seconds=5)) -> None:
        self._client, self._poll_every = client, poll_every

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        resources = self._client.list_resources(KIND, API_VERSION, "List the virtual machines")
        return sorted(map(parse_machine, resources), key=lambda machine: machine.id)

    def list_states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.list_states`. One listing: `statusOnly` carries the power states, but no tags."""
        message = "List the states of the virtual machines"
        # The listing of one group has no statusOnly: the subscription's is asked, and narrowed here.
        resources = self._client.list_resources(
            KIND, API_VERSION, message, whole=True, query={"statusOnly": "true"}
        )
        group_path = f"/resourcegroups/{self._client.group}/" if self._client.group else ""
        return {state.id: state for state in map(parse_status, resources) if group_path in state.id}

    def get_state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.get_state`."""
        machine = ArmId.parse(machine_id, KIND)
        message = f"State of virtual machine {machine.name}"
        return parse_view(
            str(machine), self._client.get(machine, API_VERSION, message, action="/instanceView")
        )

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        machine = ArmId.parse(machine_id, KIND)
        message = f"Start virtual machine {machine.name}"
        self._client.send("POST", machine, API_VERSION, message, action="/start")

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        machine = ArmId.parse(machine_id, KIND)
        message = f"Deallocate virtual machine {machine.name}"
        self._client.send("POST", machine, API_VERSION, message, action="/deallocate")

    def run_command(self, machine_id: str, script: str, *, timeout: timedelta) -> CommandResult:
        """See `Machines.run_command`."""
        machine = ArmId.parse(machine_id, KIND)
        message = f"Run a command in virtual machine {machine.name}"
        result = self._client.wait_for(
            "POST",
            machine,
            API_VERSION,
            message,
            action="/runCommand",
            body={"commandId": "RunShellScript", "script": _wrap_script(script)},
            timeout=timeout,
            poll_every=self._poll_every,
        )
        if result is None:
            hint = "The script may still be running; the guest agent may hang"
            raise Unavailable(f"{message}: no end in sight", value=str(timeout), hint=hint)
        return parse_command(result)


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureMachines:
    """The machines of `subscription` (in `group` only, if given)."""
    return AzureMachines(connect_arm(credential, subscription, group=group, base_url=base_url))


def parse_machine(vm: Mapping[str, Any]) -> Machine:
    """A `VirtualMachine` of the API."""
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
        # An unmanaged disk is a blob and has no id: nothing here can take a snapshot of it.
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
    # A machine that was just created has no power state yet, and one whose agent is down may show none.
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
    # Run-command puts both streams into one text, and keeps the last 4096 bytes of each:
    # https://learn.microsoft.com/azure/virtual-machines/linux/run-command#restrictions
    match = _MESSAGE.search(message)
    stdout, stderr = (match["stdout"], match["stderr"]) if match else (message, "")
    # The last one: a script may print the marker itself.
    text, marker, code = stdout.rpartition(_EXIT)
    if not marker or not code.strip().isdigit():
        return CommandResult(stdout, stderr, None)
    return CommandResult(text.removesuffix("\n"), stderr.removesuffix("\n"), int(code))


def _wrap_script(script: str) -> Sequence[str]:
    # A subshell, so that neither `exit` nor `set -e` keeps the marker from being printed.
    return ["(", *script.splitlines(), ")", f"printf '\\n{_EXIT}%d\\n' \"$?\""]


_POWER = {state.value: state for state in PowerState}
