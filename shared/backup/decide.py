"""What a backup set shall hold, which parts it comes in, and when it is complete. No I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.formats.backupset import (
    FORMAT,
    BackupPlan,
    ChainLink,
    Manifest,
    NamespaceEntry,
    OplogSlice,
    Piece,
    PlannedPart,
    Receipt,
    StoredPart,
    set_folder,
)
from shared.kernel.durations import format_duration
from shared.kernel.errors import Inconsistent, UsageError
from shared.mongodb.model import Namespace

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

# `admin` holds the users; entries of `config` are not replayed, but tell of what spoils a dump.
_SERVER_DATABASES = ("admin", "config")
_HASH_MODULUS = 1 << 128
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
    return NightlyDecision(True, f"no set was begun since {slot + _TIMER_SKEW:%Y-%m-%d %H:%M} UTC")


def previous_slot(at: time, now: datetime) -> datetime:
    """The last time at which that time of the day (UTC) was reached."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def choose_receipts(plan: BackupPlan, receipts: Iterable[Receipt]) -> dict[int, Receipt]:
    """Of several attempts at a part the one that counts, by the part's number.

    The first to finish, but what the oplog's own part was dumped after, once that is there: documents of an
    attempt that was read later are not covered by its oplog. An oplog whose attempts are gone does not count.
    """
    by_part: dict[int, list[Receipt]] = defaultdict(list)
    for receipt in sorted(receipts, key=lambda r: (r.finished, r.blob)):
        by_part[receipt.part].append(receipt)
    chosen = {index: attempts[0] for index, attempts in by_part.items()}
    last = len(plan.parts) - 1
    if not plan.parts[last].pieces:
        # The oplog's own attempts are looked at below, by what each of them covers.
        chosen.pop(last, None)
        for oplog in by_part[last]:
            covered = {r.part: r for attempts in by_part.values() for r in attempts if r.blob in oplog.after}
            if covered.keys() == set(range(last)):
                return {**covered, last: oplog}
    return chosen


def remaining_parts(plan: BackupPlan, receipts: Mapping[int, Receipt]) -> list[int]:
    """The numbers of the parts to dump next; the oplog's own part comes last, as it ends the set."""
    missing = [i for i in range(len(plan.parts)) if i not in receipts]
    # The oplog only once nothing else is missing: it must end after the last document was read.
    with_data = [i for i in missing if plan.parts[i].pieces]
    return with_data or missing


def build_manifest(
    plan: BackupPlan, receipts: Mapping[int, Receipt], *, tool: str, previous: ChainLink | None
) -> Manifest:
    """The manifest of a complete set, the same whichever worker builds it.

    Raises Inconsistent naming what is missing or does not match; nothing incomplete is ever sealed.
    """
    if missing := remaining_parts(plan, receipts):
        raise Inconsistent(f"set {plan.set} is not complete", value=f"parts {missing} have no receipt")
    ordered = [receipts[i] for i in range(len(plan.parts))]
    for index, receipt in enumerate(ordered):
        _check_receipt(plan, index, receipt)
    oplogs = [r.oplog for r in ordered if r.oplog]
    return Manifest(
        format=FORMAT,
        set=plan.set,
        klass=plan.klass,
        created=plan.created,
        sealed=max(r.finished for r in ordered),
        reason=plan.reason,
        tool=tool,
        source=plan.source,
        recipients=plan.recipients,
        excluded=plan.excluded,
        oplog=_single_oplog(plan, oplogs),
        parts=tuple(
            StoredPart(r.blob, r.stored_bytes, r.plain_bytes, r.sha256, tuple(c.name for c in r.counts))
            for r in ordered
        ),
        namespaces=_sum_namespaces(plan, ordered),
        previous=previous,
    )


def _check_receipt(plan: BackupPlan, index: int, receipt: Receipt) -> None:
    expected = sorted(piece.name for piece in plan.parts[index].pieces)
    actual = sorted(count.name for count in receipt.counts)
    if (receipt.set, receipt.part) != (plan.set, index) or expected != actual:
        where = set_folder(plan.klass, plan.set)
        raise Inconsistent(f"the receipt of part {index} does not match the plan of {where}")


def _single_oplog(plan: BackupPlan, oplogs: list[OplogSlice]) -> OplogSlice:
    if len(oplogs) != 1 or oplogs[0].start != plan.oplog_start:
        raise Inconsistent(f"set {plan.set} has no oplog that begins where the dump began")
    return oplogs[0]


def _sum_namespaces(plan: BackupPlan, receipts: Sequence[Receipt]) -> tuple[NamespaceEntry, ...]:
    """Each namespace once, with the sums over its ranges."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for count in (count for receipt in receipts for count in receipt.counts):
        total = sums[count.name]
        total[0] += count.documents
        total[1] += count.data_bytes
        # A sum, so that ranges dumped in any order by any worker give the same hash.
        total[2] = (total[2] + int(count.content_hash, 16)) % _HASH_MODULUS
    first: dict[str, Piece] = {}
    for piece in (piece for part in plan.parts for piece in part.pieces):
        first.setdefault(piece.name, piece)
    return tuple(
        NamespaceEntry(
            p.db, p.collection, p.kind, p.uuid, p.metadata, sums[n][0], sums[n][1], f"{sums[n][2]:032x}"
        )
        for n, p in first.items()
    )
