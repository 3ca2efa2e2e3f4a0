"""`groundcrew migrate`: what the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from shared.kernel.errors import Locked, NotFound, Refused
from shared.kernel.timestamps import format_compact
from shared.migrate.copy import drop_copy
from shared.migrate.cut_over import CutOver, CutOverOptions
from shared.migrate.decide import plan_migration
from shared.migrate.deps import MigrationDeps as MigrationDeps
from shared.migrate.model import MARKER_DATABASE, MigrationOptions, MigrationPlan, Phase
from shared.migrate.notices import back_notice, late_write_notice, send_notice, switched_notice
from shared.migrate.observe import observe_source, observe_target
from shared.migrate.records import LEASE, MigrationJournal, MigrationRecord, load_migration
from shared.migrate.run import MigrationRun
from shared.migrate.way_back import find_late_write, go_back, return_to_source, watch_first_write
from shared.records.approvals import describe_how_to_approve
from shared.records.audit import AuditTrail
from shared.records.holds import Holds

log = logging.getLogger(__name__)

# It is renewed while the command runs: a killed one keeps the next out for a minute, not for hours.
_LEASE_DURATION = timedelta(seconds=60)
ACTION = "migrate.cut-over"  # as approvals and the audit trail name it
_JournalOf = Callable[[MigrationRecord], MigrationJournal]
# The machine must not be powered off in the middle; a hold that nobody releases ends by itself.
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
        if record is not None and not record.phase.ended and record.uploads_copied:
            options = replace(options, uploads_copied=True)  # said once is enough
        # Checked at each run, not at the first only: rights, room and the oplog change while a copy takes
        # days.
        plan = _plan(deps, options, record)
        if plan.refusals:
            # One is named here; `--dry-run` lists them all.
            first = plan.refusals[0]
            raise Refused(f"cannot migrate: {first.name}", value=first.reason, hint=first.cure)
        if record is None or record.phase.ended:
            record = _begin(deps, plan, options, by)
        journal = journal_of(record)
        _require_hosts(deps, record)
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
    # What another migration, or one to another server, has made there is as foreign as anybody's.
    created, replayed = {}, False
    if record is not None and not record.phase.ended and record.target == deps.target.list_hosts():
        created, replayed = dict(record.created), bool(record.copied_until)
    target = observe_target(deps, source.databases, created, replayed=replayed)
    return plan_migration(source, target, options)


def _begin(deps: MigrationDeps, plan: MigrationPlan, options: MigrationOptions, by: str) -> MigrationRecord:
    now = deps.clock.now()
    record = MigrationRecord(
        id=format_compact(now),
        phase=Phase.COPYING,
        began=now,
        by=by,
        source=plan.source.server.hosts,
        target=plan.target.server.hosts,
        databases=plan.source.databases,
        uploads_copied=options.uploads_copied,
    )
    names = f"{', '.join(record.source)} to {', '.join(record.target)}"
    # The names of the members, never the URIs: those hold the passwords.
    AuditTrail(deps.state, deps.clock).append(by, "migrate.begin", names, "begun")
    log.info("migrate.begun", extra={"migration": record.id, "databases": list(record.databases)})
    return record


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


def cut_over(deps: MigrationDeps, options: CutOverOptions, *, by: str) -> MigrationRecord:
    """Make the target the chat's server. The word for it is the caller's to get.

    Raises Refused with what is in the way, the missing approval of a second person included; whatever fails
    before the switch is taken back. Killed in the middle it is gone on with by another call.
    """
    with hold_migration(deps) as journal_of:
        journal = journal_of(_require_open(deps))
        record = journal.record
        if record.phase is Phase.RETURNING:
            go_back(deps, journal)  # an attempt that was being taken back: first to its end
            record = journal.record
        if record.phase in (Phase.COPYING, Phase.FOLLOWING, Phase.ABORTING):
            hint = "Run `groundcrew migrate` again, until it says ready."
            raise Refused("the migration is not ready", value=record.phase, hint=hint)
        run = MigrationRun(deps, journal)
        if record.phase is Phase.READY:
            # Asked before the last catching up, which loads both servers.
            approver = _require_approval(deps, record, by)
            run.make_ready()  # what is left for the pause is seconds of writes
            journal.save(approved_by=approver)
        # Killed in the middle: what has to be compared is read again from the oplog, as memory has lost it.
        elif not record.phase.switched:
            run.follower.resume()
        CutOver(deps, run, options).execute()
        _close_approval(deps, journal, by)
        return journal.record


def go_back_to_source(deps: MigrationDeps, *, by: str) -> MigrationRecord:
    """Make the source the chat's server again. Raises Refused once the target was written to."""
    with hold_migration(deps) as journal_of:
        journal = journal_of(_require_open(deps))
        was = journal.record.phase
        # Ready and frozen is what a kill between the freeze and the first step leaves: that is to be undone.
        idle = was is Phase.READY and not journal.record.frozen
        if idle or was in (Phase.COPYING, Phase.FOLLOWING, Phase.ABORTING):
            raise Refused("there is nothing to go back from", value=was, hint="The chat is on the source.")
        go_back(deps, journal)
        AuditTrail(deps.state, deps.clock).append(by, "migrate.back", journal.record.id, f"from {was}")
        send_notice(deps.notifications, back_notice(journal.record, by))
        return journal.record


def abort_migration(deps: MigrationDeps, *, by: str) -> MigrationRecord:
    """End a migration that was not cut over: what it made at the target is dropped, the chat left as it is.

    Raises Refused after the switch.
    """
    with hold_migration(deps) as journal_of:
        journal = journal_of(_require_open(deps))
        record = journal.record
        if record.phase.switched or (record.phase is Phase.RETURNING and record.opened_at):
            hint = "While nobody has written there: groundcrew migrate back."
            raise Refused("the chat is on the target already", value=record.phase, hint=hint)
        # The source first: the chat must not wait for what is dropped at the target.
        if record.frozen or record.phase is Phase.RETURNING:
            return_to_source(deps, journal)
        # Noted before: from here on the copy has holes, and no run may go on with it.
        journal.save(phase=Phase.ABORTING)
        dropped = drop_copy(deps, journal)
        _drop_markers(deps)
        AuditTrail(deps.state, deps.clock).append(by, "migrate.abort", record.id, f"{dropped} dropped")
        return journal.save(phase=Phase.ABORTED)


def watch_migration(deps: MigrationDeps) -> tuple[MigrationRecord, str]:
    """After the switch: whether the target was written to, and what was written to the source all the same.

    Returns the record and the namespace of the latter, empty if there is none.
    """
    with hold_migration(deps) as journal_of:
        record = load_migration(deps.state)
        if record is None:
            raise NotFound("there is no migration on record")
        journal = journal_of(record)
        # Before the switch every write to the source is one that will be moved.
        if not record.phase.switched:
            return record, ""
        _require_hosts(deps, record)
        late = find_late_write(deps, record)
        if late:
            log.error("migrate.source_written", extra={"migration": record.id, "namespace": late})
            send_notice(deps.notifications, late_write_notice(record, late))
        # Once it is done the first write is known, and the marker gone.
        if record.phase is Phase.SWITCHED:
            watch_first_write(deps, journal)
        return journal.record, late


def _require_approval(deps: MigrationDeps, record: MigrationRecord, by: str) -> str:
    """Who approved it; empty where policy asks for nobody. Raises Refused with the id to approve."""
    if deps.approvals is None:
        return ""
    # The arguments are part of what is approved: an approval for one pair of servers opens no other.
    approvals, arguments = deps.approvals(), _approved_arguments(record)
    granted = approvals.find_granted(ACTION, arguments)
    if granted is not None:
        return granted.approver
    request = approvals.request_approval(ACTION, arguments, by=by, lasting=deps.approval_timeout)
    raise Refused(
        "the cut-over needs the approval of a second person",
        value=request.id,
        hint=describe_how_to_approve(request.id),
    )


def _approved_arguments(record: MigrationRecord) -> dict[str, str]:
    return {"migration": record.id, "from": ", ".join(record.source), "to": ", ".join(record.target)}


def _close_approval(deps: MigrationDeps, journal: MigrationJournal, by: str) -> None:
    """After the switch: an attempt that was taken back needs no second approval."""
    record = journal.record
    if deps.approvals is not None:
        deps.approvals().consume_approval(ACTION, _approved_arguments(record))
    names = f"{', '.join(record.source)} to {', '.join(record.target)}"
    AuditTrail(deps.state, deps.clock).append(by, ACTION, names, "done")
    send_notice(deps.notifications, switched_notice(record, by))


def _drop_markers(deps: MigrationDeps) -> None:
    for control in (deps.source_control, deps.target_control):
        try:
            control.drop_marker()
        except Refused as error:
            # No reason to fail: the migration is over, and the database of the marker does no harm.
            deps.reporter.note(f"the marker stays, drop the database {MARKER_DATABASE} yourself: {error}")


def _require_open(deps: MigrationDeps) -> MigrationRecord:
    record = load_migration(deps.state)
    if record is None or record.phase.ended:
        raise NotFound("there is no migration under way", hint="Begin one: groundcrew migrate --dry-run.")
    _require_hosts(deps, record)
    return record


def _require_hosts(deps: MigrationDeps, record: MigrationRecord) -> None:
    """One migration at a time, and each to its end: the journal of one says nothing of other servers."""
    given = (deps.source.list_hosts(), deps.target.list_hosts())
    if (record.source, record.target) != given:
        raise Refused(
            "another migration is on record",
            value=f"{', '.join(record.source)} to {', '.join(record.target)}, {record.phase}",
            hint="Go on with that one, or end it: groundcrew migrate abort.",
        )


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
