"""The policy of disk snapshots."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .backup import Retention
from .base import Duration, Section, TagPair, reject
from .computed import ComputedSnapshotPolicy

# https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots#restrictions
AZURE_SNAPSHOTS_PER_DISK = 500


class SnapshotPolicy(ComputedSnapshotPolicy, Section):
    """Which disks are snapshotted, how often, and how long the snapshots are kept."""

    disks: TagPair | None = Field(
        default=None, description="`key=value` of the disks' tag; without it no disk is chosen"
    )
    every: Duration = Field(
        default=timedelta(hours=24), description="how often, counted from `at`; a missed one is made up"
    )
    at: str = Field(
        default="03:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="local time of day from which `every` is counted",
        examples=["03:00"],
    )
    keep: Retention = Field(default=Retention(), description="how long each class is kept")
    lock: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="lock MongoDB for the call: when data and journal are on different disks, always, never",
    )
    check: Literal["never", "weekly"] = Field(
        default="never",
        description="make a disk of each disk's newest good snapshot, look at it and remove it; costs cents",
    )
    keep_until_tag: str = Field(
        default="keep-until",
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
        description="tag whose date protects a snapshot",
    )
    # Below Azure's 500: other tools and people take snapshots of the same disk, too, and the 501st call fails
    # whoever makes it.
    max_per_disk: int = Field(
        default=450,
        ge=2,
        le=AZURE_SNAPSHOTS_PER_DISK,
        description="snapshots of a disk, others' included; Azure allows 500",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.every < timedelta(hours=1):
            reject("every is shorter than an hour", "Write 1h or more; the oplog covers the time between")
        # Pruning runs between two snapshots, and would remove the only one.
        if self.every > self.keep.daily:
            reject("a snapshot would be removed before the next is made", "Keep daily longer than every")
        if self.keep.daily / self.every > self.max_per_disk:
            reject(
                f"{self.keep.daily // self.every} snapshots would exceed max_per_disk", "Snapshot less often"
            )
        return self
