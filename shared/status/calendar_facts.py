"""The calendar as the status has it: its ends, and what grows, for the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CalendarFacts:
    """The calendar of lock-outs, by what ends: the earliest end, and when it was or will be a warning.

    `sizes`: bytes, and bytes a day, of the largest and fastest namespaces; `others_bytes`: of the rest.
    """

    at: datetime
    ends: Mapping[str, datetime]
    warnings: Mapping[str, datetime]
    sizes: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    others_bytes: int | None = None
    captured_per_day: float | None = None
