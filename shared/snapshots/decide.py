"""Which disks need a snapshot now, and which snapshots may go.

Level-triggered: a disk needs one when its newest good snapshot is older than policy's interval, however
many runs were missed. Pruning is the retention core's, disk by disk.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.policy.values import format_policy_duration
from shared.retention.decide import Item, Remove, RetentionDecision, choose_class, plan_retention

if TYPE_CHECKING:
    from shared.policy import Retention, SnapshotPolicy

OWNER_TAG = "groundcrew-owner"
CLASS_TAG = "groundcrew-class"
EXPIRES_TAG = "groundcrew-expires"
PROVEN_TAG = "groundcrew-proven"

# A snapshot that has not become good after this time is taken for failed, and another is made.
UNDERWAY = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Disk:
    """A managed disk. `id` is its resource id; Azure compares those without case."""

    id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
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
class Create:
    """A snapshot to be made: of which disk, under which name, with which tags, and why."""

    disk: Disk
    name: str
    made_as: str
    tags: Mapping[str, str]
    because: str


@dataclass(frozen=True, slots=True)
class Pass:
    """A chosen disk that gets none now, and why."""

    disk: Disk
    because: str


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """What to make, what not, and the decision on each snapshot there is (`Item.name` is the id)."""

    create: tuple[Create, ...]
    passed: tuple[Pass, ...]
    decisions: tuple[RetentionDecision, ...]


def plan_snapshots(
    disks: Iterable[Disk],
    snapshots: Iterable[Snapshot],
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
    by_disk: defaultdict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots:
        by_disk[snapshot.disk_id.lower()].append(snapshot)
    create: list[Create] = []
    passed: list[Pass] = []
    decisions: list[RetentionDecision] = []
    for disk in sorted((disk for disk in disks if _chosen(disk, policy)), key=lambda disk: disk.id.lower()):
        found = by_disk.pop(disk.id.lower(), [])
        items = [_item(snapshot, policy, owner) for snapshot in found]
        enough = _enough(items, found, policy, now)
        plan = plan_retention(items, _rules(policy, room=not enough), now)
        decisions += plan
        enough = enough or _no_room(plan, policy)
        if enough:
            passed.append(Pass(disk, enough))
        else:
            create.append(_create(disk, items, policy, now, zone, owner))
    for _, found in sorted(
        by_disk.items()
    ):  # disks that are gone or no longer chosen are pruned all the same
        items = [_item(snapshot, policy, owner) for snapshot in found]
        decisions += plan_retention(items, _rules(policy, room=False), now)
    return SnapshotPlan(tuple(create), tuple(passed), tuple(decisions))


def snapshot_name(disk: Disk, now: datetime) -> str:
    """A valid name (80 characters of letters, digits, `_`, `.`, `-`) that sorts by time.

    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcompute
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", disk.name).lstrip("_.-")[:48] or "disk"
    # The names of two disks may differ only in what was cut off, or in their resource group.
    mark = sha256(disk.id.lower().encode()).hexdigest()[:8]
    return f"{stem}-{mark}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def parse_keep_until(text: str) -> datetime | None:
    """The end of the named day in UTC, or the moment; None if it cannot be read."""
    try:
        if len(text) == len("2026-01-01"):
            return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _chosen(disk: Disk, policy: SnapshotPolicy) -> bool:
    if policy.disks is None:
        return False
    key, _, value = policy.disks.partition("=")
    # Azure's tag names are compared without case, their values with.
    return any(name.lower() == key.lower() and held == value for name, held in disk.tags.items())


def _item(snapshot: Snapshot, policy: SnapshotPolicy, owner: str) -> Item:
    tags = snapshot.tags
    written = tags.get(policy.keep_until_tag)
    keep_until = parse_keep_until(written) if written else None
    return Item(
        snapshot.id,
        snapshot.taken,
        tags.get(CLASS_TAG, "daily"),
        snapshot.state == "Succeeded" and snapshot.complete,
        PROVEN_TAG in tags,
        tags.get(OWNER_TAG) == owner,
        keep_until,
        # A date that nobody can read was meant to protect.
        f"{policy.keep_until_tag} '{written[:40]}' is no date" if written and not keep_until else "",
    )


def _newest_good(items: Iterable[Item], now: datetime) -> datetime | None:
    return max(
        (item.taken for item in items if item.complete and item.managed and item.taken <= now), default=None
    )


def _enough(items: list[Item], found: list[Snapshot], policy: SnapshotPolicy, now: datetime) -> str:
    """Why the disk needs none; empty if it does."""
    newest = _newest_good(items, now)
    if newest is not None and now - newest < policy.every:
        return f"newest good snapshot is of {newest:%Y-%m-%d %H:%MZ}"
    for item, snapshot in zip(items, found, strict=True):
        if (
            item.managed
            and not item.complete
            and snapshot.state != "Failed"
            and abs(now - item.taken) < UNDERWAY
        ):
            return f"snapshot {snapshot.name} is under way"
    return ""


def _rules(policy: SnapshotPolicy, *, room: bool) -> Retention:
    """The policy's, with Azure's limit per disk in view and room for one more where that is wanted."""
    limit = policy.max_per_disk - room
    own = policy.keep.maximum
    return policy.keep.model_copy(update={"maximum": limit if own is None else min(limit, own)})


def _no_room(plan: tuple[RetentionDecision, ...], policy: SnapshotPolicy) -> str:
    staying = sum(not isinstance(decision, Remove) for decision in plan)
    if staying < policy.max_per_disk:
        return ""
    return f"{staying} snapshots must stay and the limit is {policy.max_per_disk}: none can be made"


def _create(
    disk: Disk, items: list[Item], policy: SnapshotPolicy, now: datetime, zone: tzinfo, owner: str
) -> Create:
    made_as, newest = choose_class(items, policy.keep, zone, now), _newest_good(items, now)
    expires = now + policy.keep.ages[made_as]
    tags = {OWNER_TAG: owner, CLASS_TAG: made_as, EXPIRES_TAG: f"{expires.astimezone(UTC):%Y-%m-%dT%H:%MZ}"}
    if newest is None:
        because = "no good snapshot yet"
    else:
        because = (
            f"newest good is of {newest:%Y-%m-%d %H:%MZ}, due after {format_policy_duration(policy.every)}"
        )
    return Create(disk, snapshot_name(disk, now), made_as, tags, because)
