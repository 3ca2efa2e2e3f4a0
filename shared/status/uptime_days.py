"""The hours of one machine on one day, as the weekly report keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class UptimeDay:
    """Hours planned by schedule and orders, hours run, and hours that nobody saw."""

    machine: str
    day: date
    planned: float
    ran: float
    unknown: float


def parse_uptime_day(fields: Mapping[str, Any]) -> UptimeDay:
    """The day in a stored report. Raises ValueError, TypeError, KeyError."""
    hours = (float(fields[name]) for name in ("planned", "ran", "unknown"))
    return UptimeDay(str(fields["machine"]), date.fromisoformat(fields["day"]), *hours)
