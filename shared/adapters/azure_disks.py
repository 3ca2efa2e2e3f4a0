"""Azure managed disks and snapshots behind `Disks`: plain REST.

https://learn.microsoft.com/rest/api/compute/disks, https://learn.microsoft.com/rest/api/compute/snapshots
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD, ArmId, Json, parse_tags
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.tags import find_tag
from shared.kernel.errors import AlreadyExists, NotFound, Unavailable, UsageError
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"
API_VERSION = "2026-03-02"
# Never to be had: a snapshot without a time would look old enough to be pruned.
_UNDATED = datetime.max.replace(tzinfo=UTC)


class AzureDisks:
    """The disks and snapshots of a subscription, or of one resource group of it."""

    def __init__(self, client: ArmClient, *, poll_every: timedelta = timedelta(seconds=2)) -> None:
        self._client, self._poll_every = client, poll_every

    def list(self, tag: tuple[str, str] | None = None) -> list[Disk]:
        """See `Disks.list`. The API has no filter by tag."""
        resources = self._client.list_resources(DISK, API_VERSION, "List the disks")
        disks = sorted(map(parse_disk, resources), key=lambda disk: disk.id)
        # Sorted by id, so that two runs take the disks of a machine in the same order.
        return [disk for disk in disks if tag is None or find_tag(disk.tags, tag[0]) == tag[1]]

    def list_snapshots(self) -> Iterator[Snapshot]:
        """See `Disks.list_snapshots`."""
        for page in self._client.list_pages(SNAPSHOT, API_VERSION, "List the snapshots"):
            yield from map(parse_snapshot, page)

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """See `Disks.get_snapshot`."""
        target = ArmId.parse(snapshot_id, SNAPSHOT)
        return parse_snapshot(self._client.get(target, API_VERSION, f"Snapshot {target.name}"))

    def create_snapshot(
        self, disk_id: str, name: str, tags: Mapping[str, str], *, timeout: timedelta = timedelta(minutes=2)
    ) -> Snapshot:
        """See `Disks.create_snapshot`."""
        disk = ArmId.parse(disk_id, DISK)
        message = f"Snapshot {name} of disk {disk.name}"
        body = {
            "location": parse_disk(self._client.get(disk, API_VERSION, message)).location,
            "tags": dict(tags),
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": str(disk)},
                "incremental": True,
                # It holds people's messages: nobody is to export it over the network. Without these two
                # Azure allows that to all networks.
                "networkAccessPolicy": "DenyAll",
                "publicNetworkAccess": "Disabled",
            },
        }
        target = replace(disk, kind=SNAPSHOT.lower(), name=name)
        return parse_snapshot(self._create(target, message, body, timeout))

    def delete_snapshot(self, snapshot_id: str) -> None:
        """See `Disks.delete_snapshot`."""
        target = ArmId.parse(snapshot_id, SNAPSHOT)
        self._client.send("DELETE", target, API_VERSION, f"Delete snapshot {target.name}")

    def set_tags(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """See `Disks.set_tags`."""
        target = ArmId.parse(resource_id)
        if target.kind not in (DISK.lower(), SNAPSHOT.lower()):
            raise UsageError("Neither a disk nor a snapshot", value=resource_id)
        # All tags and not the changed one: PATCH replaces the whole map, so whoever calls read it just
        # before.
        self._client.send("PATCH", target, API_VERSION, f"Tag {target.name}", body={"tags": dict(tags)})

    def create_disk(
        self, snapshot_id: str, name: str, sku: str, tags: Mapping[str, str], *, timeout: timedelta
    ) -> Disk:
        """See `Disks.create_disk`."""
        source = ArmId.parse(snapshot_id, SNAPSHOT)
        message = f"Disk {name} of snapshot {source.name}"
        body = {
            "location": parse_snapshot(self._client.get(source, API_VERSION, message)).location,
            "sku": {"name": sku},
            "tags": dict(tags),
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": str(source)},
                # It holds people's messages: nobody is to export it over the network.
                "networkAccessPolicy": "DenyAll",
                "publicNetworkAccess": "Disabled",
            },
        }
        target = replace(source, kind=DISK.lower(), name=name)
        return parse_disk(self._create(target, message, body, timeout))

    def delete_disk(self, disk_id: str) -> None:
        """See `Disks.delete_disk`."""
        target = ArmId.parse(disk_id, DISK)
        self._client.send("DELETE", target, API_VERSION, f"Delete disk {target.name}")

    def _create(self, target: ArmId, message: str, body: Json, timeout: timedelta) -> Json:
        # PUT is create-or-update: without this look a second call would quietly change the first one's.
        with suppress(NotFound):
            self._client.get(target, API_VERSION, target.name)
            raise AlreadyExists("There is one of that name", value=target.name, hint="Choose another name")
        created = self._client.wait_for(
            "PUT", target, API_VERSION, message, body=body, timeout=timeout, poll_every=self._poll_every
        )
        if created is None:
            hint = "Azure is still at it: look again before another try"
            raise Unavailable(f"{message}: not done in time", value=target.name, hint=hint)
        return created


def connect(
    credential: TokenCredential, subscription: str, *, group: str = "", base_url: str = PUBLIC_CLOUD
) -> AzureDisks:
    """The disks of `subscription` (in `group` only, if given)."""
    return AzureDisks(connect_arm(credential, subscription, group=group, base_url=base_url))


def parse_disk(disk: Mapping[str, Any]) -> Disk:
    """A `Disk` of the API."""
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
        # Azure changes the case of ids between its answers: all ids are compared in lower case.
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
        # A full snapshot tells no percentage; only an incremental one is copied in the background.
        100.0 if percent is None else float(percent),
        str((snapshot.get("sku") or {}).get("name") or ""),
    )
