"""The calendar as sentences, for the terminal, the pages, chat and the feed."""

from __future__ import annotations

from collections.abc import Sequence

from shared.calendar.decide import first_lockout
from shared.calendar.model import CalendarEntry

# With what the summary of a run begins, which the status reads, if that much is wrong.
OVER, NEAR = "over", "near"
_NEAR_DAYS = 14


def describe_entry(entry: CalendarEntry) -> str:
    """`2027-02-28, 61 powered-on days: end of life of MongoDB 7.0: MongoDB gets no fixes any more`."""
    deadline = entry.deadline
    name = f"{deadline.kind} of {deadline.name}"
    # Named and not left out: an end that nobody can read is the one that surprises.
    if deadline.at is None:
        return f"unknown: {name}: {deadline.unknown}"
    when = f"{deadline.at:%Y-%m-%d}"
    if entry.threshold == 0:
        return f"{when}, over: {name}: {deadline.consequence}"
    days = "" if entry.powered_days is None else f", {_count_days(entry.powered_days)}"
    return f"{when}{days}: {name}: {deadline.consequence}"


def describe_calendar(entries: Sequence[CalendarEntry]) -> str:
    """In a line: the earliest lock-out, how many are near, what gets no fixes, and what is not known."""
    first = first_lockout(entries)
    past = [entry.deadline.name for entry in entries if entry.is_past_life]
    near = sum(entry.threshold is not None and not entry.is_past_life for entry in entries)
    unknown = sum(entry.deadline.at is None for entry in entries)
    parts = [f"{_urgency(entries)}first end {describe_entry(first)}" if first else "no end is known"]
    parts += [f"{near} within 60 powered-on days"] if near else []
    parts += [f"no fixes any more for {', '.join(past)}"] if past else []
    parts += [f"{unknown} not known"] if unknown else []
    return "; ".join(parts)


def is_near(summary: str) -> bool:
    """Whether a run's summary says that an end is within 14 powered-on days."""
    return summary.startswith(f"{NEAR}: ")


def is_over(summary: str) -> bool:
    """Whether it says that something has ended."""
    return summary.startswith(f"{OVER}: ")


def _urgency(entries: Sequence[CalendarEntry]) -> str:
    nearest = min((entry.threshold for entry in entries if entry.threshold is not None), default=None)
    if any(entry.threshold == 0 and not entry.is_past_life for entry in entries):
        return f"{OVER}: "
    return f"{NEAR}: " if nearest is not None and nearest <= _NEAR_DAYS else ""


def _count_days(days: int) -> str:
    return f"{days} powered-on day{'' if days == 1 else 's'}"
