"""How a backup set ends: sealed by its signed manifest, or failed with a reason. Safe to repeat."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from shared.backup import sets
from shared.backup.decide import build_manifest
from shared.backup.deps import JOB, LEASE, BackupDeps
from shared.formats.backupset import BackupPlan, ChainLink, Manifest, Receipt, set_folder
from shared.kernel.errors import AlreadyExists, GroundcrewError, Inconsistent, NotFound
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)


def ended_state(deps: BackupDeps, plan: BackupPlan) -> str:
    """`sealed` or `failed` if the set has ended, which is then on the record too; else empty."""
    where = set_folder(plan.klass, plan.set)
    if next(iter(deps.backups.list(where + sets.MANIFEST)), None):
        _record_sealed(deps, plan)
        return "sealed"
    if next(iter(deps.backups.list(where + sets.FAILED)), None):
        deps.release_hold(plan.set)
        return "failed"
    return ""


def seal_set(deps: BackupDeps, plan: BackupPlan, receipts: Mapping[int, Receipt]) -> str:
    """Write the signed manifest, which makes the set a backup. Raises Inconsistent if a part is not there."""
    where = set_folder(plan.klass, plan.set)
    with deps.state.lease("locks/chain", duration=LEASE) as lease:
        head = sets.chain_head(deps.backups, (), exclude=plan.set)
        link = ChainLink(head.manifest.set, head.manifest.klass, head.sha256) if head else None
        manifest = build_manifest(plan, receipts, tool=deps.tool, previous=link)
        _check_parts(deps, where, manifest)
        lease.check()
        try:
            deps.backups.create(where + sets.MANIFEST, deps.signer.sign(manifest))
        except AlreadyExists:
            log.info("backup.already_sealed", extra={"set": where})
    return _record_sealed(deps, plan)


def _check_parts(deps: BackupDeps, where: str, manifest: Manifest) -> None:
    """A receipt says what was written; what counts is what is stored now. Raises Inconsistent."""
    stored = {blob.name: blob.stored_bytes for blob in deps.backups.list(where)}
    for part in manifest.parts:
        if stored.get(where + part.blob) != part.stored_bytes:
            raise Inconsistent(
                f"{where + part.blob} is not stored as it was written",
                value=f"{stored.get(where + part.blob, 'no')} bytes instead of {part.stored_bytes}",
            )


def _record_sealed(deps: BackupDeps, plan: BackupPlan) -> str:
    """Record the end of a sealed set once, even if the worker that sealed it died before it could."""
    where = set_folder(plan.klass, plan.set)
    deps.release_hold(plan.set)
    try:
        run = deps.runs.load(JOB, plan.set)
        if run.state == "done":
            return run.summary
    except NotFound:
        log.warning("backup.run_record_missing", extra={"set": where})
    info = sets.find_set(deps.backups, f"{plan.klass}/{plan.set}")
    manifest = sets.read_manifest(deps.backups, info, ()).manifest
    documents = sum(n.documents for n in manifest.namespaces)
    stored_bytes = sum(p.stored_bytes for p in manifest.parts)
    summary = (
        f"sealed {where}: {documents} documents, {len(manifest.namespaces)} namespaces, {stored_bytes} bytes"
    )
    AuditTrail(deps.state, deps.clock).append("groundcrew", "backup.seal", where, "sealed")
    deps.runs.end(JOB, plan.set, "done", summary, stored_bytes=stored_bytes, documents=documents)
    log.info("backup.sealed", extra={"set": where, "documents": documents, "stored_bytes": stored_bytes})
    return summary


def fail_set(deps: BackupDeps, klass: str, set_id: str, error: GroundcrewError) -> bool:
    """Mark the set as failed for good, with the reason; False if it was marked before.

    Needs no plan, since that may be what is unreadable.
    """
    where = set_folder(klass, set_id)
    record = json.dumps({"at": deps.clock.now().isoformat(), "error": str(error)})
    try:
        deps.backups.create(where + sets.FAILED, record.encode())
    except AlreadyExists:
        return False
    finally:
        deps.release_hold(set_id)
    deps.runs.end(JOB, set_id, "failed", f"{where} failed", str(error))
    log.error("backup.failed", extra={"set": where, "error": str(error)})
    return True
