"""The calendar as the status has it: its ends, for the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.calendar.decide import is_end
from shared.calendar.growth import GrowthSummary
from shared.calendar.records import load_calendar
from shared.kernel.ports import Blobs


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


def read_calendar(state: Blobs) -> CalendarFacts | None:
    """The calendar as made last; None before the first."""
    calendar = load_calendar(state)
    if calendar is None:
        return None
    ends: dict[str, datetime] = {}
    warnings: dict[str, datetime] = {}
    for entry in filter(is_end, calendar.entries):
        kind = str(entry.deadline.kind)
        for found, time in ((ends, entry.deadline.at), (warnings, entry.warns_at)):
            if time is not None:
                found[kind] = min(time, found.get(kind, time))
    growth = calendar.growth or GrowthSummary()
    sizes = {row.name: (row.size_bytes, row.last_per_day) for row in growth.namespaces}
    return CalendarFacts(
        calendar.at, ends, warnings, sizes, growth.others_bytes if sizes else None, growth.captured_per_day
    )
