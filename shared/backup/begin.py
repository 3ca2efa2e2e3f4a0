"""Beginning a backup set and going on with it: the plan, its parts in the queue, what is done already."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace

from shared.backup import sets
from shared.backup.catalogue import MANUAL
from shared.backup.completion import choose_receipts, remaining_parts
from shared.backup.decide import check_selection, count_pieces, plan_parts, select_namespaces
from shared.backup.deps import JOB, QUEUE, BackupDeps
from shared.backup.seal import seal_set
from shared.formats.backupset import BackupPlan, BackupSource, Receipt, set_folder
from shared.formats.manifest import VerifiedRecord
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import AlreadyExists, GroundcrewError, Unavailable
from shared.mongodb.metadata import encode_metadata

log = logging.getLogger(__name__)

_MOST_IDS = 600  # ids that a new set tries before it gives up


def plan_set(deps: BackupDeps, klass: str = MANUAL, reason: str = "") -> BackupPlan:
    """What a set made now would hold, read from the database's catalogue. Changes nothing."""
    source = deps.connect()
    # Before the catalogue is read: what is created from here on is in the oplog. The newest entry first: a
    # transaction that begins after it is in the window as a whole, one from before is still open then.
    _, newest = source.read_oplog_window()
    start = min(filter(None, (newest, source.find_oldest_open_transaction())))
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
        deps.runs.end_run(JOB, run, "failed", f"could not begin a {klass} set", str(error))
        log.exception("backup.begin_failed", extra={"class": klass, "run": run, "reason": reason})
        raise
    where = set_folder(klass, plan.set)
    size = sum(part.data_bytes for part in plan.parts)
    deps.runs.begin_run(JOB, plan.set, reason, total=size, unit="bytes")
    log.info("backup.planned", extra={"set": where, "parts": len(plan.parts)})
    resume_set(deps, where)
    return plan


def _write_plan(deps: BackupDeps, plan: BackupPlan) -> BackupPlan:
    """Two sets of one class begun in the same second: the later one takes the next second's id."""
    for _ in range(_MOST_IDS):
        try:
            deps.backups.create(set_folder(plan.klass, plan.set) + sets.PLAN, deps.signer.sign(plan))
        except AlreadyExists:
            plan = replace(plan, set=sets.next_set_id(plan.set))
        else:
            return plan
    raise Unavailable(
        "no id is free for a new set",
        value=f"{_MOST_IDS} ids up to {plan.klass}/{plan.set} are taken",
        hint="See who can write to the container: groundcrew backups list --all",
    )


def resume_set(deps: BackupDeps, where: str) -> str:
    """Queue the parts that have no receipt; seal the set if all have one."""
    open_set = read_open_set(deps, where)
    plan = open_set.plan.record
    remaining = remaining_parts(plan, open_set.receipts)
    deps.place_hold(plan.set)
    for index in remaining:
        deps.queues.send(QUEUE, json.dumps({"set": where, "part": index}))
    if not remaining:
        return seal_set(deps, open_set.plan, open_set.receipts)
    return f"queued {len(remaining)} of {len(plan.parts)} parts of {where}"


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A set that is being made: its plan and the receipts that count."""

    where: str
    plan: VerifiedRecord[BackupPlan]
    receipts: dict[int, Receipt]


def read_open_set(deps: BackupDeps, where: str) -> OpenSet:
    """Raises Corrupt or Refused if the plan is not ours; receipts that are not are ignored."""
    plan = sets.read_plan(deps.backups, where, deps.own_signer)
    info = sets.read_info(deps.backups, plan.record.klass, plan.record.set)
    receipts = sets.read_receipts(deps.backups, info, plan, deps.own_signer)
    return OpenSet(where, plan, choose_receipts(plan.record, receipts))
