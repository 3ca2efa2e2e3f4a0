"""What people are told when a set is sealed."""

from __future__ import annotations

from collections.abc import Sequence

from shared.backup.extra import describe_state, find_unread
from shared.formats.backupset import ChainLink
from shared.formats.extra_parts import ExtraPart
from shared.notifications.ports import Notice, Severity


def sealed_notice(head: ChainLink, extra: Sequence[ExtraPart]) -> Notice:
    """That a set is sealed, with the hash that is now the head of the chain."""
    text = f"The head of the chain is now sha256:{head.sha256}."
    if extra:
        state = describe_state(extra)
        text += f"\n{state[0].upper()}{state[1:]}."
    hint = "Keep this message: `groundcrew backups show latest` must never show an older set."
    key = f"backup/head/{head.sha256[:16]}"
    return Notice(Severity.INFO, f"Backup {head.klass}/{head.set} is sealed", text, hint, key=key)


def state_notice(head: ChainLink, extra: Sequence[ExtraPart], *, required: bool) -> Notice | None:
    """Where policy requires the cluster's state, that a set lacks some or all of it; None if it does not."""
    if not required or not (unread := find_unread(extra)):
        return None
    where = f"{head.klass}/{head.set}"
    text = f"The database is in the backup. Not read: {'; '.join(unread)}"
    hint = "See infra/chart/rbac-cluster-state.yaml for the rights, then: groundcrew backups create"
    title = f"Backup {where} lacks the cluster's state"
    return Notice(Severity.WARNING, title, text, hint, key=f"backup/cluster-state/{where}")
