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
    Held,
    Link,
    Manifest,
    OplogSlice,
    Piece,
    Plan,
    PlannedPart,
    Receipt,
    Stored,
    folder,
)
from shared.kernel.errors import Inconsistent, UsageError
from shared.mongodb.model import Namespace

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

_HASH_MODULUS = 1 << 128
_EARLY = timedelta(minutes=2)  # what a timer may be early by
_PAUSES = (timedelta(hours=1), timedelta(hours=3), timedelta(hours=20))


@dataclass(frozen=True, slots=True)
class Excluded:
    """A namespace that is left out, and why."""

    name: str
    because: str


def choose(namespaces: Sequence[Namespace], policy: BackupPolicy) -> tuple[list[Namespace], list[Excluded]]:
    """What is dumped, and what policy leaves out. What must never be left out, policy itself refuses.

    `admin` holds the users and is taken even when policy names the databases.
    """
    taken, left = [], []
    for namespace in namespaces:
        if namespace.db != "admin" and not policy.includes(namespace.db):
            left.append(Excluded(namespace.name, "policy: not in backup.databases"))
        elif policy.excludes(namespace.collection):
            left.append(Excluded(namespace.name, "policy: backup.exclude"))
        else:
            taken.append(namespace)
    return taken, left


def check_choice(taken: Sequence[Namespace], policy: BackupPolicy) -> None:
    """Raises UsageError if a database that policy names is not there, or if there is nothing to back up.

    An empty backup would be sealed, proven and worthless.
    """
    there = {namespace.db for namespace in taken}
    if missing := sorted(set(policy.databases) - there):
        hint = f"There are: {', '.join(sorted(there)) or 'none'}. See backup.databases in policy.yaml."
        raise UsageError("policy names a database that the server does not have", value=missing[0], hint=hint)
    if there <= {"admin"}:
        raise UsageError(
            "the server holds no database to back up",
            hint="Is MONGODB_URI the right server, with all rights?",
        )


def pieces_wanted(namespace: Namespace, part_bytes: int) -> int:
    """Into how many ranges a collection is cut; 1 leaves it whole."""
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
    whole = sum(n.data_bytes for n in namespaces)
    if whole <= part_bytes and not any(cuts.values()):
        return (PlannedPart(tuple(_piece(n, metadata) for n in namespaces), oplog=True, data_bytes=whole),)
    parts: list[PlannedPart] = []
    packed: list[Namespace] = []
    for namespace in namespaces:
        if points := cuts.get(namespace.name):
            share = namespace.data_bytes // (len(points) + 1)
            parts += [PlannedPart((p,), data_bytes=share) for p in _ranges(namespace, points, metadata)]
            continue
        if packed and sum(n.data_bytes for n in packed) + namespace.data_bytes > part_bytes:
            parts.append(_packed(packed, metadata))
            packed = []
        packed.append(namespace)
    if packed:
        parts.append(_packed(packed, metadata))
    return (*parts, PlannedPart((), oplog=True))


def _packed(namespaces: Sequence[Namespace], metadata: Mapping[str, str]) -> PlannedPart:
    size = sum(n.data_bytes for n in namespaces)
    return PlannedPart(tuple(_piece(n, metadata) for n in namespaces), data_bytes=size)


def _piece(n: Namespace, metadata: Mapping[str, str], lower: bytes = b"", upper: bytes = b"") -> Piece:
    return Piece(n.db, n.collection, n.kind, n.uuid, metadata[n.name], lower.hex(), upper.hex())


def _ranges(n: Namespace, points: Sequence[bytes], metadata: Mapping[str, str]) -> list[Piece]:
    bounds = [b"", *points, b""]
    return [_piece(n, metadata, low, high) for low, high in pairwise(bounds)]


def backup_class(begun: Iterable[tuple[str, datetime]], now: datetime, zone: ZoneInfo) -> str:
    """`monthly`, `weekly` or `daily`: the first set of a calendar month, else of an ISO week, else of a day.

    `begun` are the (class, creation) of the sets there are. Judged in the policy's zone, and by what is
    there rather than by the weekday, so that a missed night does not cost a month its monthly set.
    """
    local = now.astimezone(zone)
    others = [(klass, at.astimezone(zone)) for klass, at in begun]
    if not any(k == "monthly" and (at.year, at.month) == (local.year, local.month) for k, at in others):
        return "monthly"
    week = local.isocalendar()[:2]
    if not any(k in ("monthly", "weekly") and at.isocalendar()[:2] == week for k, at in others):
        return "weekly"
    return "daily"


@dataclass(frozen=True, slots=True)
class Due:
    """Whether a nightly set is to begin, and why (not)."""

    due: bool
    because: str


def nightly_due(
    sets: Iterable[tuple[str, datetime, str]],
    now: datetime,
    *,
    at: time,
    grace: timedelta,
    patience: timedelta,
) -> Due:
    """Whether a set is to begin: none was begun since `at` (UTC) was last due, `grace` ago at least.

    `sets` are (folder, creation, state) with state `sealed`, `open` or `failed`. A timer that fires twice,
    or two minutes early, begins one set. A failed set, or one left open for longer than `patience`, is none;
    after such failures the next one waits: an hour, three hours, then for the next night.
    """
    slot = last_slot(at, now - grace + _EARLY) - _EARLY
    failures: list[datetime] = []
    for where, created, state in sorted(sets, key=lambda s: s[1], reverse=True):
        age = now - created
        if state == "failed" or (state == "open" and age >= patience):
            failures.append(created)
            continue
        if created >= slot:
            return Due(False, f"{where} was begun {_ago(age)} ago and is {state}")
        break
    if failures:
        pause = _PAUSES[min(len(failures), len(_PAUSES)) - 1]
        if now - failures[0] < pause:
            told = f"{len(failures)} sets failed, the last one {_ago(now - failures[0])} ago"
            return Due(False, f"{told}: the next is tried {_ago(pause)} after it")
    return Due(True, f"no set was begun since {slot + _EARLY:%Y-%m-%d %H:%M} UTC")


def last_slot(at: time, now: datetime) -> datetime:
    """When that time of the day (UTC) was last."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _ago(age: timedelta) -> str:
    hours, rest = divmod(int(age.total_seconds()), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"


def unfinished(plan: Plan, receipts: Mapping[int, Receipt]) -> list[int]:
    """The parts to be done next. The oplog's own part waits for all others, since it ends the set."""
    missing = [i for i in range(len(plan.parts)) if i not in receipts]
    early = [i for i in missing if plan.parts[i].pieces]
    return early or missing


def assemble(plan: Plan, receipts: Mapping[int, Receipt], *, tool: str, previous: Link | None) -> Manifest:
    """The manifest of a complete set: the same whoever computes it.

    Raises Inconsistent naming what is missing or does not fit; nothing incomplete is ever sealed.
    """
    if missing := unfinished(plan, receipts):
        raise Inconsistent(f"set {plan.set} is not complete", value=f"parts {missing} have no receipt")
    ordered = [receipts[i] for i in range(len(plan.parts))]
    for index, receipt in enumerate(ordered):
        _fits(plan, index, receipt)
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
        oplog=_only(plan, oplogs),
        parts=tuple(
            Stored(r.blob, r.stored_bytes, r.plain_bytes, r.sha256, tuple(c.name for c in r.counts))
            for r in ordered
        ),
        namespaces=_held(plan, ordered),
        previous=previous,
    )


def _fits(plan: Plan, index: int, receipt: Receipt) -> None:
    planned = sorted(piece.name for piece in plan.parts[index].pieces)
    found = sorted(count.name for count in receipt.counts)
    if (receipt.set, receipt.part) != (plan.set, index) or planned != found:
        where = folder(plan.klass, plan.set)
        raise Inconsistent(f"the receipt of part {index} does not fit the plan of {where}")


def _only(plan: Plan, oplogs: list[OplogSlice]) -> OplogSlice:
    if len(oplogs) != 1 or oplogs[0].start != plan.oplog_start:
        raise Inconsistent(f"set {plan.set} has no oplog that begins where the dump began")
    return oplogs[0]


def _held(plan: Plan, receipts: Sequence[Receipt]) -> tuple[Held, ...]:
    """Each namespace once, with the sums over its ranges."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for count in (count for receipt in receipts for count in receipt.counts):
        total = sums[count.name]
        total[0] += count.documents
        total[1] += count.data_bytes
        total[2] = (total[2] + int(count.content_hash, 16)) % _HASH_MODULUS
    first: dict[str, Piece] = {}
    for piece in (piece for part in plan.parts for piece in part.pieces):
        first.setdefault(piece.name, piece)
    return tuple(
        Held(p.db, p.collection, p.kind, p.uuid, p.metadata, sums[n][0], sums[n][1], f"{sums[n][2]:032x}")
        for n, p in first.items()
    )
