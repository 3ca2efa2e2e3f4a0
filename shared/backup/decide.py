"""What a backup set shall hold, which parts it comes in, and when one is due. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.formats.backupset import (
    Piece,
    PlannedPart,
)
from shared.kernel.durations import format_duration
from shared.kernel.errors import UsageError
from shared.kernel.timestamps import format_minute
from shared.mongodb.model import Namespace

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

# `admin` holds the users; entries of `config` are not replayed, but tell of what spoils a dump.
_SERVER_DATABASES = ("admin", "config")
_TIMER_SKEW = timedelta(minutes=2)  # by how much a timer may fire early
# After so many failures in a row; the last one waits for the next night.
_RETRY_DELAYS = (timedelta(hours=1), timedelta(hours=3), timedelta(hours=20))


@dataclass(frozen=True, slots=True)
class Excluded:
    """A namespace that is left out, and why."""

    name: str  # db.collection
    reason: str


def select_namespaces(
    namespaces: Sequence[Namespace], policy: BackupPolicy
) -> tuple[list[Namespace], list[Excluded]]:
    """The namespaces to dump, and those that policy excludes.

    Policy itself refuses to exclude what must be kept. `admin` holds the users and is dumped even when
    policy names the databases.
    """
    included, excluded = [], []
    for namespace in namespaces:
        if namespace.db != "admin" and not policy.includes(namespace.db):
            excluded.append(Excluded(namespace.name, "policy: not in backup.databases"))
        elif policy.excludes(namespace.collection):
            excluded.append(Excluded(namespace.name, "policy: backup.exclude"))
        else:
            included.append(namespace)
    return included, excluded


def includes_namespace(policy: BackupPolicy, db: str, collection: str) -> bool:
    """Whether the oplog's entries about it belong to a set: as `select_namespaces`, for what is born too."""
    return (db in _SERVER_DATABASES or policy.includes(db)) and not policy.excludes(collection)


def check_selection(included: Sequence[Namespace], policy: BackupPolicy) -> None:
    """Raises UsageError if a database that policy names does not exist, or if there is nothing to back up.

    An empty backup would be sealed and verified without holding anything.
    """
    databases = {namespace.db for namespace in included}
    if missing := sorted(set(policy.databases) - databases):
        hint = f"There are: {', '.join(sorted(databases)) or 'none'}. See backup.databases in policy.yaml."
        raise UsageError(
            "policy names a database that does not exist on the server", value=missing[0], hint=hint
        )
    if databases <= {"admin"}:
        raise UsageError(
            "the server has no database to back up",
            hint="Check that MONGODB_URI names the right server, and a user with the role `backup`.",
        )


def count_pieces(namespace: Namespace, part_bytes: int) -> int:
    """Into how many `_id` ranges a collection is split; 1 keeps it whole."""
    if namespace.kind != "collection" or namespace.options.get("capped"):
        return 1  # the order of a capped collection is its natural one, which a range would lose
    return max(1, -(-namespace.data_bytes // part_bytes))


def plan_parts(
    namespaces: Sequence[Namespace],
    cuts: Mapping[str, Sequence[bytes]],
    metadata: Mapping[str, str],
    *,
    part_bytes: int,
) -> tuple[PlannedPart, ...]:
    """Pack namespaces into parts of about `part_bytes` of uncompressed data.

    `cuts` are the split points of the big collections, `metadata` each namespace's text for the archive.
    A database that fits in one part is one part with its oplog inside; otherwise the oplog is the last part.
    `namespaces` come in the order a restore wants (`admin.system.*` first) and keep it.
    """
    total = sum(n.data_bytes for n in namespaces)
    if total <= part_bytes and not any(cuts.values()):
        return (PlannedPart(tuple(_piece(n, metadata) for n in namespaces), oplog=True, data_bytes=total),)
    parts: list[PlannedPart] = []
    batch: list[Namespace] = []
    for namespace in namespaces:
        if points := cuts.get(namespace.name):
            range_bytes = namespace.data_bytes // (len(points) + 1)
            parts += [
                PlannedPart((p,), data_bytes=range_bytes) for p in _split_ranges(namespace, points, metadata)
            ]
            continue
        if batch and sum(n.data_bytes for n in batch) + namespace.data_bytes > part_bytes:
            parts.append(_pack_part(batch, metadata))
            batch = []
        batch.append(namespace)
    if batch:
        parts.append(_pack_part(batch, metadata))
    return (*parts, PlannedPart((), oplog=True))


def _pack_part(namespaces: Sequence[Namespace], metadata: Mapping[str, str]) -> PlannedPart:
    size = sum(n.data_bytes for n in namespaces)
    return PlannedPart(tuple(_piece(n, metadata) for n in namespaces), data_bytes=size)


def _piece(n: Namespace, metadata: Mapping[str, str], lower: bytes = b"", upper: bytes = b"") -> Piece:
    return Piece(n.db, n.collection, n.kind, n.uuid, metadata[n.name], lower.hex(), upper.hex())


def _split_ranges(n: Namespace, points: Sequence[bytes], metadata: Mapping[str, str]) -> list[Piece]:
    bounds = [b"", *points, b""]
    return [_piece(n, metadata, low, high) for low, high in pairwise(bounds)]


def choose_class(others: Iterable[tuple[str, datetime]], now: datetime, zone: ZoneInfo) -> str:
    """`monthly`, `weekly` or `daily`: the first set of a calendar month, else of an ISO week, else of a day.

    `others` are the (class, creation) of the existing sets. Decided in the policy's zone, and by which
    sets exist rather than by the weekday, so that a missed night does not cost a month its monthly set.
    """
    local = now.astimezone(zone)
    existing = [(klass, at.astimezone(zone)) for klass, at in others]
    if not any(k == "monthly" and (at.year, at.month) == (local.year, local.month) for k, at in existing):
        return "monthly"
    week = local.isocalendar()[:2]
    if not any(k in ("monthly", "weekly") and at.isocalendar()[:2] == week for k, at in existing):
        return "weekly"
    return "daily"


@dataclass(frozen=True, slots=True)
class NightlyDecision:
    """Whether a nightly set is to begin, and why (not)."""

    due: bool
    reason: str


def decide_nightly(
    sets: Iterable[tuple[str, datetime, str]],
    now: datetime,
    *,
    at: time,
    grace: timedelta,
    timeout: timedelta,
) -> NightlyDecision:
    """Whether a set is to begin: none was begun since `at` (UTC) was last due, `grace` ago at least.

    `sets` are (folder, creation, state) with state `sealed`, `open` or `failed`. A timer that fires twice,
    or two minutes early, begins one set. A failed set, or one that is open for longer than `timeout`, does
    not count; after such failures the next attempt waits: an hour, three hours, then for the next night.
    """
    # Shifted there and back: a timer that fires two minutes early belongs to tonight, and a set begun then
    # counts for it.
    slot = previous_slot(at, now - grace + _TIMER_SKEW) - _TIMER_SKEW
    failures: list[datetime] = []
    for folder, created, state in sorted(sets, key=lambda s: s[1], reverse=True):
        age = now - created
        # An open one past its timeout will be failed by this very run: counting it as begun would cost the
        # night.
        if state == "failed" or (state == "open" and age >= timeout):
            failures.append(created)
            continue
        if created >= slot:
            return NightlyDecision(False, f"{folder} was begun {format_duration(age)} ago and is {state}")
        break
    if failures:
        delay = _RETRY_DELAYS[min(len(failures), len(_RETRY_DELAYS)) - 1]
        if (age := now - failures[0]) < delay:
            count = f"{len(failures)} failed sets, the last one {format_duration(age)} ago"
            return NightlyDecision(False, f"{count}; next attempt {format_duration(delay)} after it")
    return NightlyDecision(True, f"no set was begun since {format_minute(slot + _TIMER_SKEW)}")


def previous_slot(at: time, now: datetime) -> datetime:
    """The last time at which that time of the day (UTC) was reached."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
