"""The nightly backup: plan a set, dump its parts from queue messages, seal it when all are in.

Every step may be killed and run again: blobs are created only if absent, a part's receipt says which
attempt won, and the manifest is written last. How a part is dumped is in `shared.state.parts`, how a set
ends in `shared.state.backing`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.backup import decide as core
from shared.backup import dump as parts
from shared.backup import sets
from shared.backup.seal import JOB as JOB
from shared.backup.seal import LEASE, ended, give_up, seal
from shared.backup.seal import Backup as Backup
from shared.formats.backupset import FORMAT, Plan, Receipt, Source, dump, folder, receipt_name
from shared.kernel.errors import AlreadyExists, GroundcrewError, Inconsistent, Locked, Unavailable
from shared.mongodb.metadata import to_json

log = logging.getLogger(__name__)

QUEUE = "backup-parts"
MANUAL = "manual"  # the class of sets that people ask for
GRACE = timedelta(hours=1)  # what catch_up leaves to the timer
_ASK_AGAIN = timedelta(seconds=45)  # longer than the lease of one that died
_AGAIN = "again, since "


def nightly(backup: Backup, *, grace: timedelta = timedelta()) -> str:
    """Begin tonight's set, go on with unfinished ones; returns what was done, in a sentence.

    Level-triggered: nothing begins if a set was begun since the timer was last due, or failed too recently.
    While the machine is off on purpose, nothing is done: power wakes it, or skips the night, as policy says.
    """
    with backup.state.lease("locks/backup", duration=LEASE):
        known = sets.list_sets(backup.backups)
        now = backup.clock.now()
        # A set whose messages are still about is being worked on; one without was forgotten by its queue.
        idle = backup.queues.length(QUEUE) == 0
        reach = now - 3 * backup.patience  # what is older is a sealed set of which the rest expires
        unfinished = [s for s in known if s.state == "open" and idle and s.created > reach]
        facts = [(s.folder, s.created, s.state) for s in known if s.klass != MANUAL]
        due = core.nightly_due(facts, now, at=backup.daily_at, grace=grace, patience=backup.patience)
        log.info("backup.due", extra={"due": due.due, "because": due.because})
        if (due.due or unfinished) and (asleep := backup.asleep()):
            return f"left to power: {asleep}"
        done = [_take_up(backup, s, now) for s in unfinished]
        if due.due:
            begun = [(s.klass, s.created) for s in known if s.state != "failed"]
            klass = core.backup_class(begun, now, backup.zone)
            plan = create(backup, klass, reason=f"schedule: {due.because}")
            done.append(f"began {folder(plan.klass, plan.set)} in {len(plan.parts)} parts")
        return "; ".join(done) or f"nothing to do: {due.because}"


def overdue(backup: Backup) -> str:
    """What `catch_up` does: begin a set if the timer missed its night, go on with forgotten ones."""
    return nightly(backup, grace=GRACE)


def _take_up(backup: Backup, info: sets.SetInfo, now: datetime) -> str:
    """Go on with an unfinished set, or end it if it had its time; no set keeps the others from being made."""
    age = now - info.created
    try:
        if age < backup.patience:
            return resume(backup, info.folder)
        late = Unavailable(f"{info.folder} was not finished in time", value=age, hint="See its parts' runs.")
        give_up(backup, info.klass, info.id, late)
    except GroundcrewError as error:
        log.exception("backup.resume_failed", extra={"set": info.folder})
        return f"could not go on with {info.folder}: {error}"
    return f"gave up {info.folder}: {late}"


def survey(backup: Backup, klass: str = MANUAL, reason: str = "") -> Plan:
    """Look at the database and decide what a set made now would hold. Changes nothing."""
    source = backup.source()
    # Before the catalogue is read: what is created from here on is in the oplog.
    start = min(filter(None, (source.oldest_open_transaction(), source.oplog_window()[1])))
    taken, left = core.choose(source.namespaces(), backup.policy)
    core.check_choice(taken, backup.policy)
    size = backup.policy.part_target
    pieces = {n.name: core.pieces_wanted(n, size) for n in taken}
    cuts = {n.name: source.split_points(n, pieces[n.name]) for n in taken if pieces[n.name] > 1}
    now = backup.clock.now()
    return Plan(
        format=FORMAT,
        set=sets.new_id(now),
        klass=klass,
        created=now,
        reason=reason,
        source=Source(source.hosts(), source.server_version()),
        oplog_start=str(start),
        recipients=tuple(backup.recipients),
        level=backup.policy.zstd_level,
        excluded=tuple(e.name for e in left),
        parts=core.plan_parts(taken, cuts, {n.name: to_json(n) for n in taken}, part_bytes=size),
    )


def create(backup: Backup, klass: str, *, reason: str) -> Plan:
    """Plan a set and put its parts on the queue. Raises what the database or the storage refuses with."""
    try:
        plan = _write_plan(backup, survey(backup, klass, reason))
    except GroundcrewError as error:
        run = sets.new_id(backup.clock.now())
        backup.runs.end(JOB, run, "failed", f"no {klass} set was begun", str(error))
        log.exception("backup.not_begun", extra={"because": reason})
        raise
    where = folder(klass, plan.set)
    size = sum(part.data_bytes for part in plan.parts)
    backup.runs.begin(JOB, plan.set, reason, total=size, unit="bytes")
    log.info("backup.planned", extra={"set": where, "parts": len(plan.parts)})
    resume(backup, where)
    return plan


def _write_plan(backup: Backup, plan: Plan) -> Plan:
    """Two sets of one class begun in the same second: the later one takes the next second's id."""
    while True:
        try:
            backup.backups.create(folder(plan.klass, plan.set) + sets.PLAN, dump(plan))
        except AlreadyExists:
            plan = replace(plan, set=sets.next_id(plan.set))
        else:
            return plan


def resume(backup: Backup, where: str) -> str:
    """Put the parts that lack a receipt on the queue, or seal if none does."""
    plan = sets.read_plan(backup.backups, where)
    receipts = sets.read_receipts(backup.backups, plan)
    todo = core.unfinished(plan, receipts)
    backup.hold(plan.set)
    for index in todo:
        backup.queues.send(QUEUE, json.dumps({"set": where, "part": index}))
    if not todo:
        return seal(backup, plan, receipts)
    return f"put {len(todo)} of {len(plan.parts)} parts of {where} on the queue"


def run_part(backup: Backup, where: str, index: int) -> str:
    """Do what one message asks for; returns what was done, in a sentence.

    A permanent failure ends the set, on the record, and begins a new one if that may help; any other is
    raised, for the queue to try again.
    """
    plan = sets.read_plan(backup.backups, where)
    if state := ended(backup, plan):
        return f"nothing to do: {where} is {state}"
    backup.hold(plan.set)
    try:
        return _part(backup, plan, where, index)
    except GroundcrewError as error:
        if not error.permanent:
            raise
        return _begin_anew(backup, plan, where, error)


def _part(backup: Backup, plan: Plan, where: str, index: int) -> str:
    receipts = sets.read_receipts(backup.backups, plan)
    if index not in receipts:
        try:
            with backup.state.lease(f"locks/{where}{index}", duration=LEASE):
                receipt = _dump(backup, plan, where, index)
        except Locked:
            backup.queues.send(QUEUE, json.dumps({"set": where, "part": index}), delay=_ASK_AGAIN)
            return f"part {index} of {where} is being dumped by another worker: asked again soon"
        receipts = sets.read_receipts(backup.backups, plan) | {index: receipt}
    return _advance(backup, plan, where, receipts)


def _begin_anew(backup: Backup, plan: Plan, where: str, error: GroundcrewError) -> str:
    """End the set; a dump that only lost its consistency is begun anew, once."""
    if not give_up(backup, plan.klass, plan.set, error):
        return f"nothing to do: {where} is failed"
    if isinstance(error, Inconsistent) and not plan.reason.startswith(_AGAIN):
        fresh = create(backup, plan.klass, reason=f"{_AGAIN}{error}")
        return f"gave up {where} ({error}) and began {folder(fresh.klass, fresh.set)}"
    return f"gave up {where}: {error}"


def _dump(backup: Backup, plan: Plan, where: str, index: int) -> Receipt:
    """Dump the part; the first receipt wins, whoever wrote it."""
    if set(plan.recipients) != set(backup.recipients):
        raise Inconsistent("the recipients were changed since the set was planned")
    settings = parts.Settings(tuple(backup.recipients.values()), plan.level, backup.threads, backup.tool)
    progress = backup.runs.begin(
        JOB,
        f"{plan.set}.part-{index:04d}",
        f"dumping part {index}",
        total=plan.parts[index].data_bytes,
        unit="bytes",
    )
    try:
        receipt = parts.dump_part(
            backup.source(), backup.backups, backup.clock, settings, plan, index, progress
        )
        backup.backups.create(where + receipt_name(index), dump(receipt))
    except AlreadyExists:
        progress.finish("skipped", f"another attempt at part {index} was faster")
        return sets.read_receipts(backup.backups, plan)[index]
    except Exception as error:
        # Whatever it was, the record must not say that the part is still being dumped.
        progress.finish("failed", f"part {index} was not dumped", str(error) or type(error).__name__)
        log.warning("backup.part_failed", extra={"set": where, "part": index, "error": str(error)})
        raise
    progress.finish("done", f"dumped part {index}", stored_bytes=receipt.stored_bytes)
    log.info("backup.part_done", extra={"set": where, "part": index, "stored_bytes": receipt.stored_bytes})
    return receipt


def _advance(backup: Backup, plan: Plan, where: str, receipts: dict[int, Receipt]) -> str:
    """After a part: seal the set, or send the oplog's part if it is the only one left."""
    todo = core.unfinished(plan, receipts)
    if not todo:
        return seal(backup, plan, receipts)
    if not plan.parts[todo[0]].pieces:
        backup.queues.send(QUEUE, json.dumps({"set": where, "part": todo[0]}))
        return f"all collections of {where} are in: the oplog is next"
    return f"{len(todo)} parts of {where} are still to come"
