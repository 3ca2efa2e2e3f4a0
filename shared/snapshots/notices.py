"""What people are told about snapshots; each text has a key that makes it told once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Severity
from shared.retention.decide import Item
from shared.snapshots.deps import SnapshotDeps

log = logging.getLogger(__name__)

_HINT = "See `groundcrew snapshots list`."


def unlock_failed_notice(error: str) -> Notice:
    """That MongoDB is or may be locked: nobody can write until it is released."""
    return Notice(
        Severity.CRITICAL,
        "MongoDB may be locked",
        f"It could not be unlocked after a snapshot, and that is tried again: {error}.",
        "Run `db.fsyncUnlock()` in mongosh on the server.",
        key="snapshots/locked",
        again=True,
    )


def unlocked_notice(note: str) -> Notice:
    """That MongoDB was found locked by a run that died."""
    return Notice(Severity.CRITICAL, "MongoDB was left locked", f"{note}.", _HINT)


def problems_notice(problems: Sequence[str]) -> Notice:
    """What went wrong in a cycle; if nothing did, that what went wrong before is over."""
    key = "snapshots/problems"
    if not problems:
        return Notice(Severity.WARNING, "Snapshots are in order again", "", key=key, resolved=True)
    text = "; ".join(problems)[:1500]
    return Notice(Severity.WARNING, "Snapshots need attention", text, _HINT, key=key, again=True)


def unreadable_notice(items: Sequence[Item]) -> Notice:
    """That snapshots are kept for ever, since nobody can read until when."""
    names = "; ".join(f"{item.name.rpartition('/')[2]}: {item.retention_reason}" for item in items)
    return Notice(
        Severity.WARNING,
        "Snapshots with an unreadable keep-until date are kept",
        names[:1500],
        "Write a date such as 2026-12-24 in the tag, or remove it.",
        key="snapshots/keep-until",
        again=True,
    )


def send_notice(job: SnapshotDeps, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        job.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("snapshots.notification_failed", extra={"title": notice.title, "error": str(error)})
