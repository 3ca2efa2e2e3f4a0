"""The calendar as the status has it: its ends, for the metrics."""

from __future__ import annotations

from datetime import datetime

from shared.calendar.decide import is_end
from shared.calendar.records import load_calendar
from shared.kernel.ports import Blobs
from shared.status.model import CalendarFacts


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
    return CalendarFacts(calendar.at, ends, warnings)
