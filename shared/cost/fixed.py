"""What costs while machines are off: disks, snapshots, addresses, each priced where it is.

A full snapshot is billed as a whole. Of incremental ones the first holds the disk and each other what changed
since the one before; Azure does not tell how much that is:
https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shared.cloud.disk_meters import disk_meter_name, snapshot_meter_name
from shared.cloud.disks import Disk, Snapshot
from shared.cost.deps import CostDeps
from shared.cost.model import FixedCost
from shared.kernel.errors import GroundcrewError

log = logging.getLogger(__name__)


@dataclass
class FixedCosts:
    """What was found, and what costs too but nobody knows how much."""

    items: list[FixedCost] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)


def list_fixed_costs(job: CostDeps, notes: list[str]) -> FixedCosts:
    """All of them. Raises what keeps disks or snapshots from being listed."""
    disks, snapshots = job.disks.list(), list(job.disks.list_snapshots())
    costs = FixedCosts(
        [
            FixedCost(
                disk.name, "disk", disk_meter_name(disk), used=bool(disk.attached_to), region=disk.location
            )
            for disk in disks
        ]
    )
    change = job.inventory.policy.cost.snapshot_change_gb
    costs.items += full_snapshot_costs(disks, snapshots)
    costs.items += incremental_costs(disks, snapshots, change)
    if uncounted := describe_uncounted(snapshots, change):
        costs.uncounted.append(uncounted)
    # Said beside the figure: what Azure bills is less, and nobody can ask how much.
    if snapshots:
        notes.append("Snapshots: the whole disk's size stands for what a first or full one holds, at most.")
    costs.items += _address_costs(job, notes)
    return costs


def full_snapshot_costs(disks: Sequence[Disk], snapshots: Iterable[Snapshot]) -> Iterator[FixedCost]:
    """Each full snapshot with the whole of its disk."""
    known = {disk.id for disk in disks}
    for snapshot in snapshots:
        if not snapshot.incremental:
            yield FixedCost(
                snapshot.name, "snapshot", snapshot_meter_name(snapshot), Decimal(snapshot.size_gb),
                used=snapshot.disk in known, region=snapshot.location,
            )  # fmt: skip


def incremental_costs(
    disks: Sequence[Disk], snapshots: Iterable[Snapshot], change_gb: int | None
) -> Iterator[FixedCost]:
    """One whole disk for each set of incremental snapshots, and what changed in each further one."""
    known = {disk.id for disk in disks}
    families: dict[tuple[str, str, str], list[Snapshot]] = {}
    for snapshot in snapshots:
        if snapshot.incremental:
            # A snapshot in another region, or on other storage, begins a chain of its own with the whole
            # disk.
            key = snapshot.disk, snapshot.location, snapshot_meter_name(snapshot)
            families.setdefault(key, []).append(snapshot)
    for (disk, location, meter), members in sorted(families.items()):
        # A disk that was enlarged: the first one holds less, and at most this.
        whole = max(snapshot.size_gb for snapshot in members)
        changes = (len(members) - 1) * (change_gb or 0)
        name = f"snapshots of {disk.rpartition('/')[2]}"
        yield FixedCost(
            name, "snapshot", meter, Decimal(whole + changes), used=disk in known, region=location
        )


def describe_uncounted(snapshots: Sequence[Snapshot], change_gb: int | None) -> str:
    """What incremental snapshots hold beyond the first of each disk, where nobody says how much that is."""
    incremental = [snapshot for snapshot in snapshots if snapshot.incremental]
    further = len(incremental) - len({snapshot.disk for snapshot in incremental})
    if change_gb is not None or further <= 0:
        return ""
    return f"the changed parts of {further} incremental snapshots (cost.snapshot_change_gb says their size)"


def _address_costs(job: CostDeps, notes: list[str]) -> Iterator[FixedCost]:
    """Those that are kept while nothing runs; IPv6 is free, and dynamic ones are given back.

    https://azure.microsoft.com/pricing/details/ip-addresses
    """
    try:
        matches = job.addresses.list()
    except GroundcrewError as error:
        log.warning("cost.addresses_unavailable", extra={"error": str(error)})
        notes.append(
            f"Public IP addresses could not be listed ({error.message}): their price has to be added."
        )
        return
    for address in matches:
        # A dynamic address of a machine that is off is none, and costs nothing.
        if address.static and address.version == 4:
            meter = f"{address.sku} IPv4 Static Public IP"
            yield FixedCost(address.name, "address", meter, used=address.used, region=address.location)
