"""The nightly backup: plan a set, dump its parts from queue messages, seal it when all are in.

Every step may be killed and run again: blobs are created only if absent, a part's receipt says which
attempt won, and the manifest is written last. How a part is dumped is in `dump`, how a set ends in `seal`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.backup import sets
from shared.backup.decide import (
    check_selection,
    choose_class,
    count_pieces,
    decide_nightly,
    plan_parts,
    remaining_parts,
    select_namespaces,
)
from shared.backup.deps import JOB, LEASE, BackupDeps
from shared.backup.dump import DumpSettings, dump_part
from shared.backup.seal import ended_state, fail_set, seal_set
from shared.formats.backupset import (
    FORMAT,
    BackupPlan,
    BackupSource,
    Receipt,
    encode_record,
    receipt_name,
    set_folder,
)
from shared.kernel.durations import format_duration
from shared.kernel.errors import AlreadyExists, GroundcrewError, Inconsistent, Locked, Unavailable
from shared.mongodb.metadata import encode_metadata

log = logging.getLogger(__name__)

QUEUE = "backup-parts"
MANUAL = "manual"  # the class of sets that people ask for
GRACE = timedelta(hours=1)  # what catch_up leaves to the timer
_REQUEUE_DELAY = timedelta(seconds=45)  # longer than the lease of one that died
_RETRY = "retry: "


def run_nightly(deps: BackupDeps, *, grace: timedelta = timedelta()) -> str:
    """Begin tonight's set, resume unfinished ones; returns what was done, in a sentence.

    Level-triggered: nothing begins if a set was begun since the timer was last due, or failed too recently.
    While the machine is off on purpose, nothing is done: power wakes it, or skips the night, as policy says.
    """
    with deps.state.lease("locks/backup", duration=LEASE):
        known = sets.list_sets(deps.backups)
        now = deps.clock.now()
        # A set with messages in the queue is being worked on; without any its messages were lost.
        idle = deps.queues.length(QUEUE) == 0
        oldest = now - 3 * deps.timeout  # an older one is what retention has left of a sealed set
        unfinished = [s for s in known if s.state == "open" and idle and s.created > oldest]
        facts = [(s.folder, s.created, s.state) for s in known if s.klass != MANUAL]
        decision = decide_nightly(facts, now, at=deps.daily_at, grace=grace, timeout=deps.timeout)
        log.info("backup.nightly_decided", extra={"due": decision.due, "reason": decision.reason})
        if (decision.due or unfinished) and (offline := deps.offline_reason()):
            return f"skipped: {offline}"
        done = [_resume_or_fail(deps, s, now) for s in unfinished]
        if decision.due:
            others = [(s.klass, s.created) for s in known if s.state != "failed"]
            klass = choose_class(others, now, deps.zone)
            plan = begin_set(deps, klass, reason=f"schedule: {decision.reason}")
            done.append(f"began {set_folder(plan.klass, plan.set)} in {len(plan.parts)} parts")
        return "; ".join(done) or f"nothing to do: {decision.reason}"


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


def plan_set(deps: BackupDeps, klass: str = MANUAL, reason: str = "") -> BackupPlan:
    """What a set made now would hold, read from the database's catalogue. Changes nothing."""
    source = deps.connect()
    # Before the catalogue is read: what is created from here on is in the oplog.
    start = min(filter(None, (source.find_oldest_open_transaction(), source.read_oplog_window()[1])))
    included, excluded = select_namespaces(source.list_namespaces(), deps.policy)
    check_selection(included, deps.policy)
    size = deps.policy.part_target
    pieces = {n.name: count_pieces(n, size) for n in included}
    cuts = {n.name: source.sample_split_points(n, pieces[n.name]) for n in included if pieces[n.name] > 1}
    now = deps.clock.now()
    return BackupPlan(
        format=FORMAT,
        set=sets.format_set_id(now),
        klass=klass,
        created=now,
        reason=reason,
        source=BackupSource(source.list_hosts(), source.read_server_version()),
        oplog_start=str(start),
        recipients=tuple(deps.recipients),
        level=deps.policy.zstd_level,
        excluded=tuple(e.name for e in excluded),
        parts=plan_parts(included, cuts, {n.name: encode_metadata(n) for n in included}, part_bytes=size),
    )


def begin_set(deps: BackupDeps, klass: str, *, reason: str) -> BackupPlan:
    """Plan a set and put its parts on the queue. Raises what the database or the storage refuses with."""
    try:
        plan = _write_plan(deps, plan_set(deps, klass, reason))
    except GroundcrewError as error:
        run = sets.format_set_id(deps.clock.now())
        deps.runs.end(JOB, run, "failed", f"could not begin a {klass} set", str(error))
        log.exception("backup.begin_failed", extra={"class": klass, "run": run, "reason": reason})
        raise
    where = set_folder(klass, plan.set)
    size = sum(part.data_bytes for part in plan.parts)
    deps.runs.begin(JOB, plan.set, reason, total=size, unit="bytes")
    log.info("backup.planned", extra={"set": where, "parts": len(plan.parts)})
    resume_set(deps, where)
    return plan


def _write_plan(deps: BackupDeps, plan: BackupPlan) -> BackupPlan:
    """Two sets of one class begun in the same second: the later one takes the next second's id."""
    while True:
        try:
            deps.backups.create(set_folder(plan.klass, plan.set) + sets.PLAN, encode_record(plan))
        except AlreadyExists:
            plan = replace(plan, set=sets.next_set_id(plan.set))
        else:
            return plan


def resume_set(deps: BackupDeps, where: str) -> str:
    """Queue the parts that have no receipt; seal the set if all have one."""
    plan = sets.read_plan(deps.backups, where)
    receipts = sets.read_receipts(deps.backups, plan)
    remaining = remaining_parts(plan, receipts)
    deps.place_hold(plan.set)
    for index in remaining:
        deps.queues.send(QUEUE, json.dumps({"set": where, "part": index}))
    if not remaining:
        return seal_set(deps, plan, receipts)
    return f"queued {len(remaining)} of {len(plan.parts)} parts of {where}"


def run_part(deps: BackupDeps, where: str, index: int) -> str:
    """Dump the part that a queue message names; returns what was done, in a sentence.

    A permanent error fails the set, on the record, and begins a new one if that may help; any other error
    is raised, so that the queue delivers the message again.
    """
    plan = sets.read_plan(deps.backups, where)
    if state := ended_state(deps, plan):
        return f"nothing to do: {where} is {state}"
    deps.place_hold(plan.set)
    try:
        return _dump_once(deps, plan, where, index)
    except GroundcrewError as error:
        if not error.permanent:
            raise
        return _fail_and_retry(deps, plan, where, error)


def _dump_once(deps: BackupDeps, plan: BackupPlan, where: str, index: int) -> str:
    receipts = sets.read_receipts(deps.backups, plan)
    if index not in receipts:
        try:
            with deps.state.lease(f"locks/{where}{index}", duration=LEASE):
                receipt = _dump_and_receipt(deps, plan, where, index)
        except Locked:
            deps.queues.send(QUEUE, json.dumps({"set": where, "part": index}), delay=_REQUEUE_DELAY)
            return f"requeued part {index} of {where}: another worker holds its lease"
        receipts = sets.read_receipts(deps.backups, plan) | {index: receipt}
    return _continue_set(deps, plan, where, receipts)


def _fail_and_retry(deps: BackupDeps, plan: BackupPlan, where: str, error: GroundcrewError) -> str:
    """Fail the set; a dump that only lost its consistency is begun again, once."""
    if not fail_set(deps, plan.klass, plan.set, error):
        return f"nothing to do: {where} is failed"
    if isinstance(error, Inconsistent) and not plan.reason.startswith(_RETRY):
        retried = begin_set(deps, plan.klass, reason=f"{_RETRY}{error}")
        return f"{where} failed ({error}); began {set_folder(retried.klass, retried.set)}"
    return f"{where} failed: {error}"


def _dump_and_receipt(deps: BackupDeps, plan: BackupPlan, where: str, index: int) -> Receipt:
    """Dump the part; the first receipt wins, whoever wrote it."""
    if set(plan.recipients) != set(deps.recipients):
        raise Inconsistent("the recipients were changed since the set was planned")
    settings = DumpSettings(tuple(deps.recipients.values()), plan.level, deps.threads, deps.tool)
    progress = deps.runs.begin(
        JOB,
        f"{plan.set}.part-{index:04d}",
        f"dumping part {index}",
        total=plan.parts[index].data_bytes,
        unit="bytes",
    )
    try:
        receipt = dump_part(deps.connect(), deps.backups, deps.clock, settings, plan, index, progress)
        deps.backups.create(where + receipt_name(index), encode_record(receipt))
    except AlreadyExists:
        progress.finish("skipped", f"another attempt at part {index} finished first")
        return sets.read_receipts(deps.backups, plan)[index]
    except Exception as error:
        # Whatever it was, the record must not go on saying that the part is being dumped.
        progress.finish("failed", f"dump of part {index} failed", str(error) or type(error).__name__)
        log.warning("backup.part_failed", extra={"set": where, "part": index, "error": str(error)})
        raise
    progress.finish("done", f"dumped part {index}", stored_bytes=receipt.stored_bytes)
    log.info("backup.part_done", extra={"set": where, "part": index, "stored_bytes": receipt.stored_bytes})
    return receipt


def _continue_set(deps: BackupDeps, plan: BackupPlan, where: str, receipts: dict[int, Receipt]) -> str:
    """After a part: seal the set, or queue the oplog's part if it is the only one that remains."""
    remaining = remaining_parts(plan, receipts)
    if not remaining:
        return seal_set(deps, plan, receipts)
    if not plan.parts[remaining[0]].pieces:
        deps.queues.send(QUEUE, json.dumps({"set": where, "part": remaining[0]}))
        return f"all collections of {where} are dumped; queued its oplog"
    return f"{len(remaining)} parts of {where} remain"
