"""`groundcrew migrate`: what the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from shared.kernel.errors import Locked, Refused
from shared.migrate.copy import drop_copy
from shared.migrate.decide import plan_migration
from shared.migrate.deps import MigrationDeps as MigrationDeps
from shared.migrate.model import MigrationOptions, MigrationPlan, Phase
from shared.migrate.observe import observe_source, observe_target
from shared.migrate.records import LEASE, MigrationJournal, MigrationRecord, load_migration
from shared.migrate.run import MigrationRun
from shared.records.audit import AuditTrail
from shared.records.holds import Holds

log = logging.getLogger(__name__)

_LEASE_DURATION = timedelta(seconds=60)
_JournalOf = Callable[[MigrationRecord], MigrationJournal]
_HOLD, _HOLD_DURATION = "migrate", timedelta(hours=12)


def plan_move(deps: MigrationDeps, options: MigrationOptions) -> MigrationPlan:
    """What a migration would do, and what is in its way. Changes nothing. Raises UsageError, Unavailable."""
    return _plan(deps, options, load_migration(deps.state))


def run_migration(
    deps: MigrationDeps, options: MigrationOptions, *, by: str, restart: bool = False
) -> MigrationRecord:
    """Begin a migration or go on with it, until it is ready to be cut over. Returns its record.

    `restart` makes the copy anew, over what an earlier run has left. Raises Refused with what is in the way,
    Locked if another run is at it, Unavailable for what a later run may do.
    """
    with hold_migration(deps) as journal_of:
        record = load_migration(deps.state)
        plan = _plan(deps, options, record)
        if plan.refusals:
            first = plan.refusals[0]
            raise Refused(f"cannot migrate: {first.name}", value=first.reason, hint=first.cure)
        if record is None or record.phase.ended:
            record = _begin(deps, plan, options, by)
        journal = journal_of(record)
        _require_same_servers(record, plan)
        if record.phase not in (Phase.COPYING, Phase.FOLLOWING, Phase.READY):
            hint = "See groundcrew migrate status."
            raise Refused("the cut-over has begun", value=record.phase, hint=hint)
        if restart or record.restarting:
            _start_over(deps, journal)
        MigrationRun(deps, journal).make_ready()
        log.info("migrate.ready", extra={"migration": record.id, "lag": journal.record.lag_seconds})
        return journal.record


def _plan(deps: MigrationDeps, options: MigrationOptions, record: MigrationRecord | None) -> MigrationPlan:
    source = observe_source(deps, options)
    created, replayed = {}, False
    if record is not None and not record.phase.ended and record.target == deps.target.list_hosts():
        created, replayed = dict(record.created), bool(record.copied_until)
    target = observe_target(deps, source.databases, created, replayed=replayed)
    return plan_migration(source, target, options)


def _begin(deps: MigrationDeps, plan: MigrationPlan, options: MigrationOptions, by: str) -> MigrationRecord:
    now = deps.clock.now()
    record = MigrationRecord(
        id=now.strftime("%Y%m%dT%H%M%SZ"),
        phase=Phase.COPYING,
        began=now,
        by=by,
        source=plan.source.server.hosts,
        target=plan.target.server.hosts,
        databases=plan.source.databases,
        uploads_copied=options.uploads_copied,
    )
    names = f"{', '.join(record.source)} to {', '.join(record.target)}"
    AuditTrail(deps.state, deps.clock).append(by, "migrate.begin", names, "begun")
    log.info("migrate.begun", extra={"migration": record.id, "databases": list(record.databases)})
    return record


def _require_same_servers(record: MigrationRecord, plan: MigrationPlan) -> None:
    """One migration at a time, and each to its end: the journal of one says nothing of other servers."""
    given = (plan.source.server.hosts, plan.target.server.hosts)
    if (record.source, record.target) != given:
        raise Refused(
            "another migration is on record",
            value=f"{', '.join(record.source)} to {', '.join(record.target)}, {record.phase}",
            hint="Go on with that one, or end it: groundcrew migrate abort.",
        )


def _start_over(deps: MigrationDeps, journal: MigrationJournal) -> None:
    """The copy is made anew: what there is of it is dropped first."""
    # Noted before: killed in the middle, what is left must never pass for a copy.
    journal.save(restarting=True, phase=Phase.COPYING)
    drop_copy(deps, journal)
    journal.save(
        restarting=False, start="", copied_until="", created={}, copied=(), position="", position_hash="",
        open_since="", applying="", indexed=False, compared_from="", outside=(), differences=(),
    )  # fmt: skip
    log.warning("migrate.copy_restarted", extra={"migration": journal.record.id})


@contextmanager
def hold_migration(deps: MigrationDeps) -> Iterator[_JournalOf]:
    """Alone at it, and with the machine kept up. Raises Locked, in words that say who else it may be."""
    holds = Holds(deps.state, deps.clock)
    try:
        with deps.state.lease(LEASE, duration=_LEASE_DURATION) as lease:
            holds.add_hold(_HOLD, "a migration of the database", _HOLD_DURATION, needs_up=True)
            try:
                yield lambda record: MigrationJournal(deps.state, lease, record, deps.clock.now)
            finally:
                holds.release_hold(_HOLD)
    except Locked as error:
        hint = "Two at once would spoil each other. Is another command running? Its lease ends in a minute."
        raise Locked("another run of the migration is at it", value=error, hint=hint) from error
