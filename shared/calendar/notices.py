"""What people are told of ends: once for each threshold, and when it is over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from shared.calendar.decide import CalendarNews
from shared.calendar.growth import RunawayCollection
from shared.calendar.model import CalendarEntry, DeadlineKind
from shared.calendar.render import describe_entry
from shared.kernel.timestamps import format_minute
from shared.notifications.ports import Notice, Severity

_MAX_LISTED = 20
_HINT = "`groundcrew calendar` shows all; docs/runbooks/lockout.md says what to do about each kind."


def build_notices(news: CalendarNews) -> list[Notice]:
    """One message for each severity, however many are concerned, and one for those that are over."""
    notices = []
    # One message for each, so that ten certificates of one day do not ring ten times.
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        entries = [entry for entry in news.reached if _severity(entry) is severity]
        if entries:
            notices.append(_reached_notice(severity, entries))
    if news.resolved:
        text = "\n".join(news.resolved[:_MAX_LISTED])
        key = f"calendar/over/{_digest(news.resolved)}"
        notices.append(Notice(Severity.INFO, f"{len(news.resolved)} ends are averted", text, key=key))
    return notices


def build_runaway_notices(runaways: Sequence[RunawayCollection]) -> list[Notice]:
    """One for each collection and the backup that shows it."""
    return [
        Notice(
            Severity.CRITICAL,
            f"{one.name} grew by {one.grown_bytes / (1 << 30):,.1f} GiB",
            f"It has {one.size_bytes / (1 << 30):,.1f} GiB now; the growth lies between the backups of "
            f"{format_minute(one.since)} and {format_minute(one.until)}.",
            "`groundcrew calendar --growth` shows all; docs/runbooks/lockout.md says what fills collections.",
            key=f"calendar/runaway/{_digest([one.name, str(one.until)])}",
        )
        for one in runaways
    ]


def _reached_notice(severity: Severity, entries: Sequence[CalendarEntry]) -> Notice:
    lines = [describe_entry(entry) for entry in entries]
    more = [f"and {len(lines) - _MAX_LISTED} more"] if len(lines) > _MAX_LISTED else []
    # The end is part of it: what was renewed and nears its end again is told again.
    known = [f"{entry.deadline.key} {entry.deadline.at} {entry.threshold}" for entry in entries]
    return Notice(
        severity,
        f"{len(entries)} {'end is' if len(entries) == 1 else 'ends are'} near",
        "\n".join([*lines[:_MAX_LISTED], *more]),
        _HINT,
        key=f"calendar/{severity}/{_digest(known)}",
    )


def _severity(entry: CalendarEntry) -> Severity:
    # People can sign in on the day after an end of life as on the day before.
    locks_out = entry.deadline.kind is not DeadlineKind.END_OF_LIFE
    if entry.threshold is not None and entry.threshold <= 3 and locks_out:
        return Severity.CRITICAL
    return Severity.WARNING if entry.threshold is not None and entry.threshold <= 14 else Severity.INFO


def _digest(known: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()[:16]
