"""Whether the machine behind a disk is off: then nothing is written to it, and no lock of MongoDB is left."""

from __future__ import annotations

from collections.abc import Iterable

from shared.cloud.disks import Disk
from shared.cloud.machines import PowerState
from shared.kernel.errors import GroundcrewError, NotFound
from shared.snapshots.deps import SnapshotDeps

_VIRTUAL_MACHINE = "/microsoft.compute/virtualmachines/"
# In both no process runs; a guest that shut itself down is STOPPED, and still paid for.
_OFF = (PowerState.DEALLOCATED, PowerState.STOPPED)


def is_machine_off(job: SnapshotDeps, machine: str, disks: Iterable[Disk]) -> bool:
    """Whether the machine is known to be off. False where that cannot be found out."""
    if _VIRTUAL_MACHINE in machine:
        try:
            return job.machines.get_state(machine).power in _OFF
        except NotFound:
            return True
        except GroundcrewError:
            return False
    # A node of AKS is an instance of a scale set, whose state is not asked for; its disks tell as much.
    attached = [disk for disk in disks if disk.attached_to == machine]
    return bool(machine) and bool(attached) and all(disk.reserved for disk in attached)


def are_all_machines_off(job: SnapshotDeps, disks: Iterable[Disk]) -> bool:
    """Whether every machine that the disks are attached to is off; False if there is none."""
    listed = list(disks)
    machines = {disk.attached_to for disk in listed if disk.attached_to}
    return bool(machines) and all(is_machine_off(job, machine, listed) for machine in machines)
