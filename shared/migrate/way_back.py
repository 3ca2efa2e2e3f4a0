"""The way back: to the source, as long as nothing was written to the target."""

from __future__ import annotations

import logging

from shared.formats.documents import split_documents
from shared.kernel.errors import Refused
from shared.migrate.chat import start_chat, stop_chat
from shared.migrate.deps import MigrationDeps
from shared.migrate.model import Phase
from shared.migrate.records import MigrationJournal, MigrationRecord
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import read_timestamp, unpack_operations
from shared.records.deploy_freeze import unfreeze_deploys

log = logging.getLogger(__name__)


def return_to_source(deps: MigrationDeps, journal: MigrationJournal) -> None:
    """The source takes writes again, and the chat is started on it. May be done again."""
    was = journal.record.phase
    # First: a run that is killed here must never go on with the cut-over, whose source is open again.
    record = journal.save(phase=Phase.RETURNING)
    if record.blocked:
        deps.source_control.allow_writes()
        journal.save(blocked=False)
    if record.opened_at and deps.connection is None:
        # Nobody knows here which address its Secret has: started now, it might come up on the target.
        counts = ", ".join(f"{name} to {count}" for name, count in sorted(record.replicas.items()))
        deps.reporter.note(f"revert the pull request if it was merged, then scale the chat up: {counts}")
    else:
        # In this order: the chat comes up on a server that it can write to.
        start_chat(deps, journal)
    if record.frozen:
        unfreeze_deploys(deps.state)
    journal.save(phase=Phase.READY, frozen=False, opened_at="", pause_ended=deps.clock.now())
    log.warning("migrate.returned_to_source", extra={"migration": record.id, "from": was})


def find_first_write(deps: MigrationDeps, record: MigrationRecord) -> str:
    """The namespace of the first write of others at the target since the switch; empty while there is none.

    What expires there is deleted by the server itself, as it would be at the source. Raises Refused if the
    target's oplog does not reach back to the switch: then nobody knows.
    """
    since = Timestamp.parse(record.opened_at)
    oldest, newest = deps.target_oplog.read_oplog_window()
    if oldest > since:
        hint = "Take it that something was written: the way back would lose it."
        raise Refused("the target's oplog does not reach back to the cut-over", value=oldest, hint=hint)
    expiring = {
        n.name
        for n in deps.target.list_namespaces()
        if any("expireAfterSeconds" in index for index in n.indexes)
    }
    batches = deps.target_oplog.read_oplog(since, newest)
    later = (entry for batch in batches for entry in split_documents(batch) if read_timestamp(entry) > since)
    for operation in unpack_operations(later):
        # Sessions and the marker are written by the server and by us.
        if operation is None or operation.db not in record.databases:
            continue
        if not (operation.op == "d" and operation.subject in expiring):
            return operation.subject
    return ""


def watch_first_write(deps: MigrationDeps, journal: MigrationJournal) -> str:
    """As `find_first_write`, noted: from then on the migration is done, and its markers are removed."""
    first = journal.record.first_write or find_first_write(deps, journal.record)
    if first and journal.record.phase is Phase.SWITCHED:
        deps.target_control.drop_marker()
        journal.save(phase=Phase.DONE, first_write=first)
        log.info("migrate.first_write", extra={"migration": journal.record.id, "namespace": first})
    return first


def find_late_write(deps: MigrationDeps, record: MigrationRecord) -> str:
    """The namespace of the first write to the source after the last that was moved; empty if there is none.

    A source that could not be made read-only takes them, and they are on no other server.
    """
    since = Timestamp.parse(record.drained)
    oldest, newest = deps.source.read_oplog_window()
    if oldest > since:
        return ""  # so much was written, or so long ago, that only its being stopped helps
    batches = deps.source.read_oplog(since, newest)
    later = (entry for batch in batches for entry in split_documents(batch) if read_timestamp(entry) > since)
    operations = (one for one in unpack_operations(later) if one is not None)
    return next((one.subject for one in operations if one.db in record.databases), "")


def go_back(deps: MigrationDeps, journal: MigrationJournal) -> None:
    """To the source, from wherever the cut-over is. Raises Refused once the target was written to."""
    if journal.record.secret and deps.connection is None:
        raise Refused("the Secret was switched by us, and is not reached now", value=journal.record.secret)
    if journal.record.phase.switched:
        _leave_target(deps, journal)
    if journal.record.phase is Phase.RETURNING and deps.connection is not None:
        deps.connection.switch_back()
    return_to_source(deps, journal)


def _leave_target(deps: MigrationDeps, journal: MigrationJournal) -> None:
    """The chat away from the target, and nothing written there: only then the source is opened again."""
    _refuse_after_write(watch_first_write(deps, journal))
    if deps.chat is not None:
        replicas = journal.record.replicas or {n: c for n, c in deps.chat.list_replicas().items() if c > 0}
        journal.save(replicas=replicas)
        stop_chat(deps, journal, ignored=())
    # Once more, with nobody there who could: what was written in between is not lost unseen.
    _refuse_after_write(watch_first_write(deps, journal))
    journal.save(phase=Phase.RETURNING)


def _refuse_after_write(first: str) -> None:
    if first:
        raise Refused(
            "the way back is shut: the target was written to",
            value=first,
            hint="It would lose what was written since. To go back all the same, migrate the other way.",
        )
