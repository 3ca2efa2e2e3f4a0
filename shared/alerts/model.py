"""Alerts as Groundcrew knows them, whoever sent them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.notifications.model import Severity


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a payload. All texts are from outside: cleaned of control characters, not trusted."""

    fingerprint: str  # the sender's, hashed: it becomes a key of our records
    firing: bool  # else it is over
    name: str
    severity: Severity  # in our words, whatever the sender's are
    summary: str  # one line, for a phone
    details: str
    hint: str  # what to do, where the rule says it
    starts_at: datetime  # by the sender's clock; with the fingerprint it tells one firing from the next
    source: str  # "Alertmanager" or "Azure Monitor"
    labels: Mapping[str, str] = field(default_factory=dict)  # the first few, for people
    targets: tuple[str, ...] = ()  # what it may be about: hosts, nodes, resources


@dataclass(frozen=True, slots=True)
class AlertBatch:
    """What one payload said."""

    alerts: tuple[Alert, ...] = ()
    heartbeat: bool = False  # Alertmanager's Watchdog was among them
    truncated: int = 0  # cut off by the sender
    malformed: int = 0  # could not be read


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """What is remembered of an alert."""

    alert: Alert
    seen_at: datetime  # when it last came
    told_at: datetime | None = None  # when its firing was told; None if it never was
    muted: str = ""  # why it was not


@dataclass(frozen=True, slots=True)
class PlannedDowntime:
    """A machine that is off, or is starting, by its schedule or an order; all names by which it goes."""

    machine: str
    called: tuple[str, ...]
    reason: str
