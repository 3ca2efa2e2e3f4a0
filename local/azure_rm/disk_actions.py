"""What can be done to disks and snapshots: create from a source, delete, tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from local.azure_rm.replies import ArmError, Json
from local.azure_rm.resources import ArmOperation
from local.azure_rm.storage import StoredDisk, StoredSnapshot
from local.azure_rm.vm_actions import read_tags
from local.azure_rm.world import ArmWorld

R = TypeVar("R", StoredDisk, StoredSnapshot)


def put_snapshot(
    world: ArmWorld, group: str, name: str, body: Json
) -> tuple[StoredSnapshot, ArmOperation | None]:
    """Begin a snapshot of a disk; the point in time is that of the call.

    The same PUT once more is an update and answers with what runs, if anything does.
    """
    disk = world.by_id(StoredDisk, _source_id(body))
    # Full is the default, and bills the whole disk each time.
    incremental = bool(body.get("properties", {}).get("incremental", False))
    if (before := world.find(StoredSnapshot, group, name)) is not None:
        return _repeat_write(before, before.disk, disk.id, body)
    # The service's own limit for each disk; a pruning that fails for weeks ends here.
    if incremental and _count_snapshots(world, disk) >= world.incremental_limit:
        limit = world.incremental_limit
        raise ArmError(
            409, "OperationNotAllowed", f"Disk '{disk.name}' has {limit} incremental snapshots, the maximum."
        )
    snapshot = StoredSnapshot(
        world.subscription,
        group,
        name,
        _location_of(body),
        world.clock.now(),
        read_tags(body),
        provisioning="Updating",
        disk=disk.id,
        disk_unique_id=disk.unique_id,
        size_gb=disk.size_gb,
        incremental=incremental,
        sku=(body.get("sku") or {}).get("name", "Standard_LRS"),
        copy_takes=world.delays.get("snapshots/copy", timedelta()),
        network=_network_of(body),
    )
    return world.add(snapshot), world.begin("snapshots/write", snapshot, "PUT", _settle_write(world))


def _network_of(body: Json) -> tuple[str, str]:
    properties = body.get("properties", {})
    asked = (
        properties.get("networkAccessPolicy", "AllowAll"),
        properties.get("publicNetworkAccess", "Enabled"),
    )
    return str(asked[0]), str(asked[1])


def put_disk(world: ArmWorld, group: str, name: str, body: Json) -> tuple[StoredDisk, ArmOperation | None]:
    """Begin a disk that is a copy of a snapshot; the same PUT once more is an update."""
    snapshot = world.by_id(StoredSnapshot, _source_id(body))
    percent = snapshot.percent(world.clock.now())
    # A disk of a snapshot that is still copied is refused; `Succeeded` alone does not say that it is whole.
    if percent < 100:
        raise ArmError(409, "Conflict", f"Snapshot '{snapshot.name}' is copied by {percent} percent only.")
    if (before := world.find(StoredDisk, group, name)) is not None:
        return _repeat_write(before, before.source, snapshot.id, body)
    # Without one the snapshot's own; it may be larger, never smaller.
    size_gb = int(body.get("properties", {}).get("diskSizeGB") or snapshot.size_gb)
    disk = StoredDisk(
        world.subscription,
        group,
        name,
        _location_of(body),
        world.clock.now(),
        read_tags(body),
        provisioning="Updating",
        sku=(body.get("sku") or {}).get("name", "Standard_LRS"),
        size_gb=size_gb,
        source=snapshot.id,
    )
    return world.add(disk), world.begin("disks/write", disk, "PUT", _settle_write(world))


def begin_delete(world: ArmWorld, resource: StoredDisk | StoredSnapshot) -> ArmOperation:
    """Begin a deletion. Raises 409 for a disk that is attached."""
    # Also while the machine is off: nothing of a disk in use is deleted by mistake.
    if isinstance(resource, StoredDisk) and resource.attached_to:
        text = f"Disk {resource.name} is attached to VM {resource.attached_to}."
        raise ArmError(409, "OperationNotAllowed", text)
    before = resource.provisioning

    def finish(operation: ArmOperation) -> None:
        if operation.failure:
            resource.provisioning = before
        else:
            world.remove(resource)

    verb = "snapshots/delete" if isinstance(resource, StoredSnapshot) else "disks/delete"
    operation = world.begin(verb, resource, "DELETE", finish)
    resource.provisioning = "Deleting"
    return operation


def _repeat_write(before: R, source: str, source_id: str, body: Json) -> tuple[R, ArmOperation | None]:
    # A name that is taken by a copy of another disk: the same PUT must not turn into that one's update.
    if source.lower() != source_id.lower():
        text = f"Changing property 'creationData.sourceResourceId' of '{before.name}' is not allowed."
        raise ArmError(409, "PropertyChangeNotAllowed", text)
    before.tags = read_tags(body)
    return before, before.operation


def _settle_write(world: ArmWorld) -> Callable[[ArmOperation], None]:
    def finish(operation: ArmOperation) -> None:
        resource = operation.resource
        resource.provisioning = "Failed" if operation.failure else "Succeeded"
        if operation.failure:
            world.remove(resource)

    return finish


def _count_snapshots(world: ArmWorld, disk: StoredDisk) -> int:
    disk_id = disk.id.lower()
    return sum(1 for one in world.listing(StoredSnapshot) if one.incremental and one.disk.lower() == disk_id)


def _source_id(body: Json) -> str:
    creation = body.get("properties", {}).get("creationData", {})
    # The only way in which Groundcrew makes either.
    if creation.get("createOption") != "Copy" or not creation.get("sourceResourceId"):
        raise ArmError(
            400, "InvalidParameter", "Required parameter 'creationData.sourceResourceId' is missing."
        )
    return str(creation["sourceResourceId"])


def _location_of(body: Json) -> str:
    if not body.get("location"):
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    return str(body["location"])
