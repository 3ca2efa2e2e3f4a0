"""Which disks need a snapshot now, and which snapshots may go.

Level-triggered: a disk needs one when its newest good snapshot is from before the newest due time, however
many runs were missed. Pruning is the retention core's, disk by disk.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.cloud.tags import fold_tags, has_tag
from shared.kernel.timestamps import format_compact, format_minute
from shared.policy.values import format_policy_duration, parse_day
from shared.retention.decide import Item, Remove, RetentionDecision, choose_class, plan_retention
from shared.snapshots.schedule import latest_due

if TYPE_CHECKING:
    from shared.policy import Retention, SnapshotPolicy

OWNER_TAG = "groundcrew-owner"
CLASS_TAG = "groundcrew-class"
EXPIRES_TAG = "groundcrew-expires"
PROVEN_TAG = "groundcrew-proven"

# A snapshot that has not become good after this time is taken for failed, and another is made.
PENDING_TIMEOUT = timedelta(hours=2)
# An eighth of the interval: three hours of a day.
_EARLY_PART = 8


@dataclass(frozen=True, slots=True)
class SourceDisk:
    """A managed disk. `id` is its resource id; Azure compares those without case."""

    id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DiskSnapshot:
    """A snapshot as Azure lists it: `taken` is the server's creation time, never a tag's.

    `complete` is false while the background copy runs (`completionPercent` below 100).
    """

    id: str
    name: str
    disk_id: str
    taken: datetime
    state: str = "Succeeded"
    complete: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """A snapshot to be made: of which disk, under which name, with which tags, and why."""

    disk: SourceDisk
    name: str
    retention_class: str
    tags: Mapping[str, str]
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A selected disk that gets no snapshot now, and why."""

    disk: SourceDisk
    reason: str
    limit_reached: bool = False  # more must be kept than `max_per_disk` allows: somebody has to act


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """What to take, what not, and the decision on each snapshot there is (`Item.name` is the id)."""

    create: tuple[SnapshotRequest, ...]
    skipped: tuple[Skip, ...]
    decisions: tuple[RetentionDecision, ...]

    @property
    def unreadable(self) -> tuple[Item, ...]:
        """Snapshots that are kept because nobody can read until when: somebody has to correct the tag."""
        return tuple(d.item for d in self.decisions if d.item.managed and d.item.retention_reason)


def plan_snapshots(
    disks: Iterable[SourceDisk],
    snapshots: Iterable[DiskSnapshot],
    policy: SnapshotPolicy,
    now: datetime,
    *,
    zone: tzinfo = UTC,
    owner: str = "groundcrew",
) -> SnapshotPlan:
    """What to make and what to remove now. `zone` decides where a week and a month begin.

    Ours are the snapshots tagged with `owner`; others are never removed, but count against the limit per
    disk. Where that limit is reached and nothing may go, no snapshot is made, and the reason says so.
    """
    by_disk: defaultdict[str, list[DiskSnapshot]] = defaultdict(list)
    for snapshot in snapshots:
        # Azure changes the case of ids between a disk and its snapshots.
        by_disk[snapshot.disk_id.lower()].append(snapshot)
    create: list[SnapshotRequest] = []
    skipped: list[Skip] = []
    decisions: list[RetentionDecision] = []
    for disk in sorted(
        (disk for disk in disks if _is_selected(disk, policy)), key=lambda disk: disk.id.lower()
    ):
        existing = by_disk.pop(disk.id.lower(), [])
        items = [_retention_item(snapshot, policy, zone, owner) for snapshot in existing]
        not_due = _skip_reason(items, existing, policy, zone, now)
        plan = plan_retention(items, _effective_retention(policy, reserve_slot=not not_due), now)
        decisions += plan
        if not_due:
            skipped.append(Skip(disk, not_due))
        elif full := _limit_reason(plan, policy):
            skipped.append(Skip(disk, full, limit_reached=True))
        else:
            create.append(_build_request(disk, items, policy, now, zone, owner))
    # Snapshots of disks that were deleted or are no longer selected are pruned all the same.
    for _, existing in sorted(by_disk.items()):
        items = [_retention_item(snapshot, policy, zone, owner) for snapshot in existing]
        decisions += plan_retention(items, _effective_retention(policy, reserve_slot=False), now)
    return SnapshotPlan(tuple(create), tuple(skipped), tuple(decisions))


def snapshot_name(disk: SourceDisk, now: datetime) -> str:
    """A valid name (80 characters of letters, digits, `_`, `.`, `-`) that sorts by time.

    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcompute
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", disk.name).lstrip("_.-")[:48] or "disk"
    # The names of two disks may differ only in what was cut off, or in their resource group.
    digest = sha256(disk.id.lower().encode()).hexdigest()[:8]
    return f"{stem}-{digest}-{format_compact(now)}"


def parse_retained_until(text: str, zone: tzinfo = UTC) -> datetime | None:
    """The end of a day (`2026-12-24`, `24.12.2026`) on the zone's clock, or a time; None if unreadable."""
    day = parse_day(text.strip())
    try:
        if day is not None:
            return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
        until = datetime.fromisoformat(text.strip())
        return (until if until.tzinfo else until.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_selected(disk: SourceDisk, policy: SnapshotPolicy) -> bool:
    if policy.disks is None:
        return False
    return has_tag(disk.tags, policy.disks)


def _retention_item(snapshot: DiskSnapshot, policy: SnapshotPolicy, zone: tzinfo, owner: str) -> Item:
    tags = fold_tags(snapshot.tags)
    tag_value = tags.get(policy.keep_until_tag.lower())
    retained_until = None if tag_value is None else parse_retained_until(tag_value, zone)
    unreadable = tag_value is not None and retained_until is None
    return Item(
        snapshot.id,
        snapshot.taken,
        tags.get(CLASS_TAG, "daily"),
        snapshot.state == "Succeeded" and snapshot.complete,
        PROVEN_TAG in tags,
        tags.get(OWNER_TAG) == owner,
        retained_until,
        # A date that nobody can read was meant to protect, an empty one too.
        f"{policy.keep_until_tag} '{(tag_value or '')[:40]}' is not a date" if unreadable else "",
    )


def _newest_good_time(items: Iterable[Item], now: datetime) -> datetime | None:
    return max(
        (item.taken for item in items if item.complete and item.managed and item.taken <= now), default=None
    )


def _skip_reason(
    items: list[Item], existing: list[DiskSnapshot], policy: SnapshotPolicy, zone: tzinfo, now: datetime
) -> str:
    """Why the disk needs none; empty if it does."""
    newest = _newest_good_time(items, now)
    due = latest_due(policy.every, policy.time_of_day, zone, now)
    # One that was taken shortly before, by hand or with a disk beside it, stands for the one that is due.
    if newest is not None and newest > due - policy.every / _EARLY_PART:
        return f"newest good snapshot is from {format_minute(newest)}"
    for item, snapshot in zip(items, existing, strict=True):
        if (
            item.managed
            and not item.complete
            and snapshot.state != "Failed"
            and abs(now - item.taken) < PENDING_TIMEOUT
        ):
            return f"snapshot {snapshot.name} is under way"
    return ""


def _effective_retention(policy: SnapshotPolicy, *, reserve_slot: bool) -> Retention:
    """The policy's, with Azure's limit per disk in view and room for one more where that is wanted."""
    # Pruned to one below where one is to be taken: the new one would be refused by Azure, not by us.
    limit = policy.max_per_disk - reserve_slot
    own = policy.keep.maximum
    return policy.keep.model_copy(update={"maximum": limit if own is None else min(limit, own)})


def _limit_reason(plan: tuple[RetentionDecision, ...], policy: SnapshotPolicy) -> str:
    staying = sum(not isinstance(decision, Remove) for decision in plan)
    if staying < policy.max_per_disk:
        return ""
    return f"{staying} snapshots must be kept and the limit is {policy.max_per_disk}: none can be taken"


def _build_request(
    disk: SourceDisk, items: list[Item], policy: SnapshotPolicy, now: datetime, zone: tzinfo, owner: str
) -> SnapshotRequest:
    retention_class, newest = choose_class(items, policy.keep, zone, now), _newest_good_time(items, now)
    expires = now + policy.keep.ages[retention_class]
    tags = {
        OWNER_TAG: owner,
        CLASS_TAG: retention_class,
        EXPIRES_TAG: f"{expires.astimezone(UTC):%Y-%m-%dT%H:%MZ}",
    }
    if newest is None:
        reason = "no good snapshot yet"
    else:
        reason = (
            f"newest good is from {format_minute(newest)}, due after {format_policy_duration(policy.every)}"
        )
    return SnapshotRequest(disk, snapshot_name(disk, now), retention_class, tags, reason)
