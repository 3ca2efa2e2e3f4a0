"""A backup in progress: what it needs, and how a set ends, sealed or given up. Safe to repeat, all of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.backup import decide as core
from shared.backup import sets
from shared.formats.agekeys import Recipient
from shared.formats.backupset import Link, Manifest, Plan, Receipt, folder
from shared.formats.manifest import Signer
from shared.kernel.errors import AlreadyExists, GroundcrewError, Inconsistent, NotFound
from shared.kernel.ports import Blobs, Clock, Queues
from shared.mongodb.ports import SourceDatabase
from shared.records.audit import Audit
from shared.records.holds import Holds
from shared.records.runs import Runs

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

log = logging.getLogger(__name__)

JOB = "backup"
LEASE = timedelta(seconds=30)
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
    daily_at: time = time(1)  # UTC, when the timer fires
    # Why the database is out of reach on purpose; empty if it is not.
    asleep: Callable[[], str] = lambda: ""

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


def ended(backup: Backup, plan: Plan) -> str:
    """`sealed` or `failed` if the set has ended, which is then on the record too; else empty."""
    where = folder(plan.klass, plan.set)
    if next(iter(backup.backups.list(where + sets.MANIFEST)), None):
        _note_sealed(backup, plan)
        return "sealed"
    if next(iter(backup.backups.list(where + sets.FAILED)), None):
        backup.release(plan.set)
        return "failed"
    return ""


def seal(backup: Backup, plan: Plan, receipts: Mapping[int, Receipt]) -> str:
    """Write the signed manifest, which makes the set a backup. Raises Inconsistent if a part is not there."""
    where = folder(plan.klass, plan.set)
    with backup.state.lease("locks/chain", duration=LEASE) as lease:
        before = sets.newest_link(backup.backups, (), but=plan.set)
        link = Link(before.manifest.set, before.manifest.klass, before.sha256) if before else None
        manifest = core.assemble(plan, receipts, tool=backup.tool, previous=link)
        _check_parts(backup, where, manifest)
        lease.check()
        try:
            backup.backups.create(where + sets.MANIFEST, backup.signer.sign(manifest))
        except AlreadyExists:
            log.info("backup.sealed_before", extra={"set": where})
    return _note_sealed(backup, plan)


def _check_parts(backup: Backup, where: str, manifest: Manifest) -> None:
    """A receipt says what was written; what counts is what is there now."""
    there = {blob.name: blob.stored_bytes for blob in backup.backups.list(where)}
    for part in manifest.parts:
        if there.get(where + part.blob) != part.stored_bytes:
            raise Inconsistent(
                f"{where + part.blob} is not there as it was written",
                value=f"{there.get(where + part.blob, 'no')} bytes instead of {part.stored_bytes}",
            )


def _note_sealed(backup: Backup, plan: Plan) -> str:
    """Record the end of a sealed set: again if whoever sealed it died before, once if not."""
    where = folder(plan.klass, plan.set)
    backup.release(plan.set)
    try:
        run = backup.runs.load(JOB, plan.set)
        if run.state == "done":
            return run.summary
    except NotFound:
        log.info("backup.no_run_record", extra={"set": where})
    info = sets.find(backup.backups, f"{plan.klass}/{plan.set}")
    manifest = sets.read_manifest(backup.backups, info, ()).manifest
    documents = sum(n.documents for n in manifest.namespaces)
    stored = sum(p.stored_bytes for p in manifest.parts)
    summary = f"sealed {where}: {documents} documents, {len(manifest.namespaces)} namespaces, {stored} bytes"
    Audit(backup.state, backup.clock).append("groundcrew", "backup.seal", where, "sealed")
    backup.runs.end(JOB, plan.set, "done", summary, stored_bytes=stored, documents=documents)
    log.info("backup.sealed", extra={"set": where, "documents": documents, "stored_bytes": stored})
    return summary


def give_up(backup: Backup, klass: str, set_id: str, error: GroundcrewError) -> bool:
    """End the set for good and say why; False if it had been ended before. Its plan may be unreadable."""
    where = folder(klass, set_id)
    note = json.dumps({"at": backup.clock.now().isoformat(), "error": str(error)})
    try:
        backup.backups.create(where + sets.FAILED, note.encode())
    except AlreadyExists:
        return False
    finally:
        backup.release(set_id)
    backup.runs.end(JOB, set_id, "failed", f"gave up {where}", str(error))
    log.error("backup.failed", extra={"set": where, "error": str(error)})
    return True
