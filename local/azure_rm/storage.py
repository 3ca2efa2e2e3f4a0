"""Managed disks and snapshots, rendered as Microsoft.Compute's disk API does.

Incremental snapshots, their limit per disk and their background copy:
https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import Json
from local.azure_rm.resources import ArmResource

# Performance tiers of Premium SSD by size: https://learn.microsoft.com/azure/virtual-machines/disks-types
_TIERS = ((4, 1), (8, 2), (16, 3), (32, 4), (64, 6), (128, 10), (256, 15), (512, 20), (1024, 30), (2048, 40))


def premium_tier(size_gb: int) -> str:
    """`P10` for 128 GiB; the next larger tier for sizes in between."""
    return next((f"P{tier}" for limit, tier in _TIERS if size_gb <= limit), "P50")


@dataclass
class StoredDisk(ArmResource):
    """A managed disk."""

    sku: str = "Premium_LRS"
    size_gb: int = 128
    attached_to: str = ""
    source: str = ""
    os_type: str = ""

    kind = "Microsoft.Compute/disks"

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - one signature for all
        """The disk as a GET answers it."""
        creation: Json = {"createOption": "Copy" if self.source else "Empty"}
        if self.source:
            # Where a disk comes from stays with it: that is how a test disk of a snapshot is known.
            creation |= {"sourceResourceId": self.source, "sourceUniqueId": self.unique_id}
        properties: Json = {
            "creationData": creation,
            "diskSizeGB": self.size_gb,
            "diskSizeBytes": self.size_gb << 30,
            "diskState": "Attached" if self.attached_to else "Unattached",
            "provisioningState": self.provisioning,
            "timeCreated": rest_time(self.created),
            "uniqueId": self.unique_id,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": "DenyAll",
            "publicNetworkAccess": "Disabled",
        }
        # The property is the performance tier, which Premium SSDs alone have.
        if self.sku.startswith("Premium_"):
            properties["tier"] = premium_tier(self.size_gb)
        if self.os_type:
            properties["osType"] = self.os_type
        # Missing on a disk that nothing holds.
        managed = {"managedBy": self.attached_to} if self.attached_to else {}
        sku = {"name": self.sku, "tier": self.sku.split("_")[0]}
        return self.envelope() | managed | {"sku": sku, "properties": properties}


@dataclass
class StoredSnapshot(ArmResource):
    """A snapshot; an incremental one is copied in the background after it was taken."""

    disk: str = ""
    disk_unique_id: str = ""
    size_gb: int = 128
    incremental: bool = True
    sku: str = "Standard_ZRS"
    copy_takes: timedelta = timedelta()
    network: tuple[str, str] = ("AllowAll", "Enabled")  # what Azure sets where nothing is asked for

    kind = "Microsoft.Compute/snapshots"

    def percent(self, now: datetime) -> float:
        """How much of the background copy is done: 0.0 to 100.0."""
        if self.copy_takes <= timedelta() or now >= self.created + self.copy_takes:
            return 100.0
        return max(0.0, round(100 * ((now - self.created) / self.copy_takes), 1))

    def body(self, now: datetime) -> Json:
        """The snapshot as a GET answers it."""
        properties: Json = {
            "creationData": {
                "createOption": "Copy",
                "sourceResourceId": self.disk,
                "sourceUniqueId": self.disk_unique_id,
            },
            "diskSizeGB": self.size_gb,
            "diskSizeBytes": self.size_gb << 30,
            "diskState": "Unattached",
            "provisioningState": self.provisioning,
            "timeCreated": rest_time(self.created),
            "uniqueId": self.unique_id,
            "incremental": self.incremental,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": self.network[0],
            "publicNetworkAccess": self.network[1],
        }
        if self.incremental:
            family = {"incrementalSnapshotFamilyId": self.disk_unique_id}
            # `Succeeded` comes at once; whole is it at 100:
            # https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots
            properties |= family | {"completionPercent": self.percent(now)}
        sku = {"name": self.sku, "tier": self.sku.split("_")[0]}
        return self.envelope() | {"sku": sku, "properties": properties}
