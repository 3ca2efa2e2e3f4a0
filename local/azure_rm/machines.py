"""Virtual machines: their model, their instance view and how their power moves.

Fields follow Microsoft.Compute's OpenAPI; states and what they mean:
https://learn.microsoft.com/azure/virtual-machines/states-billing
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import Json
from local.azure_rm.resources import ArmResource


@dataclass(frozen=True)
class Moment:
    """The state of a machine from a moment on."""

    at: datetime
    power: str
    provisioning: str = "Succeeded"
    failure: tuple[str, str] | None = None


@dataclass
class DiskRef:
    """A managed disk as a machine's storage profile names it."""

    name: str
    id: str
    sku: str
    size_gb: int


@dataclass
class Vm(ArmResource):
    """A virtual machine and the history of its states, so that a view can lag behind."""

    size: str = "Standard_D4ads_v5"
    zones: tuple[str, ...] = ()
    disks: list[DiskRef] = field(default_factory=list)
    # The whole past: views of Azure may show a state of minutes ago.
    history: list[Moment] = field(default_factory=list)

    kind = "Microsoft.Compute/virtualMachines"

    @property
    def power(self) -> str:
        """The true power state now: running, starting, stopping, stopped, deallocating, deallocated."""
        return self.history[-1].power

    def move(
        self,
        at: datetime,
        *,
        power: str | None = None,
        provisioning: str = "Succeeded",
        failure: tuple[str, str] | None = None,
    ) -> None:
        """Enter a state."""
        self.provisioning = provisioning
        self.history.append(Moment(at, power or self.power, provisioning, failure))

    def state_at(self, now: datetime, lag: timedelta) -> Moment:
        """The state that a view shows which is `lag` late."""
        past = [entry for entry in self.history if entry.at <= now - lag]
        return past[-1] if past else self.history[0]

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - one signature for all
        """The model view, without the instance view."""
        properties: Json = {
            "vmId": self.unique_id,
            "hardwareProfile": {"vmSize": self.size},
            "storageProfile": self._storage_profile(),
            "osProfile": {
                "computerName": self.name,
                "adminUsername": "operator",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "provisionVMAgent": True},
            },
            "networkProfile": {
                "networkInterfaces": [{"id": self._network_interface(), "properties": {"primary": True}}]
            },
            "provisioningState": self.provisioning,
            "timeCreated": rest_time(self.created),
        }
        # Missing where there are none, not empty.
        zones = {"zones": list(self.zones)} if self.zones else {}
        return self.envelope() | zones | {"properties": properties}

    def status_body(self, now: datetime, lag: timedelta) -> Json:
        """The entry in a listing with `statusOnly=true`: the run-time status, no tags, no profiles.

        Azure writes the resource group in capitals there; whoever compares ids must not care.
        """
        shouted = self.id.replace(f"/resourceGroups/{self.group}/", f"/resourceGroups/{self.group.upper()}/")
        return {
            "name": self.name,
            "id": shouted,
            "type": self.kind,
            "location": self.location,
            "properties": {
                "vmId": self.unique_id,
                "provisioningState": self.state_at(now, lag).provisioning,
                "instanceView": {"statuses": self._state_statuses(self.state_at(now, lag))},
            },
        }

    def instance_view(self, now: datetime, lag: timedelta) -> Json:
        """The run-time state, as of `lag` ago."""
        shown = self.state_at(now, lag)
        view: Json = {
            "computerName": self.name,
            "osName": "ubuntu",
            "osVersion": "24.04",
            "hyperVGeneration": "V2",
            "disks": [self._disk_status(disk) for disk in self.disks],
            "statuses": self._state_statuses(shown),
        }
        # The agent reports from a running system only, and Run Command goes through it.
        if shown.power == "running":
            ready = _instance_status("ProvisioningState/succeeded", "Ready", shown.at)
            view["vmAgent"] = {"vmAgentVersion": "2.11.1.12", "extensionHandlers": [], "statuses": [ready]}
        return view

    def _state_statuses(self, shown: Moment) -> list[Json]:
        label = shown.provisioning.lower()
        code = f"ProvisioningState/{label}"
        provisioning = _instance_status(
            code, "Updating" if label == "updating" else f"Provisioning {label}", shown.at
        )
        if shown.failure is not None:
            # A failed operation stays visible in the view until the next one, with its code as a suffix.
            provisioning["code"] = f"{code}/{shown.failure[0]}"
            provisioning |= {"level": "Error", "message": shown.failure[1]}
        # Two statuses in one list: the power state is the one whose code begins with PowerState.
        return [provisioning, _instance_status(f"PowerState/{shown.power}", f"VM {shown.power}")]

    def _disk_status(self, disk: DiskRef) -> Json:
        return {
            "name": disk.name,
            "statuses": [
                _instance_status("ProvisioningState/succeeded", "Provisioning succeeded", self.created)
            ],
        }

    def _network_interface(self) -> str:
        base = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{base}/providers/Microsoft.Network/networkInterfaces/{self.name}-nic"

    def _storage_profile(self) -> Json:
        image = {
            "publisher": "Canonical",
            "offer": "ubuntu-24_04-lts",
            "sku": "server",
            "version": "latest",
            "exactVersion": "24.04.202601010",
        }
        profile: Json = {"imageReference": image, "dataDisks": []}
        for number, disk in enumerate(self.disks):
            entry: Json = {
                "name": disk.name,
                "caching": "ReadWrite" if number == 0 else "None",
                "diskSizeGB": disk.size_gb,
                "managedDisk": {"id": disk.id, "storageAccountType": disk.sku},
                "deleteOption": "Detach",
            }
            if number == 0:
                # Apart from the data disks, as a reader of `dataDisks` alone would take no snapshot of the
                # system.
                profile["osDisk"] = entry | {"osType": "Linux", "createOption": "FromImage"}
            else:
                data: Json = {"lun": number - 1, "createOption": "Attach", "toBeDetached": False}
                profile["dataDisks"].append(entry | data)
        return profile


def _instance_status(code: str, display: str, at: datetime | None = None) -> Json:
    status: Json = {"code": code, "level": "Info", "displayStatus": display}
    if at is not None:
        status["time"] = rest_time(at)
    return status
