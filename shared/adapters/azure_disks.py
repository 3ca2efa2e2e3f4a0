"""Azure managed disks and snapshots behind `Disks`, through `azure-mgmt-compute`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
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
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.tags import find_tag
from shared.kernel.errors import AlreadyExists, NotFound, Unavailable, UsageError
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.compute import ComputeManagementClient

DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"
# Never to be had: a snapshot without a time would look old enough to be pruned.
_UNDATED = datetime.max.replace(tzinfo=UTC)


class AzureDisks:
    """The disks and snapshots of a subscription, or of one resource group of it."""

    def __init__(
        self,
        client: ComputeManagementClient,
        *,
        group: str = "",
        poll_every: timedelta = timedelta(seconds=2),
    ) -> None:
        self._disks, self._snapshots = client.disks, client.snapshots
        self._group, self._poll_every = group.lower(), poll_every

    def list(self, tag: tuple[str, str] | None = None) -> list[Disk]:
        """See `Disks.list`. The API has no filter by tag."""
        with translate_arm_errors("List the disks"):
            pages = self._disks.list_by_resource_group(self._group) if self._group else self._disks.list()
            disks = sorted((parse_disk(disk) for disk in pages), key=lambda disk: disk.id)
        return [disk for disk in disks if tag is None or find_tag(disk.tags, tag[0]) == tag[1]]

    def snapshots(self) -> Iterator[Snapshot]:
        """See `Disks.snapshots`."""
        with translate_arm_errors("List the snapshots"):
            if self._group:
                pages = self._snapshots.list_by_resource_group(self._group)
            else:
                pages = self._snapshots.list()
            for page in pages.by_page():
                yield from [parse_snapshot(one) for one in page]

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """See `Disks.snapshot`."""
        target = ArmId.parse(snapshot_id, SNAPSHOT)
        with translate_arm_errors(f"Snapshot {target.name}"):
            return parse_snapshot(self._snapshots.get(target.group, target.name))

    def create_snapshot(
        self, disk_id: str, name: str, tags: Mapping[str, str], *, timeout: timedelta = timedelta(minutes=2)
    ) -> Snapshot:
        """See `Disks.create_snapshot`."""
        disk = ArmId.parse(disk_id, DISK)
        message = f"Snapshot {name} of disk {disk.name}"
        with translate_arm_errors(message):
            location = parse_disk(self._disks.get(disk.group, disk.name)).location
            # PUT is create-or-update: without this look a second call would quietly change the first one's.
            self._refuse_existing(self._snapshots, disk.group, name)
            body = {
                "location": location,
                "tags": dict(tags),
                "properties": {
                    "creationData": {"createOption": "Copy", "sourceResourceId": str(disk)},
                    "incremental": True,
                },
            }
            polling = bounded_polling(timeout, self._poll_every)
            begin = self._snapshots.begin_create_or_update
            return parse_snapshot(_wait_for_result(message, begin, disk.group, name, body, polling))

    def delete_snapshot(self, snapshot_id: str) -> None:
        """See `Disks.delete_snapshot`."""
        target = ArmId.parse(snapshot_id, SNAPSHOT)
        with translate_arm_errors(f"Delete snapshot {target.name}"):
            self._snapshots.begin_delete(target.group, target.name, polling=False)

    def set_tags(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """See `Disks.set_tags`."""
        target = ArmId.parse(resource_id)
        operations: dict[str, Any] = {DISK.lower(): self._disks, SNAPSHOT.lower(): self._snapshots}
        if target.kind not in operations:
            raise UsageError("Neither a disk nor a snapshot", value=resource_id)
        with translate_arm_errors(f"Tag {target.name}"):
            operations[target.kind].begin_update(
                target.group, target.name, {"tags": dict(tags)}, polling=False
            )

    def create_disk(
        self, snapshot_id: str, name: str, sku: str, tags: Mapping[str, str], *, timeout: timedelta
    ) -> Disk:
        """See `Disks.create_disk`."""
        source = ArmId.parse(snapshot_id, SNAPSHOT)
        message = f"Disk {name} of snapshot {source.name}"
        with translate_arm_errors(message):
            location = parse_snapshot(self._snapshots.get(source.group, source.name)).location
            self._refuse_existing(self._disks, source.group, name)
            body = {
                "location": location,
                "sku": {"name": sku},
                "tags": dict(tags),
                "properties": {
                    "creationData": {"createOption": "Copy", "sourceResourceId": str(source)},
                    # It holds people's messages: nobody is to export it over the network.
                    "networkAccessPolicy": "DenyAll",
                    "publicNetworkAccess": "Disabled",
                },
            }
            polling = bounded_polling(timeout, self._poll_every)
            begin = self._disks.begin_create_or_update
            return parse_disk(_wait_for_result(message, begin, source.group, name, body, polling))

    def delete_disk(self, disk_id: str) -> None:
        """See `Disks.delete_disk`."""
        target = ArmId.parse(disk_id, DISK)
        with translate_arm_errors(f"Delete disk {target.name}"):
            self._disks.begin_delete(target.group, target.name, polling=False)

    @staticmethod
    def _refuse_existing(operations: Any, group: str, name: str) -> None:
        try:
            with translate_arm_errors(name):
                operations.get(group, name)
        except NotFound:
            return
        raise AlreadyExists("There is one of that name", value=name, hint="Choose another name")


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureDisks:
    """The disks of `subscription` (in `group` only, if given). Imports the SDK."""
    return AzureDisks(compute_client(credential, subscription, base_url=base_url), group=group)


def parse_disk(disk: Mapping[str, Any]) -> Disk:
    """A `Disk` of the API, as JSON or as the SDK's model of it."""
    identity = ArmId.parse(disk["id"], DISK)
    properties = disk.get("properties") or {}
    return Disk(
        str(identity),
        disk["name"],
        identity.group,
        disk["location"],
        str((disk.get("sku") or {}).get("name") or ""),
        int(properties.get("diskSizeGB") or 0),
        parse_tags(disk),
        str(properties.get("tier") or ""),
        str(disk.get("managedBy") or "").lower(),
        parse_optional_timestamp(properties.get("timeCreated")),
        str((properties.get("creationData") or {}).get("sourceResourceId") or "").lower(),
        str(properties.get("provisioningState") or "").lower() == "succeeded",
        # https://learn.microsoft.com/rest/api/compute/disks/get#diskstate
        str(properties.get("diskState") or "").lower() == "reserved",
    )


def parse_snapshot(snapshot: Mapping[str, Any]) -> Snapshot:
    """A `Snapshot` of the API. One without a time is dated at the end of time, so that nobody prunes it."""
    identity = ArmId.parse(snapshot["id"], SNAPSHOT)
    properties = snapshot.get("properties") or {}
    percent = properties.get("completionPercent")
    return Snapshot(
        str(identity),
        snapshot["name"],
        identity.group,
        snapshot["location"],
        str((properties.get("creationData") or {}).get("sourceResourceId") or "").lower(),
        parse_optional_timestamp(properties.get("timeCreated")) or _UNDATED,
        int(properties.get("diskSizeGB") or 0),
        parse_tags(snapshot),
        bool(properties.get("incremental")),
        str(properties.get("provisioningState") or "").lower() == "succeeded",
        100.0 if percent is None else float(percent),
    )


def _wait_for_result(
    message: str, begin: Any, group: str, name: str, body: Mapping[str, Any], polling: Any
) -> Any:
    try:
        return begin(group, name, body, polling=polling).result()
    except OperationTimeout as error:
        hint = "Azure is still at it: look again before another try"
        raise Unavailable(f"{message}: not done in time", value=name, hint=hint) from error
