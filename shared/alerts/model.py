"""Alerts as Groundcrew knows them, whoever sent them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.notifications.model import Severity


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a payload. All texts are from outside: cleaned of control characters, not trusted."""

    fingerprint: str
    firing: bool
    name: str
    severity: Severity
    summary: str
    details: str
    hint: str
    starts_at: datetime
    source: str  # "Alertmanager" or "Azure Monitor"
    labels: Mapping[str, str] = field(default_factory=dict)
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
    """What is remembered of an alert. `told_at` is None if its firing was never told; `muted` says why."""

    alert: Alert
    seen_at: datetime
    told_at: datetime | None = None
    muted: str = ""


@dataclass(frozen=True, slots=True)
class PlannedDowntime:
    """A machine that is off, or is starting, by its schedule or an order; all names by which it goes."""

    machine: str
    called: tuple[str, ...]
    reason: str
