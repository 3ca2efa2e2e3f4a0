"""Which attempts at its parts make a backup set complete, and the manifest that then makes it a backup.

No I/O, no clock: any worker that reads the same receipts builds the same manifest, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from shared.formats.backupset import (
    FORMAT_WITH_EXTRA_PARTS,
    BackupPlan,
    ChainLink,
    Manifest,
    NamespaceEntry,
    OplogSlice,
    Piece,
    Receipt,
    StoredPart,
    set_folder,
)
from shared.formats.extra_parts import ExtraReceipt
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Inconsistent

_HASH_MODULUS = 1 << 128


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
    plan: BackupPlan,
    receipts: Mapping[int, Receipt],
    extra: Sequence[ExtraReceipt] = (),
    *,
    tool: str,
    previous: ChainLink | None,
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
        format=FORMAT_WITH_EXTRA_PARTS if extra else FORMAT,
        set=plan.set,
        klass=plan.klass,
        created=plan.created,
        sealed=max([*(r.finished for r in ordered), *(r.finished for r in extra)]),
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
        extra_parts=tuple(receipt.extra for receipt in extra),
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
