"""Retention by the app itself: whole expired chains are deleted, by an identity that can do nothing else.

Level-triggered: what a killed run left is deleted by the next. Under a locked immutability policy
the storage refuses what is too young; that is counted, and no failure.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from shared.backup.catalogue import CLOCK_SKEW
from shared.backup.proofs import read_drill_records
from shared.backup.sets import format_set_id
from shared.kernel.errors import Conflict, Refused, Unavailable
from shared.kernel.ports import Lease
from shared.kernel.timestamps import format_minute
from shared.pitr.catalogue import SliceCatalogue
from shared.prune.deps import JOB, PruneDeps
from shared.prune.plan import ExpiredChain, PrunePlan, plan_prune
from shared.records.audit import AuditTrail
from shared.records.runs import Runs

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
_CLOCK = "retention/clock"  # written at the beginning of each run
# A day and what a timer may be late by: less would run it twice on many days.
_OVERDUE = timedelta(hours=26)


@dataclass
class PruneResult:
    """What one run did: chains and blobs that were deleted, chains that the storage keeps, and failures."""

    deleted: int = 0
    blobs: int = 0
    refused: int = 0
    failed: int = 0
    error: str = ""  # of the last failure

    def describe(self, plan: PrunePlan) -> str:
        """In a sentence."""
        chains = f"{self.deleted} of {len(plan.chains)} expired chains"
        text = f"deleted {chains}, {self.blobs} blobs; {plan.kept} sets kept"
        if self.refused:
            text += f"; {self.refused} refused by the storage, to be tried again tomorrow"
        return f"{text}; {self.failed} failed: {self.error}" if self.failed else text


def preview_prune(deps: PruneDeps) -> PrunePlan:
    """What becomes of every set, and what would be deleted. Changes nothing. Raises Unavailable."""
    drills = read_drill_records(deps.state, deps.catalogue.trusted, deps.clock)
    catalogue = SliceCatalogue(deps.catalogue)
    slices = [*catalogue.list_slices()]
    plan = plan_prune(deps.catalogue.entries(), drills, slices, deps.rules, deps.clock.now())
    # What cannot be read as ours keeps the keys beside it: it may be ours all the same.
    others = [*(one.name for one in slices), *catalogue.ignored]
    return plan.add_stale_keys(catalogue.keys_blobs, others)


def run_retention(deps: PruneDeps) -> str:
    """Delete what has expired, if policy says that the app does; what was done, in a sentence.

    Raises Unavailable if some of it failed, Refused if our clock is not the storage's, Locked.
    """
    if not deps.deletes:
        return "the storage's lifecycle rules delete: policy says backup.retention: lifecycle"
    with deps.state.lease("locks/retention", duration=_LEASE) as lease:
        # First of all: with a clock ahead, everything has expired.
        check_clock(deps)
        plan, result = preview_prune(deps), PruneResult()
        for chain in plan.chains:
            _delete_chain(deps, chain, result, lease)
        text = result.describe(plan)
        run = format_set_id(deps.clock.now())
        state = "failed" if result.failed else "done"
        counts = {"deleted": result.deleted, "refused": result.refused, "kept": plan.kept}
        Runs(deps.state, deps.clock).end_run(JOB, run, state, text, result.error, **counts)
        log.info("retention.ended", extra={"run": run, "failed": result.failed, **counts})
    if result.failed:
        raise Unavailable("expired backups were not deleted", value=text)
    return text


def run_overdue(deps: PruneDeps) -> str:
    """What `catch_up` does: a run that the timer missed. See `run_retention`."""
    last = next((blob.last_modified for blob in deps.state.list(_CLOCK)), None)
    if last is not None and deps.clock.now() - last < _OVERDUE:
        return f"nothing to do: the last run was at {format_minute(last)}"
    return run_retention(deps)


def check_clock(deps: PruneDeps) -> None:
    """Raises Refused if our clock is not the storage's: one that jumped ahead would expire everything."""
    # The storage dates what is written; there is no cheaper way to ask it for the time.
    stored = deps.state.replace(_CLOCK, b"", etag=None).last_modified
    now = deps.clock.now()
    if abs(now - stored) > CLOCK_SKEW:
        raise Refused(
            "our clock is not the storage's, so nothing is deleted",
            value=f"{format_minute(now)} here, {format_minute(stored)} there",
        )


def _delete_chain(deps: PruneDeps, chain: ExpiredChain, result: PruneResult, lease: Lease) -> None:
    """One chain; what is wrong with it does not keep the others."""
    lease.check()
    name = chain.name or "slices without a set"
    try:
        deleted = _delete_blobs(deps, chain, lease)
    except Refused as error:
        # Not yet by the immutability policy, or the identity has no right: the error in the log says which.
        result.refused += 1
        log.info("retention.delete_refused", extra={"chain": name, "error": str(error)})
        return
    except (Unavailable, Conflict) as error:
        result.failed, result.error = result.failed + 1, f"{name}: {error}"
        log.warning("retention.delete_failed", extra={"chain": name, "error": str(error)})
        return
    result.deleted, result.blobs = result.deleted + 1, result.blobs + deleted
    reasons = "; ".join(chain.reasons)
    log.info("retention.chain_deleted", extra={"chain": name, "blobs": deleted, "reasons": reasons})
    # After the deletion: killed before it, the log line is what is left; a line about nothing would be worse.
    AuditTrail(deps.state, deps.clock).append("groundcrew", "backup.expire", name, reasons)


def _delete_blobs(deps: PruneDeps, chain: ExpiredChain, lease: Lease) -> int:
    remover, count = deps.remover(), 0
    for blob in chain.blobs:
        lease.check()
        remover.delete(blob)
        count += 1
    return count
