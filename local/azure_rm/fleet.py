"""What tests and demonstrations put into the subscription, and what happens there behind everybody's back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from local.azure_rm.addresses import PublicAddress
from local.azure_rm.clock import MovableClock
from local.azure_rm.clusters import StoredCluster
from local.azure_rm.machines import DiskRef, Moment, Vm
from local.azure_rm.storage import StoredDisk, StoredSnapshot
from local.azure_rm.storage_accounts import StoredAccount
from local.azure_rm.world import ArmWorld

SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
GROUP = "rocketchat"
LOCATION = "westeurope"


class Fleet:
    """The resources of one subscription. All methods may be called from any thread."""

    def __init__(self, world: ArmWorld, clock: MovableClock) -> None:
        self.world, self.clock = world, clock
        self.subscription = world.subscription

    def add_vm(
        self,
        name: str,
        *,
        group: str = GROUP,
        size: str = "Standard_D4ads_v5",
        power: str = "running",
        tags: Mapping[str, str] | None = None,
        zones: tuple[str, ...] = (),
        data_disks: int = 1,
    ) -> Vm:
        """A machine in that power state, with an OS disk and data disks."""
        now = self.clock.now()
        with self.world.lock:
            vm = Vm(SUBSCRIPTION, group, name, LOCATION, now, dict(tags or {}), size=size, zones=zones)
            vm.history.append(Moment(now, power))
            # The OS disk first, as in a storage profile.
            names = [f"{name}-os", *(f"{name}-data{number}" for number in range(data_disks))]
            for number, disk_name in enumerate(names):
                disk = self.add_disk(disk_name, group=group, size_gb=128 if number else 64)
                disk.attached_to, disk.os_type = vm.id, "" if number else "Linux"
                vm.disks.append(DiskRef(disk.name, disk.id, disk.sku, disk.size_gb))
            return self.world.add(vm)

    def add_disk(
        self,
        name: str,
        *,
        group: str = GROUP,
        sku: str = "Premium_LRS",
        size_gb: int = 128,
        tags: Mapping[str, str] | None = None,
    ) -> StoredDisk:
        """A disk that is not attached."""
        now = self.clock.now()
        with self.world.lock:
            disk = StoredDisk(
                SUBSCRIPTION, group, name, LOCATION, now, dict(tags or {}), sku=sku, size_gb=size_gb
            )
            return self.world.add(disk)

    def add_snapshot(
        self,
        name: str,
        disk: StoredDisk,
        *,
        created: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        incremental: bool = True,
    ) -> StoredSnapshot:
        """A snapshot that was taken and copied before."""
        with self.world.lock:
            snapshot = StoredSnapshot(
                SUBSCRIPTION,
                disk.group,
                name,
                LOCATION,
                created or self.clock.now(),
                dict(tags or {}),
                disk=disk.id,
                disk_unique_id=disk.unique_id,
                size_gb=disk.size_gb,
                incremental=incremental,
            )
            return self.world.add(snapshot)

    def add_cluster(self, name: str, *, group: str = GROUP, power: str = "Running") -> StoredCluster:
        """An AKS cluster."""
        with self.world.lock:
            return self.world.add(
                StoredCluster(SUBSCRIPTION, group, name, LOCATION, self.clock.now(), power=power)
            )

    def add_storage_account(self, name: str, *, group: str = GROUP) -> StoredAccount:
        """A storage account with two keys."""
        now = self.clock.now()
        with self.world.lock:
            return self.world.add(StoredAccount(SUBSCRIPTION, group, name, LOCATION, now))

    def add_address(
        self,
        name: str,
        *,
        group: str = GROUP,
        sku: str = "Standard",
        static: bool = True,
        version: str = "IPv4",
        held_by: str = "",
    ) -> PublicAddress:
        """A public IP address."""
        now = self.clock.now()
        with self.world.lock:
            address = PublicAddress(
                SUBSCRIPTION, group, name, LOCATION, now,
                sku=sku, static=static, version=version, held_by=held_by,
            )  # fmt: skip
            return self.world.add(address)

    def delete_vm(self, vm: Vm) -> None:
        """Somebody deleted the machine; its disks stay."""
        with self.world.lock:
            self.world.remove(vm)
            for disk in self.world.listing(StoredDisk, vm.group):
                # Disks outlive their machine by default (`deleteOption: Detach`), and go on costing.
                disk.attached_to = "" if disk.attached_to == vm.id else disk.attached_to

    def rename_vm(self, vm: Vm, name: str) -> Vm:
        """Somebody built the machine anew under another name, around the same disks."""
        self.delete_vm(vm)
        with self.world.lock:
            renamed = Vm(
                SUBSCRIPTION, vm.group, name, vm.location, self.clock.now(), dict(vm.tags), size=vm.size
            )
            # Another resource with another id: whoever remembers ids has to see that it is not the old one.
            renamed.history.append(Moment(self.clock.now(), vm.power))
            renamed.disks = list(vm.disks)
            held = {ref.id for ref in renamed.disks}
            for disk in self.world.listing(StoredDisk, vm.group):
                disk.attached_to = renamed.id if disk.id in held else disk.attached_to
            return self.world.add(renamed)

    def stop_as(self, vm: Vm, caller: str, *, action: str = "deallocate", status: str = "Succeeded") -> None:
        """Somebody stopped the machine (or tried to) through Azure, with an account of that name."""
        now = self.clock.now()
        name = f"{vm.kind}/{action}/action"
        with self.world.lock:
            self.world.activity.add_operation(vm.id, name, caller, [(now, "Started"), (now, status)])
            if status == "Succeeded":
                title = "This virtual machine is stopping as requested by an authorized user or process"
                self.world.activity.add_health(vm.id, now, "UserInitiated", title)
                self.set_power(vm, "deallocated" if action == "deallocate" else "stopped")

    def evict(self, vm: Vm) -> None:
        """Azure wants a Spot machine's hardware back."""
        now = self.clock.now()
        with self.world.lock:
            name = f"{vm.kind}/evictSpotVM/action"
            # Without a caller: nobody's decision, which a reader has to tell from a person's.
            self.world.activity.add_operation(vm.id, name, None, [(now, "Started"), (now, "Succeeded")])
            self.set_power(vm, "deallocated")

    def lose_host(self, vm: Vm) -> None:
        """The hardware failed, and the machine was not healed onto another."""
        with self.world.lock:
            title = "Virtual machine has experienced an unexpected event"
            self.world.activity.add_health(vm.id, self.clock.now(), "PlatformInitiated", title)
            self.set_power(vm, "deallocated")

    def shut_down_inside(self, vm: Vm) -> None:
        """`poweroff` in the guest: no operation of Azure, only a change of health."""
        with self.world.lock:
            title = "This virtual machine was stopped by a process or user inside of it"
            self.world.activity.add_health(vm.id, self.clock.now(), "UserInitiated", title)
            # Stopped, not deallocated: it is off and billed all the same.
            self.set_power(vm, "stopped")

    def set_power(self, vm: Vm, power: str) -> None:
        """The state changed without an operation: a shutdown from inside, an eviction."""
        with self.world.lock:
            vm.move(self.clock.now(), power=power)
