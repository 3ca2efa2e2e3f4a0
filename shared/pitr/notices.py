"""What people are told about the capture of the oplog."""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.formats.slices import CaptureCursor
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Notifier, Severity

log = logging.getLogger(__name__)


def gap_notice(cursor: CaptureCursor) -> Notice:
    """That some moments cannot be restored; once for each gap."""
    hint = "A new backup is begun by itself. See docs/runbooks/alerts/OplogCaptureGap.md."
    return Notice(
        Severity.WARNING,
        "The captured oplog has a gap",
        cursor.gap,
        hint,
        key=f"oplog/gap/{cursor.base_from}",
    )


def window_notice(length: timedelta) -> Notice:
    """That the server's oplog is short; repeated for as long as it is."""
    text = f"MongoDB's oplog reaches back {format_duration(length)}: a longer outage would leave a gap."
    hint = "Enlarge it: db.adminCommand({replSetResizeOplog: 1, size: <MB>})."
    return Notice(Severity.WARNING, "MongoDB's oplog is short", text, hint, key="oplog/window", again=True)


def late_notice(age: timedelta, error: GroundcrewError) -> Notice:
    """That nothing is captured; repeated for as long as nothing is."""
    text = f"The newest captured entry is {format_duration(age)} old: {error}"
    hint = "See docs/runbooks/alerts/OplogCaptureLate.md."
    return Notice(Severity.WARNING, "The oplog is not captured", text, hint, key="oplog/late", again=True)


def send_notice(notifier: Notifier, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        notifier.notify(notice)
    except GroundcrewError as error:
        log.warning("oplog.notification_failed", extra={"title": notice.title, "error": str(error)})
