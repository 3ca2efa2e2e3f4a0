"""When backups expire and why they stay, for `groundcrew backups`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.console import out, print_answer
from shared import wiring
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError

if TYPE_CHECKING:
    from datetime import datetime

    from shared.backup.catalogue import CatalogueEntry, SetCatalogue
    from shared.backup.proofs import DrillRecords
    from shared.policy import Retention
    from shared.prune.plan import PrunePlan


@dataclass(frozen=True)
class RetentionView:
    """What policy makes of the sets that are listed."""

    plan: PrunePlan
    rules: Retention
    now: datetime


def plan_retention(
    catalogue: SetCatalogue, entries: Sequence[CatalogueEntry], drills: DrillRecords | None
) -> RetentionView | None:
    """What becomes of each set; None without a policy, or for the sets of another account."""
    from shared.prune.plan import plan_prune

    # The newest proven set is never deleted: without the drills' records nobody can say which that is.
    if drills is None:
        return None
    try:
        rules = wiring.load_policy().backup.keep
    # A list of backups is wanted when things are broken, and a policy may be what is.
    except GroundcrewError:
        return None
    now = catalogue.clock.now()
    # Without slices: what becomes of a set does not depend on those that follow it.
    return RetentionView(plan_prune(entries, drills, (), rules, now), rules, now)


def format_expiry(view: RetentionView | None, entry: CatalogueEntry) -> str:
    """`in 13 d 4 h`, or why it stays when its time has come."""
    if view is None:
        return "unknown"
    lines = describe_retention(view, entry)
    at = lines["expires_at"]
    if at is not None and at > view.now:
        return f"in {format_duration(at - view.now)}"
    return "now" if lines["expires"] else f"kept: {', '.join(lines['kept_because'])}"


def describe_retention(view: RetentionView | None, entry: CatalogueEntry) -> dict[str, Any]:
    """When it expires (None: by no age), whether the next run deletes it, and why it stays."""
    from shared.prune.plan import expiry_of

    if view is None:
        return {"expires_at": None, "expires": None, "kept_because": None, "age_hours": None}
    folder = entry.info.folder
    expires = view.plan.expires(folder)
    return {
        "age_hours": round((view.now - entry.info.created).total_seconds() / 3600, 1),
        "expires_at": expiry_of(entry, view.rules),
        "expires": expires,
        "kept_because": [] if expires else list(view.plan.reasons_of(folder)),
    }


def print_plan(plan: PrunePlan, *, json_: bool) -> None:
    """What becomes of every set, as the dry run shows it."""
    from shared.retention.decide import retention_text

    if json_:
        chains = [{"set": c.name, "reasons": list(c.reasons), "blobs": len(c.blobs)} for c in plan.chains]
        retained = {d.item.name: list(d.reasons) for d in plan.decisions if not plan.expires(d.item.name)}
        print_answer({"delete": chains, "keep": retained}, json_=True)
        return
    out.print(retention_text(plan.decisions), markup=False)
