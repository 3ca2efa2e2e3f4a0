"""Which meter of the price list a disk is billed by.

A disk is billed by its tier, the smallest that holds its size.
https://learn.microsoft.com/azure/virtual-machines/disks-types and
https://learn.microsoft.com/azure/virtual-machines/disks-understand-billing
"""

from __future__ import annotations

from shared.cloud.disks import Disk, Snapshot

_LETTERS = {"Premium": "P", "StandardSSD": "E", "Standard": "S"}
_SIZES_GB = {
    1: 4, 2: 8, 3: 16, 4: 32, 6: 64, 10: 128, 15: 256, 20: 512, 30: 1024, 40: 2048, 50: 4096,
    60: 8192, 70: 16384, 80: 32767,
}  # fmt: skip
_SMALLEST = {"P": 1, "E": 1, "S": 4}


def disk_meter_name(disk: Disk) -> str:
    """The meter's name, as `P10 LRS Disk`; for kinds that have no tiers a name that no price list has."""
    kind, _, redundancy = disk.sku.partition("_")
    letter = _LETTERS.get(kind)
    if letter is None or not redundancy:
        return f"{disk.sku or 'a disk of unknown kind'} ({disk.size_gb} GB)"
    tier = disk.tier or _smallest_tier(letter, disk.size_gb)
    return f"{tier} {redundancy} Disk"


def snapshot_meter_name(snapshot: Snapshot) -> str:
    """The meter of a snapshot, by what it is kept on: `ZRS Snapshots`, `Premium LRS Snapshots`.

    https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots: incremental ones are kept
    on standard storage whatever the disk's kind, in the redundancy that they were asked for.
    """
    kind, _, redundancy = snapshot.sku.partition("_")
    if not redundancy:
        return f"snapshots on {snapshot.sku or 'storage of unknown kind'}"
    return f"{'' if kind == 'Standard' else f'{kind} '}{redundancy} Snapshots"


def _smallest_tier(letter: str, size_gb: int) -> str:
    sufficient = (n for n, most in _SIZES_GB.items() if n >= _SMALLEST[letter] and size_gb <= most)
    return f"{letter}{next(sufficient, 80)}"
