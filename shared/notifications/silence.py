"""Silences: what people asked not to be told of for a while, always with an end. No I/O, no clock.

Nothing is lost by one: what is muted waits until its end. A critical message is muted only where the silence
says so, and the dead man's switch only by its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.kernel.timestamps import format_minute
from shared.notifications.model import Severity

WATCHDOG = "watchdog"
"""What a silence has to name to mute the alarm that Alertmanager itself is silent."""

ALERTS = "alerts"
TOPICS = frozenset({
    ALERTS, "backup", "calendar", "certificates", "cost", "deploy", "drift", "drill", "hardening",
    "migrate", "notifications", "oplog", "poison", "power", "rehearsal", "secrets", "settings", "snapshots",
    "timers",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence, in `notifications/routes.json`."""

    what: str  # a topic of notifications, `watchdog`, or an alert by its exact name
    critical: bool  # whether critical messages are muted as well
    since: datetime
    until: datetime
    by: str  # the id of a person
    reason: str
    alertmanager_id: str = ""  # of the silence that Alertmanager was given; empty for none

    def __str__(self) -> str:
        scope = " (critical ones, too)" if self.critical else ""
        return f"{self.what}{scope} until {format_minute(self.until)} by {self.by}: {self.reason}"


def select_in_force(silences: Iterable[Silence], now: datetime, limit: timedelta) -> tuple[Silence, ...]:
    """Those that mute now. Whatever a record says, none lasts longer than the policy's limit."""
    cut = (replace(one, until=min(one.until, one.since + limit)) for one in silences)
    return tuple(one for one in cut if one.since <= now < one.until)


def find_topic_silence(silences: Iterable[Silence], topic: str, severity: Severity) -> Silence | None:
    """What mutes a message of that topic. Alerts are muted one by one (`find_alert_silence`), since one
    message holds many, and the alarm that Alertmanager is silent may be among them."""
    return next(
        (one for one in silences if one.what == topic != ALERTS and _reaches(one, severity)),
        None,
    )


def find_alert_silence(silences: Iterable[Silence], name: str, severity: Severity) -> Silence | None:
    """What mutes an alert: its own name, whatever its severity, or the topic of all of them."""
    for one in silences:
        if one.what == name or (one.what == ALERTS and _reaches(one, severity)):
            return one
    return None


def find_watchdog_silence(silences: Iterable[Silence]) -> Silence | None:
    """What mutes the alarm that Alertmanager is silent: nothing but its own name."""
    return next((one for one in silences if one.what == WATCHDOG), None)


def _reaches(silence: Silence, severity: Severity) -> bool:
    return silence.critical or severity is not Severity.CRITICAL


def add_silence(silences: Sequence[Silence], new: Silence) -> tuple[Silence, ...]:
    """With a new one, in place of an older one of the same thing."""
    return (*(one for one in silences if one.what != new.what), new)
