"""What people are told of a migration."""

from __future__ import annotations

import logging

from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError
from shared.migrate.records import MigrationRecord
from shared.notifications.ports import Notice, Notifier, Severity

log = logging.getLogger(__name__)


def switched_notice(record: MigrationRecord, by: str) -> Notice:
    """That the chat's database is on the other server."""
    pause = "an unknown time"
    if record.pause_began is not None and record.pause_ended is not None:
        pause = format_duration(record.pause_ended - record.pause_began)
    approved = f", approved by {record.approved_by}" if record.approved_by else ""
    text = f"From {', '.join(record.source)}; nobody could write for {pause}. By {by}{approved}."
    hint = "The way back is open until the first write there: groundcrew migrate back"
    title = f"The chat's database is on {', '.join(record.target)}"
    return Notice(Severity.WARNING, title, text, hint, key=f"migrate/switched/{record.id}/{record.opened_at}")


def back_notice(record: MigrationRecord, by: str) -> Notice:
    """That it is on the server of before."""
    title = f"The chat's database is on {', '.join(record.source)} again"
    key = f"migrate/back/{record.id}/{record.pause_ended}"
    return Notice(Severity.WARNING, title, f"By {by}. Nothing was written to the other one.", key=key)


def late_write_notice(record: MigrationRecord, namespace: str) -> Notice:
    """That somebody wrote to the server of before after the cut-over."""
    title = f"Somebody wrote to {', '.join(record.source)} after the database had moved"
    text = f"The first of it is in {namespace}. It is not on {', '.join(record.target)}."
    hint = "Find who still has the old address, and stop that MongoDB."
    return Notice(Severity.CRITICAL, title, text, hint, key=f"migrate/late/{record.id}")


def send_notice(notifications: Notifier, notice: Notice) -> None:
    """One that cannot be stored stops nothing: the command line says the same."""
    try:
        notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("migrate.notification_failed", extra={"notice": notice.key, "error": str(error)})
