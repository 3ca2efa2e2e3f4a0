"""The nightly backup: plan a set, dump its parts from queue messages, seal it when all are in.

Every step may be killed and run again: blobs are created only if absent, a part's receipt says which
attempt won, and the manifest is written last. The steps of one part are in `dump`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.core import backup as core
from shared.core.metadata import to_json
from shared.errors import AlreadyExists, GroundcrewError, Inconsistent, Locked, Unavailable
from shared.formats.agekeys import Recipient
from shared.formats.backupset import FORMAT, Link, Plan, Receipt, Source, dump, folder, receipt_name
from shared.formats.manifest import Signer
from shared.ports import Blobs, Clock, Queues, SourceDatabase
from shared.state import parts, sets
from shared.state.audit import Audit
from shared.state.holds import Holds
from shared.state.runs import Runs

if TYPE_CHECKING:
    from shared.policy import Backup as BackupPolicy

log = logging.getLogger(__name__)

QUEUE = "backup-parts"
JOB = "backup"
MANUAL = "manual"  # the class of sets that people ask for
NIGHTLY_SPACING = timedelta(hours=12)
OVERDUE = timedelta(hours=25)
_LEASE = timedelta(seconds=30)
_ASK_AGAIN = timedelta(minutes=5)
_AGAIN = "again, since "
# Renewed with each part; the machine is not stopped while a set is on its way.
_HOLD = timedelta(hours=6)


@dataclass(frozen=True)
class Backup:
    """What the backup needs: the outside systems, and what policy and settings say."""

    source: Callable[[], SourceDatabase]  # connects when called, so that a refusal can be recorded
    backups: Blobs
    state: Blobs
    queues: Queues
    clock: Clock
    recipients: dict[str, Recipient]
    signer: Signer
    tool: str
    zone: ZoneInfo
    policy: BackupPolicy
    threads: int = 2
    patience: timedelta = timedelta(hours=20)

    @property
    def runs(self) -> Runs:
        """The run records."""
        return Runs(self.state, self.clock)

    def hold(self, set_id: str) -> None:
        """Keep the machine from being stopped while the set is on its way."""
        Holds(self.state, self.clock).put(f"backup/{set_id}", f"backup {set_id}", _HOLD)

    def release(self, set_id: str) -> None:
        """The set is sealed or given up."""
        Holds(self.state, self.clock).release(f"backup/{set_id}")


def nightly(backup: Backup, *, spacing: timedelta = NIGHTLY_SPACING) -> str:
    """Begin tonight's set, go on with unfinished ones; returns what was done, in a sentence.

    Level-triggered: nothing begins while a set younger than `spacing` is there.
    """
    with backup.state.lease("locks/backup", duration=_LEASE):
        known = sets.list_sets(backup.backups)
        now = backup.clock.now()
        # A set whose messages are still about is being worked on; one without was forgotten by its queue.
        idle = backup.queues.length(QUEUE) == 0
        done = [_take_up(backup, s, now) for s in known if s.state == "open" and idle]
        facts = [(s.folder, s.created, s.state) for s in known if s.klass != MANUAL]
        due = core.nightly_due(facts, now, spacing=spacing, patience=backup.patience)
        log.info("backup.due", extra={"due": due.due, "because": due.because})
        if due.due:
            begun = [(s.klass, s.created) for s in known if s.state != "failed"]
            klass = core.backup_class(begun, now, backup.zone)
            plan = create(backup, klass, reason=f"schedule: {due.because}")
            done.append(f"began {folder(plan.klass, plan.set)} in {len(plan.parts)} parts")
        return "; ".join(done) or f"nothing to do: {due.because}"


def overdue(backup: Backup) -> str:
    """What `catch_up` does: begin a set if the timer missed its night, go on with forgotten ones."""
    return nightly(backup, spacing=OVERDUE)


def _take_up(backup: Backup, info: sets.SetInfo, now: datetime) -> str:
    """Go on with an unfinished set, or end it if it had its time."""
    age = now - info.created
    if age < backup.patience:
        try:
            return resume(backup, info.folder)
        except GroundcrewError as error:
            # One set that cannot go on must not keep the others from being made.
            log.exception("backup.resume_failed", extra={"set": info.folder})
            return f"could not go on with {info.folder}: {error}"
    late = Unavailable(f"{info.folder} was not finished in time", value=age, cure="See its parts' runs.")
    return _give_up(backup, sets.read_plan(backup.backups, info.folder), info.folder, late)


def survey(backup: Backup, klass: str = MANUAL, reason: str = "") -> Plan:
    """Look at the database and decide what a set made now would hold. Changes nothing."""
    source = backup.source()
    # Before the catalogue is read: what is created from here on is in the oplog.
    start = min(filter(None, (source.oldest_open_transaction(), source.oplog_window()[1])))
    taken, left = core.choose(source.namespaces(), backup.policy)
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
    plan = _write_plan(backup, survey(backup, klass, reason))
    where = folder(klass, plan.set)
    backup.runs.begin(JOB, plan.set, reason)
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
    if ended := _ended(backup, where):
        backup.release(plan.set)
        return f"nothing to do: {where} is {ended}"
    receipts = sets.read_receipts(backup.backups, plan)
    if index not in receipts:
        backup.hold(plan.set)
        try:
            with backup.state.lease(f"locks/{where}{index}", duration=_LEASE):
                receipt = _dump(backup, plan, where, index)
        except Locked:
            backup.queues.send(QUEUE, json.dumps({"set": where, "part": index}), delay=_ASK_AGAIN)
            return f"part {index} of {where} is being dumped by another worker: asked again in 5 minutes"
        except GroundcrewError as error:
            if not error.permanent:
                raise
            return _give_up(backup, plan, where, error)
        receipts = sets.read_receipts(backup.backups, plan) | {index: receipt}
    return _advance(backup, plan, where, receipts)


def _ended(backup: Backup, where: str) -> str:
    for name, state in ((sets.MANIFEST, "sealed"), (sets.FAILED, "failed")):
        if next(iter(backup.backups.list(where + name)), None):
            return state
    return ""


def _dump(backup: Backup, plan: Plan, where: str, index: int) -> Receipt:
    """Dump the part; the first receipt wins, whoever wrote it."""
    settings = parts.Settings(tuple(backup.recipients.values()), plan.level, backup.threads, backup.tool)
    progress = backup.runs.begin(JOB, f"{plan.set}.part-{index:04d}", f"dumping part {index}", unit="bytes")
    try:
        receipt = parts.dump_part(
            backup.source(), backup.backups, backup.clock, settings, plan, index, progress
        )
        backup.backups.create(where + receipt_name(index), dump(receipt))
    except AlreadyExists:
        progress.finish("skipped", f"another attempt at part {index} was faster")
        return sets.read_receipts(backup.backups, plan)[index]
    except GroundcrewError as error:
        progress.finish("failed", f"part {index} was not dumped", str(error))
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


def seal(backup: Backup, plan: Plan, receipts: dict[int, Receipt]) -> str:
    """Write the signed manifest, which makes the set a backup. Safe to repeat."""
    where = folder(plan.klass, plan.set)
    with backup.state.lease("locks/chain", duration=_LEASE) as lease:
        before = sets.newest_link(backup.backups, (), but=plan.set)
        link = Link(before.manifest.set, before.manifest.klass, before.sha256) if before else None
        manifest = core.assemble(plan, receipts, tool=backup.tool, previous=link)
        lease.check()
        try:
            backup.backups.create(where + sets.MANIFEST, backup.signer.sign(manifest))
        except AlreadyExists:
            backup.release(plan.set)
            return f"{where} had been sealed before"
    backup.release(plan.set)
    documents = sum(n.documents for n in manifest.namespaces)
    stored = sum(p.stored_bytes for p in manifest.parts)
    summary = f"sealed {where}: {documents} documents, {len(manifest.namespaces)} namespaces, {stored} bytes"
    backup.runs.end(JOB, plan.set, "done", summary, stored_bytes=stored, documents=documents)
    Audit(backup.state, backup.clock).append("groundcrew", "backup.seal", where, "sealed")
    log.info("backup.sealed", extra={"set": where, "documents": documents, "stored_bytes": stored})
    return summary


def _give_up(backup: Backup, plan: Plan, where: str, error: GroundcrewError) -> str:
    """End the set for good and say why; a dump that only lost its consistency is begun anew, once."""
    try:
        note = json.dumps({"at": backup.clock.now().isoformat(), "error": str(error)})
        backup.backups.create(where + sets.FAILED, note.encode())
    except AlreadyExists:
        backup.release(plan.set)
        return f"nothing to do: {where} is failed"
    backup.release(plan.set)
    backup.runs.end(JOB, plan.set, "failed", f"gave up {where}", str(error))
    log.error("backup.failed", extra={"set": where, "error": str(error)})
    if isinstance(error, Inconsistent) and not plan.reason.startswith(_AGAIN):
        fresh = create(backup, plan.klass, reason=f"{_AGAIN}{error}")
        return f"gave up {where} ({error}) and began {folder(fresh.klass, fresh.set)}"
    return f"gave up {where}: {error}"
