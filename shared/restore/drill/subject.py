"""What a drill restores: the newest set, or a random moment between the last two."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from shared.backup.catalogue import CatalogueEntry, SetState
from shared.backup.proofs import read_drill_records
from shared.formats.manifest import VerifiedManifest
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kernel.ports import Reporter
from shared.mongodb.model import Timestamp
from shared.pitr.catalogue import SliceCatalogue
from shared.pitr.moment import LAST_ORDINAL, format_moment
from shared.pitr.plan import MomentPlan
from shared.pitr.tail import OplogTail
from shared.restore.drill.decide import wants_moment
from shared.restore.drill.deps import DrillDeps


@dataclass(frozen=True)
class DrillSubject:
    """The set, the slices to replay on it if a moment is wanted, and the newest moment there is."""

    verified: VerifiedManifest
    newest: Timestamp  # that could be restored now, for the data loss
    tail: OplogTail | None = None

    @property
    def plan(self) -> MomentPlan | None:
        """Of the moment; None for a set as it is."""
        return self.tail.plan if self.tail else None


def choose_subject(
    deps: DrillDeps, reference: str, until: Timestamp | None, reporter: Reporter
) -> DrillSubject:
    """What is restored. Raises NotFound for what is no backup, or a moment that cannot be reached.

    A moment that a drill chose itself and that cannot be reached, because of a gap, is no fault of the set:
    then the set is restored.
    """
    slices = SliceCatalogue(deps.catalogue)
    plan = slices.plan(until, reference) if until is not None else None
    if plan is None and reference == "latest" and _is_turn_of_moment(deps):
        plan = _plan_random_moment(deps, slices, reporter)
    entry = deps.catalogue.find(plan.base.reference if plan else reference)
    if entry.verified is None:
        where = f"{entry.info.folder} is {entry.state}"
        raise NotFound(f"{where}: it is not a backup", value=entry.problem or None)
    newest = slices.newest_moment() or Timestamp.parse(entry.manifest.oplog.end)
    tail = OplogTail(deps.catalogue.blobs, plan, deps.identities) if plan else None
    return DrillSubject(entry.verified, newest, tail)


def _is_turn_of_moment(deps: DrillDeps) -> bool:
    return wants_moment(read_drill_records(deps.state, deps.catalogue.trusted, deps.clock).proofs)


def _plan_random_moment(deps: DrillDeps, slices: SliceCatalogue, reporter: Reporter) -> MomentPlan | None:
    """A random second between the ends of the last two sets, reached from the older one."""
    pair = list(islice((e for e in deps.catalogue.newest_first() if e.state is SetState.SEALED), 2))
    if len(pair) < 2:
        return None
    last, first = (_end_of(entry) for entry in pair)
    # Up to the second before the newer set ends: that one itself is the other kind of drill.
    moment = Timestamp(deps.pick(first.seconds, max(first.seconds, last.seconds - 1)), LAST_ORDINAL)
    try:
        plan = slices.plan(moment, pair[1].info.reference)
    except GroundcrewError as error:
        if not error.permanent:
            raise
        reporter.note(f"restoring the set itself: {error}")
        return None
    reporter.note(f"restoring {format_moment(moment)}: {'; '.join(plan.reasons)}")
    return plan


def _end_of(entry: CatalogueEntry) -> Timestamp:
    return Timestamp.parse(entry.manifest.oplog.end)
