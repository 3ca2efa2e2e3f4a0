"""The nightly backup: plan a set, dump its parts from queue messages, seal it when all are in.

Every step may be killed and run again: blobs are created only if absent, a part's receipt says which
attempt won, and the manifest is written last. How a part is dumped is in `dump`, how a set ends in `seal`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from shared.backup import sets
from shared.backup.begin import OpenSet, begin_set, read_open_set, resume_set
from shared.backup.catalogue import MANUAL, CatalogueEntry, SetState
from shared.backup.completion import remaining_parts
from shared.backup.decide import choose_class, decide_nightly, includes_namespace
from shared.backup.deps import JOB, LEASE, QUEUE, BackupDeps
from shared.backup.dump import DumpSettings, PartTask, dump_part
from shared.backup.read_budget import ReadBudget
from shared.backup.seal import end_of, fail_set, seal_set
from shared.formats.backupset import BackupPlan, receipt_name, set_folder
from shared.kernel.durations import format_duration
from shared.kernel.errors import Corrupt, GroundcrewError, Inconsistent, Locked, Unavailable

log = logging.getLogger(__name__)

GRACE = timedelta(hours=1)  # what catch_up leaves to the timer
_REQUEUE_DELAY = timedelta(seconds=45)  # longer than the lease of one that died
_RETRY = "retry: "
_POISON_HINT = f"It is moved to the queue {QUEUE}-poison. See who can write to {QUEUE}."
_HORIZON = timedelta(days=32)  # the sets of a calendar month, which is what a class is chosen by


def run_nightly(deps: BackupDeps, *, grace: timedelta = timedelta()) -> str:
    """Begin tonight's set, resume unfinished ones; returns what was done, in a sentence.

    Level-triggered: nothing begins if a set was begun since the timer was last due, or failed too recently.
    While the machine is off on purpose, nothing is done: power wakes it, or skips the night, as policy says.
    """
    # The timer and `catch_up` may come at the same second: only one of them may find the night without a set.
    with deps.state.lease("locks/backup", duration=LEASE):
        now = deps.clock.now()
        entries = _list_own(deps, now)
        # A set with messages in the queue is being worked on; without any its messages were lost.
        idle = deps.queues.length(QUEUE) == 0
        oldest = now - 3 * deps.timeout  # an older one is what retention has left of a sealed set
        unfinished = [
            e.info for e in entries if e.state is SetState.OPEN and idle and e.info.created > oldest
        ]
        decision = decide_nightly(
            [_nightly_fact(e) for e in entries if e.info.klass != MANUAL],
            now,
            at=deps.daily_at,
            grace=grace,
            timeout=deps.timeout,
        )
        log.info("backup.nightly_decided", extra={"due": decision.due, "reason": decision.reason})
        # Asked last: it costs a call of Azure, and mostly there is nothing to do.
        if (decision.due or unfinished) and (offline := deps.offline_reason()):
            return f"skipped: {offline}"
        done = [_resume_or_fail(deps, info, now) for info in unfinished]
        if decision.due:
            klass = choose_class(_class_facts(entries), now, deps.zone)
            plan = begin_set(deps, klass, reason=f"schedule: {decision.reason}")
            done.append(f"began {set_folder(plan.klass, plan.set)} in {len(plan.parts)} parts")
        return "; ".join(done) or f"nothing to do: {decision.reason}"


def _list_own(deps: BackupDeps, now: datetime) -> list[CatalogueEntry]:
    """The sets of the last month that are ours; others take part in nothing, and are logged."""
    own: list[CatalogueEntry] = []
    for entry in deps.catalogue.entries(since=now - _HORIZON):
        if entry.state in (SetState.FOREIGN, SetState.MISDATED):
            extra = {"set": entry.info.folder, "state": str(entry.state), "problem": entry.problem}
            log.warning("backup.set_ignored", extra=extra)
        else:
            own.append(entry)
    return own


def _nightly_fact(entry: CatalogueEntry) -> tuple[str, datetime, str]:
    """The set as `decide_nightly` wants it: one that was damaged is no backup, like one that failed."""
    # So a new set is begun the same night, and not only when somebody has read the alarm.
    state = SetState.FAILED if entry.state is SetState.DAMAGED else entry.state
    return entry.info.folder, entry.info.created, str(state)


def _class_facts(entries: Sequence[CatalogueEntry]) -> list[tuple[str, datetime]]:
    """The (class, creation) of the sets that are, or may become, backups."""
    counting = (SetState.SEALED, SetState.OPEN)
    return [(e.info.klass, e.info.created) for e in entries if e.state in counting]


def run_overdue(deps: BackupDeps) -> str:
    """What `catch_up` does: begin a set if the timer missed its night, resume unfinished ones."""
    return run_nightly(deps, grace=GRACE)


def _resume_or_fail(deps: BackupDeps, info: sets.SetInfo, now: datetime) -> str:
    """Resume an unfinished set, or fail it after its timeout; a fault of one set does not stop the others."""
    age = now - info.created
    try:
        if age < deps.timeout:
            return resume_set(deps, info.folder)
        late = Unavailable(
            f"timed out: {info.folder} was not sealed within {format_duration(deps.timeout)}",
            hint=f"See why its parts are missing: groundcrew backups show {info.klass}/{info.id}",
        )
        fail_set(deps, info.klass, info.id, late)
    except GroundcrewError as error:
        log.exception("backup.resume_failed", extra={"set": info.folder})
        return f"could not resume {info.folder}: {error}"
    return f"{info.folder} failed: {late}"


def handle_message(deps: BackupDeps, body: bytes) -> str:
    """Do what a queue message asks for; see `run_part`. Raises Corrupt for a body that asks for nothing.

    The host then delivers it a few times more, and moves it to the poison queue.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Corrupt("invalid queue message", value="not JSON", hint=_POISON_HINT) from error
    # Whoever can write to the queue can put anything here.
    if not isinstance(fields, dict) or not fields.keys() >= {"set", "part"}:
        raise Corrupt("invalid queue message", value=repr(fields)[:80], hint=_POISON_HINT)
    return run_part(deps, fields["set"], fields["part"])


def run_part(deps: BackupDeps, where: str, index: int) -> str:
    """Dump the part that a queue message names; returns what was done, in a sentence.

    A permanent error fails the set, on the record, and begins a new one if that may help; any other error
    is raised, so that the queue delivers the message again. Raises Corrupt, NotFound or Refused for a message
    about what is no part of a set of ours.
    """
    klass, set_id = sets.parse_folder(where)
    plan = sets.read_plan(deps.backups, where, deps.own_signer).record
    # `type`, since a bool is an int; and a negative index would name a part from the end.
    if type(index) is not int or not 0 <= index < len(plan.parts):
        raise Corrupt(f"{where} has no such part", value=repr(index)[:40])
    try:
        if end := end_of(deps, deps.catalogue.examine(sets.read_info(deps.backups, klass, set_id))):
            return f"nothing to do: {where} is {end}"
        # Renewed with every message, so that it does not end in the middle of a set that takes hours.
        deps.place_hold(set_id)
        return _dump_once(deps, where, index)
    except GroundcrewError as error:
        # Raised: the queue delivers the message again, and after some attempts moves it to the poison queue,
        # which is reported.
        if not error.permanent:
            raise
        return _fail_and_retry(deps, plan, where, error)


def _dump_once(deps: BackupDeps, where: str, index: int) -> str:
    open_set = read_open_set(deps, where)
    if index not in open_set.receipts:
        remaining = remaining_parts(open_set.plan.record, open_set.receipts)
        if index not in remaining:
            # The oplog ends the set: what is read after it would not be covered. It is queued when it is due.
            return f"part {index} of {where} waits for {len(remaining)} others"
        try:
            with deps.state.lease(f"locks/{where}{index}", duration=LEASE):
                _dump_and_receipt(deps, open_set, index)
        except Locked:
            deps.queues.send(QUEUE, json.dumps({"set": where, "part": index}), delay=_REQUEUE_DELAY)
            return f"requeued part {index} of {where}: another worker holds its lease"
        open_set = read_open_set(deps, where)
    return _continue_set(deps, open_set)


def _fail_and_retry(deps: BackupDeps, plan: BackupPlan, where: str, error: GroundcrewError) -> str:
    """Fail the set; a dump that only lost its consistency is begun again, once."""
    if not fail_set(deps, plan.klass, plan.set, error):
        return f"nothing to do: {where} is failed"
    # Once: a set that lost its consistency twice in a night has a cause that a third would meet too.
    if isinstance(error, Inconsistent) and not plan.reason.startswith(_RETRY):
        retried = begin_set(deps, plan.klass, reason=f"{_RETRY}{error}")
        return f"{where} failed ({error}); began {set_folder(retried.klass, retried.set)}"
    return f"{where} failed: {error}"


def _dump_and_receipt(deps: BackupDeps, open_set: OpenSet, index: int) -> None:
    """Dump the part and store its receipt, under a name that only this attempt knows."""
    plan, where = open_set.plan.record, open_set.where
    # The plan is signed with the recipients in it: a set whose parts need different keys could not be
    # restored with any one.
    if set(plan.recipients) != set(deps.recipients):
        raise Inconsistent("the recipients were changed since the set was planned")
    includes = partial(includes_namespace, deps.policy)
    limit = deps.policy.read_limit
    budget = ReadBudget(deps.state, deps.clock, limit) if limit else None
    settings = DumpSettings(
        tuple(deps.recipients.values()), plan.level, deps.threads, deps.tool, includes, budget
    )
    # Which attempts the oplog was read after: one that finishes later is not covered by it, and must not be
    # sealed.
    after = tuple(r.blob for r in open_set.receipts.values()) if not plan.parts[index].pieces else ()
    task = PartTask(plan, open_set.plan.sha256, index, after)
    progress = deps.runs.begin_run(
        JOB,
        f"{plan.set}.part-{index:04d}",
        f"dumping part {index}",
        total=plan.parts[index].data_bytes,
        unit="bytes",
    )
    try:
        receipt, attempt = dump_part(deps.connect(), deps.backups, deps.clock, settings, task, progress)
        deps.backups.create(where + receipt_name(index, attempt), deps.signer.sign(receipt))
    except Exception as error:
        # Whatever it was, the record must not go on saying that the part is being dumped.
        progress.finish("failed", f"dump of part {index} failed", str(error) or type(error).__name__)
        log.warning("backup.part_failed", extra={"set": where, "part": index, "error": str(error)})
        raise
    progress.finish("done", f"dumped part {index}", stored_bytes=receipt.stored_bytes)
    log.info("backup.part_done", extra={"set": where, "part": index, "stored_bytes": receipt.stored_bytes})


def _continue_set(deps: BackupDeps, open_set: OpenSet) -> str:
    """After a part: seal the set, or queue the oplog's part if it is the only one that remains."""
    plan, where = open_set.plan.record, open_set.where
    remaining = remaining_parts(plan, open_set.receipts)
    if not remaining:
        return seal_set(deps, open_set.plan, open_set.receipts)
    if not plan.parts[remaining[0]].pieces:
        deps.queues.send(QUEUE, json.dumps({"set": where, "part": remaining[0]}))
        return f"all collections of {where} are dumped; queued its oplog"
    return f"{len(remaining)} parts of {where} remain"
