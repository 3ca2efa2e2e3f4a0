"""Which backup sets have expired, with the slices that depend on them.

What stays is decided by `shared.retention`; here sets become its items, and slices go with their base.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.backup.catalogue import MANUAL, CatalogueEntry, SetState
from shared.backup.proofs import DrillRecords
from shared.backup.sets import MANIFEST, PLAN
from shared.formats.slices import StoredSlice
from shared.kernel.durations import format_duration
from shared.mongodb.model import Timestamp
from shared.pitr.rewrap import find_stale_keys
from shared.retention.decide import Item, Keep, Remove, RetentionDecision, plan_retention

if TYPE_CHECKING:
    from shared.policy import Retention

_STRANGERS = (SetState.FOREIGN, SetState.MISDATED)


@dataclass(frozen=True, slots=True)
class ExpiredChain:
    """A set and the slices that are replayed on it, which go together; `blobs` in the order of deletion."""

    name: str  # the set's folder; empty for slices without any base
    reasons: tuple[str, ...]
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What becomes of each set, newest first, and what is deleted."""

    decisions: tuple[RetentionDecision, ...]
    chains: tuple[ExpiredChain, ...]

    @property
    def kept(self) -> int:
        """How many sets stay."""
        return sum(isinstance(decision, Keep) for decision in self.decisions)

    def reasons_of(self, folder: str) -> tuple[str, ...]:
        """Why the set stays, or goes."""
        return next((d.reasons for d in self.decisions if d.item.name == folder), ())

    def add_stale_keys(self, names: Sequence[str], others: Sequence[str]) -> PrunePlan:
        """With the file keys of days whose slices are all gone, or go now, as a chain by themselves.

        `names` are of blobs of file keys; `others` of everything else below `pitr/`.
        """
        going = {blob for chain in self.chains for blob in chain.blobs}
        stale = find_stale_keys(names, [name for name in others if name not in going])
        if not stale:
            return self
        # The last of all: a run that is killed before them leaves keys of nothing, and not slices without.
        return replace(self, chains=(*self.chains, ExpiredChain("", ("file keys of no slice",), stale)))

    def expires(self, folder: str) -> bool:
        """Whether the set is deleted by the next run."""
        return any(chain.name == folder for chain in self.chains)


def plan_prune(
    entries: Sequence[CatalogueEntry],
    drills: DrillRecords,
    slices: Sequence[StoredSlice],
    rules: Retention,
    now: datetime,
) -> PrunePlan:
    """What has expired. `entries` are all sets there are, `slices` all slices.

    Sets made by hand stay until a hand removes them. What is not ours is left alone: it is listed as foreign,
    and somebody should look at it.
    """
    decisions = plan_retention([_item_of(entry, drills) for entry in entries], rules, now)
    by_folder = {entry.info.folder: entry for entry in entries}
    owned, orphans = _assign_slices(entries, slices)
    chains = [
        ExpiredChain(
            decision.item.name,
            decision.reasons,
            (*owned.get(decision.item.name, ()), *_files_of(by_folder[decision.item.name])),
        )
        for decision in decisions
        if isinstance(decision, Remove)
    ]
    # As long as a daily set: the base may only be unreadable for now, and come back.
    old = tuple(one.name for one in orphans if now - end_of_slice(one) > rules.daily)
    if old:
        reason = f"no set before them, older than {format_duration(rules.daily)}"
        chains.append(ExpiredChain("", (reason,), old))
    return PrunePlan(decisions, tuple(chains))


def end_of_slice(one: StoredSlice) -> datetime:
    """The second of its last entry."""
    return datetime.fromtimestamp(Timestamp.parse(one.record.end).seconds, UTC)


def expiry_of(entry: CatalogueEntry, rules: Retention) -> datetime | None:
    """When the set is old enough to go; None for one made by hand, or of a class that policy does not have.

    Whether it goes then depends on what there is: the newest good ones and the newest proven one stay.
    """
    age: timedelta | None = rules.ages.get(entry.info.klass)
    return entry.info.created + age if age is not None else None


def _item_of(entry: CatalogueEntry, drills: DrillRecords) -> Item:
    sealed = entry.state is SetState.SEALED
    return Item(
        name=entry.info.folder,
        taken=entry.info.created,
        klass=entry.info.klass,
        complete=sealed,
        proven=drills.proven_at(entry) is not None,
        managed=entry.state not in _STRANGERS,
        retention_reason="made by hand"
        if entry.info.klass == MANUAL and entry.state is SetState.SEALED
        else "",
    )


def _files_of(entry: CatalogueEntry) -> tuple[str, ...]:
    """The manifest first: without it what a killed run leaves is no backup, and goes as unfinished.

    The plan last: without it nothing shows that what is left was ours.
    """
    names = sorted(entry.info.files, key=lambda name: (name != MANIFEST, name == PLAN, name))
    return tuple(entry.info.folder + name for name in names)


def _assign_slices(
    entries: Sequence[CatalogueEntry], slices: Sequence[StoredSlice]
) -> tuple[Mapping[str, list[str]], list[StoredSlice]]:
    """By base the slices that follow it, and those that follow none.

    A slice's base is the newest good set that ends before the slice does: the one from which its moments are
    restored. Sets made by hand are none, or their slices would stay for ever.
    """
    bases = sorted(
        (Timestamp.parse(entry.manifest.oplog.end), entry.info.folder)
        for entry in entries
        if entry.state is SetState.SEALED and entry.info.klass != MANUAL
    )
    ends = [base_end for base_end, _ in bases]
    owned: dict[str, list[str]] = {}
    orphans: list[StoredSlice] = []
    for one in slices:
        end = Timestamp.parse(one.record.end)
        before = bisect_left(ends, end)
        if before:
            owned.setdefault(bases[before - 1][1], []).append(one.name)
        else:
            orphans.append(one)
    return owned, orphans
