"""Tells by the other routes of one that does not work, and when it works again."""

from __future__ import annotations

import logging

from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Notifier, Severity
from shared.notifications.sender import SendReport

log = logging.getLogger(__name__)

_HINT = (
    "Correct its address in `GROUNDCREW_NOTIFY_URLS`, then try it: `groundcrew notify test`. "
    "`groundcrew notify history` shows what was delivered how."
)


def report_routes(report: SendReport, notifier: Notifier) -> bool:
    """Notify of routes in trouble, once, and of those that work again; whether there was anything new."""
    notices = [_build_trouble_notice(name, error) for name, error in report.trouble.items()]
    notices += [_build_works_notice(name) for name in report.working if name not in report.trouble]
    new = False
    for notice in notices:
        try:
            new = notifier.notify(notice) or new
        except GroundcrewError as error:
            log.warning("notification.trouble_not_stored", extra={"key": notice.key, "error": str(error)})
    return new


def _build_trouble_notice(route: str, error: str) -> Notice:
    title = f"Notifications do not get through by the route {route}"
    return Notice(Severity.WARNING, title, f"{error}.", _HINT, key=_key(route), again=True)


def _build_works_notice(route: str) -> Notice:
    title = f"Notifications get through by the route {route} again"
    return Notice(Severity.WARNING, title, "", key=_key(route), resolved=True)


def _key(route: str) -> str:
    return f"notifications/route/{route}"
