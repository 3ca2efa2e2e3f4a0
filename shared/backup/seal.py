"""How a backup set ends: sealed by its signed manifest, or failed with a reason. Safe to repeat."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence

from shared.backup import sets
from shared.backup.catalogue import CatalogueEntry, SetState
from shared.backup.completion import build_manifest
from shared.backup.deps import JOB, LEASE, BackupDeps
from shared.backup.extra import describe_state, ensure_extra_parts
from shared.backup.seals import link_to
from shared.formats.backupset import BackupPlan, ChainLink, Manifest, Receipt, SetFailure, set_folder
from shared.formats.extra_parts import ExtraReceipt
from shared.formats.manifest import VerifiedManifest, VerifiedRecord
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import AlreadyExists, GroundcrewError, Inconsistent, NotFound
from shared.kernel.ports import Lease
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)


def end_of(deps: BackupDeps, entry: CatalogueEntry) -> str:
    """`sealed`, `failed` or another end of the set, which is then on record; empty if it is being made.

    Raises Inconsistent for a set that can no longer be sealed.
    """
    info = entry.info
    match entry.state:
        case SetState.OPEN:
            return ""
        case SetState.SEALED if entry.verified is not None:
            _record_sealed(deps, entry.verified)
        case SetState.DAMAGED if deps.seals.find(info.klass, info.id) is None:
            # Somebody else's manifest.json keeps ours from being created, and nothing is overwritten.
            raise Inconsistent(f"{info.folder} cannot be sealed", value=entry.problem)
        case _:
            log.error("backup.set_unusable", extra={"set": info.folder, "state": entry.state})
    deps.release_hold(info.id)
    return str(entry.state)


def seal_set(deps: BackupDeps, signed: VerifiedRecord[BackupPlan], receipts: Mapping[int, Receipt]) -> str:
    """Write the signed manifest, which makes the set a backup; returns what was done, in a sentence.

    Raises Inconsistent if a part is not stored as it was written, or if the manifest's name is taken.
    """
    plan = signed.record
    where = set_folder(plan.klass, plan.set)
    # Before the lease: the cluster may take its time, and others wait for their turn to seal.
    extra = ensure_extra_parts(deps, signed)
    # Of the chain, not of the set: two sets sealed at once would both follow the same one.
    with deps.state.lease("locks/chain", duration=LEASE) as lease:
        # Once sealed, a set is never signed anew: not by a second worker, nor if its manifest was deleted.
        if deps.seals.find(plan.klass, plan.set) is None:
            manifest = build_manifest(plan, receipts, extra, tool=deps.tool, previous=_chain_head(deps))
            # As late as can be: what was replaced before this is noticed, and what is replaced later fails
            # the verification.
            _check_parts(deps, where, [*receipts.values(), *extra])
            _create_manifest(deps, where, manifest, lease)
    return _record_sealed(deps, _read_sealed(deps, plan))


def _chain_head(deps: BackupDeps) -> ChainLink | None:
    """The set that the next manifest names as the one before it.

    By the seal log, which whoever deletes sets cannot turn back. While it is empty, the newest good set.
    """
    if head := deps.seals.head():
        return link_to(head)
    newest = deps.catalogue.newest_good()
    return newest.link if newest else None


def _create_manifest(deps: BackupDeps, where: str, manifest: Manifest, lease: Lease) -> None:
    # Reading the lists may have taken longer than the lease; the next statement cannot be taken back.
    lease.check()
    try:
        deps.backups.create(where + sets.MANIFEST, deps.signer.sign(manifest))
    except AlreadyExists:
        # Of a worker that died before it could put the set into the seal log, or a stranger's: see
        # `_read_sealed`.
        log.info("backup.already_sealed", extra={"set": where})


def _check_parts(deps: BackupDeps, where: str, receipts: Sequence[Receipt | ExtraReceipt]) -> None:
    """A receipt says what was written; what counts is what is stored now. Raises Inconsistent.

    The storage gives a blob another ETag with each write, so one that was replaced, even by bytes of the same
    number, is noticed without reading it again.
    """
    stored = {blob.name: blob for blob in deps.backups.list(where)}
    for receipt in receipts:
        part = receipt.extra if isinstance(receipt, ExtraReceipt) else receipt
        blob = stored.get(where + part.blob)
        if blob is None or (blob.stored_bytes, blob.etag) != (part.stored_bytes, receipt.etag):
            raise Inconsistent(
                f"{where + part.blob} is not stored as it was written",
                value="it is missing" if blob is None else f"{blob.stored_bytes} bytes, written anew",
                hint="See who can write to the container, and docs/threat-model.md.",
            )


def _read_sealed(deps: BackupDeps, plan: BackupPlan) -> VerifiedManifest:
    """The manifest that was created, by this or another worker of ours. Raises Inconsistent for any other."""
    info = sets.read_info(deps.backups, plan.klass, plan.set)
    try:
        return sets.read_manifest(deps.backups, info, deps.own_signer)
    except GroundcrewError as error:
        if not error.permanent:
            raise
        raise Inconsistent(f"{info.folder} cannot be sealed", value=error.message) from error


def _record_sealed(deps: BackupDeps, verified: VerifiedManifest) -> str:
    """Record the end of a sealed set once, even if the worker that sealed it died before it could."""
    manifest = verified.manifest
    where = set_folder(manifest.klass, manifest.set)
    deps.release_hold(manifest.set)
    deps.seals.append(verified, deps.signer)
    try:
        run = deps.runs.load(JOB, manifest.set)
        # Recorded before: the audit trail must not name the same seal twice.
        if run.state == "done":
            return run.summary
    except NotFound:
        log.warning("backup.run_record_missing", extra={"set": where})
    documents = sum(n.documents for n in manifest.namespaces)
    stored_bytes = sum(p.stored_bytes for p in manifest.stored_parts)
    count = len(manifest.namespaces)
    summary = f"sealed {where}: {documents} documents, {count} namespaces, {stored_bytes} bytes"
    if manifest.extra_parts:
        summary += f"; {describe_state(manifest.extra_parts)}"
    # With the digest: the trail says which manifest, not only that there was one.
    outcome = f"sealed sha256:{verified.sha256}"
    AuditTrail(deps.state, deps.clock).append("groundcrew", "backup.seal", where, outcome)
    deps.runs.end_run(JOB, manifest.set, "done", summary, stored_bytes=stored_bytes, documents=documents)
    # The head of the chain leaves the storage account with the log and by people's own messages, where nobody
    # can turn it back: whoever later deletes the newest sets is contradicted by what people were told.
    deps.tell_head(ChainLink(manifest.set, manifest.klass, verified.sha256), manifest.extra_parts)
    log.info(
        "backup.sealed",
        extra={"set": where, "documents": documents, "stored_bytes": stored_bytes, "sha256": verified.sha256},
    )
    return summary


def fail_set(deps: BackupDeps, klass: str, set_id: str, error: GroundcrewError) -> bool:
    """Mark the set as failed for good, with the reason; False if it was marked before."""
    where = set_folder(klass, set_id)
    record = deps.signer.sign(SetFailure(FORMAT, set_id, klass, deps.clock.now(), str(error)))
    try:
        deps.backups.create(where + sets.FAILED, record)
    except AlreadyExists:
        info = sets.read_info(deps.backups, klass, set_id)
        if sets.read_failure(deps.backups, info, deps.own_signer) is not None:
            return False
        # Somebody else took the name; it must not keep our reason from being on record.
        deps.backups.create(f"{where}failed.{secrets.token_hex(4)}.json", record)
    finally:
        deps.release_hold(set_id)
    deps.runs.end_run(JOB, set_id, "failed", f"{where} failed", str(error))
    log.error("backup.failed", extra={"set": where, "error": str(error)})
    return True
