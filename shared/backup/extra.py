"""The extra parts of a set: the cluster's state, taken just before the set is sealed.

It never keeps a set from being sealed: what cannot be read is in the part's `unread`. A part that cannot be
stored fails like any other write, which the queue tries again.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

from shared.backup import sets
from shared.backup.deps import BackupDeps
from shared.formats import envelope
from shared.formats.agekeys import Recipient
from shared.formats.backupset import BackupPlan, set_folder
from shared.formats.cluster_state import ClusterState, encode_state
from shared.formats.extra_parts import (
    CLUSTER_STATE,
    ExtraPart,
    ExtraReceipt,
    extra_blob_name,
    extra_receipt_name,
)
from shared.formats.manifest import VerifiedRecord
from shared.formats.strict_json import FORMAT

log = logging.getLogger(__name__)


def ensure_extra_parts(deps: BackupDeps, plan: VerifiedRecord[BackupPlan]) -> list[ExtraReceipt]:
    """The receipts of the set's extra parts, taken now if there are none; empty where policy wants none.

    Safe to repeat: what an earlier worker stored is taken, if it came as far as the receipt. Of several the
    first to finish counts.
    """
    # Policy wants no state: then the set is whole without it.
    if deps.read_state is None:
        return []
    record = plan.record
    if not (receipts := _read_receipts(deps, plan)):
        state = deps.read_state(f"{record.klass}/{record.set}")
        receipts = [_store_state(deps, plan, state)]
    # One rule for all workers: two that seal at once have to name the same.
    return [min(receipts, key=lambda receipt: (receipt.finished, receipt.extra.blob))]


def _read_receipts(deps: BackupDeps, plan: VerifiedRecord[BackupPlan]) -> list[ExtraReceipt]:
    info = sets.read_info(deps.backups, plan.record.klass, plan.record.set)
    return sets.read_extra_receipts(deps.backups, info, plan, deps.own_signer)


def _store_state(deps: BackupDeps, plan: VerifiedRecord[BackupPlan], state: ClusterState) -> ExtraReceipt:
    """Encrypted to the plan's recipients, under a name that only this attempt knows."""
    record, started = plan.record, deps.clock.now()
    where = set_folder(record.klass, record.set)
    attempt = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    blob = extra_blob_name(CLUSTER_STATE, attempt)
    upload = deps.backups.upload(where + blob)
    try:
        writer = envelope.PartWriter(upload.write, _recipients(deps, record), level=record.level, threads=0)
        writer.write(encode_state(state))
        digest = writer.finish()
        committed = upload.commit()
    except BaseException:
        # Blocks that are not committed cost until Azure collects them, a week later.
        upload.abort()
        raise
    extra = ExtraPart(
        kind=CLUSTER_STATE,
        blob=blob,
        stored_bytes=digest.stored_bytes,
        plain_bytes=digest.plain_bytes,
        sha256=digest.sha256,
        contents=state.contents,
        unread=state.unread,
    )
    receipt = ExtraReceipt(
        FORMAT, record.set, record.klass, plan.sha256, extra, committed.etag, started, deps.clock.now()
    )
    # After the part: a receipt is the promise that its bytes are there.
    deps.backups.create(where + extra_receipt_name(CLUSTER_STATE, attempt), deps.signer.sign(receipt))
    log.info(
        "backup.state_stored",
        extra={"set": where, "items": len(state.contents), "unread": len(state.unread)},
    )
    return receipt


def _recipients(deps: BackupDeps, plan: BackupPlan) -> Sequence[Recipient]:
    """Those of the plan: a set whose parts need different keys could not be restored with any one."""
    from shared.formats.agekeys import parse_recipient

    return [deps.recipients.get(text) or parse_recipient(text) for text in plan.recipients]


def find_unread(parts: Sequence[ExtraPart]) -> list[str]:
    """What is not in the set although it should be; a set without the part lacks all of it."""
    states = [part for part in parts if part.kind == CLUSTER_STATE]
    if not states:
        return ["all of it: the set was made without"]
    return [f"{item.what}: {item.reason}" for state in states for item in state.unread]


def describe_state(parts: Sequence[ExtraPart]) -> str:
    """What a set holds of the cluster, for people; what could not be read is named as unknown."""
    states = [part for part in parts if part.kind == CLUSTER_STATE]
    if not states:
        return "cluster state: not in this set"
    count = sum(len(state.contents) for state in states)
    unread = find_unread(parts)
    if not unread:
        return f"cluster state: {count} items"
    more = f"; and {len(unread) - 3} more" if len(unread) > 3 else ""
    return f"cluster state: {count} items; unknown: {'; '.join(unread[:3])}{more}"
