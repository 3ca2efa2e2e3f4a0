"""What people are told about alerts. All of an alert's texts are from outside: shown, never interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.alerts.model import Alert, AlertBatch
from shared.kernel.durations import format_duration
from shared.notifications.model import Notice, Severity

TOPIC = "alerts"
_SHOWN_LABELS = 6
_HEARTBEAT_KEY = "alerts/watchdog"

# An invisible character behind each keeps chats from reading markup: the text looks as it was sent.
_NEUTRAL = str.maketrans({mark: f"{mark}\N{WORD JOINER}" for mark in "<[*_~|@"} | {"`": "'"})
# In a command only what could be harmful: whoever copies it must not get invisible characters for nothing.
_NEUTRAL_COMMAND = str.maketrans({mark: f"{mark}\N{WORD JOINER}" for mark in "<[@"} | {"`": "'"})


def build_notices(tell: Sequence[Alert], batch: AlertBatch, now: datetime) -> list[Notice]:
    """One for each alert, and what the payload said of more; all of them wait together, as one message."""
    notices = [build_alert_notice(alert, now) for alert in tell]
    for count, what in (
        (batch.truncated, "were cut off by the sender"),
        (batch.malformed, "could not be read"),
    ):
        if count:
            noun = "alert" if count == 1 else "alerts"
            text = "Look at Alertmanager itself: `amtool alert query`."
            notices.append(
                Notice(Severity.WARNING, f"{count} more {noun} {what}", text, topic=TOPIC, group=TOPIC)
            )
    return notices


def build_alert_notice(alert: Alert, now: datetime) -> Notice:
    """Name and summary in the title, since that is what a phone shows."""
    summary = as_text(alert.summary.replace("\n", " "))
    title = f"{as_text(alert.name)}: {summary}" if summary else as_text(alert.name)
    lasted = format_duration(now - alert.starts_at)
    since = f"{alert.source}, over after {lasted}" if not alert.firing else f"{alert.source}, for {lasted}"
    labels = list(alert.labels.items())[:_SHOWN_LABELS]
    return Notice(
        alert.severity,
        title,
        "\n".join(part for part in (as_text(alert.details), since) if part),
        alert.hint.translate(_NEUTRAL_COMMAND) if alert.firing else "",
        key=f"alert/{alert.fingerprint}/{alert.starts_at.isoformat()}",
        topic=TOPIC,
        group=TOPIC,  # a burst is one incident, whatever the severities in it
        resolved=not alert.firing,
        fields=tuple((as_text(name), as_text(value)) for name, value in labels),
    )


def build_silence_notice(silent_for: timedelta | None, expected: timedelta) -> Notice:
    """That Alertmanager's heartbeat stays away while the server should be up."""
    last = "It never came." if silent_for is None else f"The last one came {format_duration(silent_for)} ago."
    return Notice(
        Severity.CRITICAL,
        "Alertmanager is silent: nobody would hear of an alert",
        f"Its Watchdog is expected every {format_duration(expected)} while the server should be up. {last}",
        "Look at Prometheus and Alertmanager: `kubectl -n monitoring get pods`. Does Alertmanager reach "
        "`/api/alerts`, with the right token?",
        key=_HEARTBEAT_KEY,
        again=True,
        topic=TOPIC,
    )


def build_heard_again_notice() -> Notice:
    """That it is heard again, or that nothing is expected any more."""
    return Notice(
        Severity.CRITICAL, "Alertmanager is heard again", "", key=_HEARTBEAT_KEY, resolved=True, topic=TOPIC
    )


def as_text(text: str) -> str:
    """A text from outside in which no chat finds a link, a mention, code or markup."""
    return text.translate(_NEUTRAL)
