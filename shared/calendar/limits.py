"""When the budget and the parts of a backup are used up, and what the oplog's capture takes a day. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.calendar.growth import SetSizes, grown_per_day
from shared.calendar.model import Deadline, DeadlineKind

_DAY = timedelta(days=1)
_YEAR = 365
# A month of reports: the forecast of a month with a holiday in it is lower, and the next one higher.
_MIN_WEEKS = 4
# Names of parts have four digits, by which they sort; the plan of a set is one signed record.
MAX_PARTS = 9_999
_BUDGET, _PARTS = "the budget", "parts of a backup"


@dataclass(frozen=True, slots=True)
class CostTrend:
    """What a month was reckoned to cost, week by week, oldest first, and what it may cost."""

    forecasts: Sequence[tuple[datetime, float]]
    budget: float
    currency: str


@dataclass(frozen=True, slots=True)
class CapturedDay:
    """What the capture of the oplog stored on one day (UTC), compressed and encrypted."""

    day: date
    slices: int
    stored_bytes: int


def forecast_budget(trend: CostTrend | None, now: datetime) -> Deadline | None:
    """The day on which a month costs more than the budget, by the larger of two trends, as for the disk.

    None without a budget, and where nothing grows towards it within a year.
    """
    if trend is None:
        return None
    weeks = trend.forecasts
    if len(weeks) < _MIN_WEEKS:
        reason = f"{len(weeks)} of {_MIN_WEEKS} weekly cost reports that know all prices"
        return Deadline(DeadlineKind.GROWTH, _BUDGET, None, unknown=reason, seen=now)
    consequence = f"a month costs more than {trend.budget:,.0f} {trend.currency}"
    last = weeks[-1][1]
    if last >= trend.budget:
        return Deadline(DeadlineKind.GROWTH, _BUDGET, now, consequence, seen=now)
    per_day = max(_slope(weeks[0], weeks[-1]), _slope(weeks[len(weeks) // 2], weeks[-1]))
    return _reached(_BUDGET, trend.budget - last, per_day, consequence, now)


def unknown_budget(reason: str, now: datetime) -> Deadline:
    """Where the reports cannot be read."""
    unknown = f"the cost reports cannot be read: {reason}"
    return Deadline(DeadlineKind.GROWTH, _BUDGET, None, unknown=unknown, seen=now)


def forecast_parts(sets: Sequence[SetSizes], part_bytes: int, now: datetime) -> Deadline | None:
    """The day on which a set has more parts than their names have room for; None beyond a year.

    Nothing of its own where backups are too few: the disk's forecast says so already.
    """
    if len(sets) < 2 or sets[-1].at - sets[0].at < 2 * _DAY:
        return None
    consequence = "a backup has more parts than it can name; raise backup.part_target"
    left = MAX_PARTS * part_bytes - sets[-1].total_bytes
    return _reached(_PARTS, left, grown_per_day(sets), consequence, now)


def mean_captured(days: Sequence[CapturedDay]) -> float | None:
    """Stored bytes a day; None if no day is complete."""
    return sum(one.stored_bytes for one in days) / len(days) if days else None


def _reached(name: str, left: float, per_day: float, consequence: str, now: datetime) -> Deadline | None:
    if left > 0 and (per_day <= 0 or left / per_day > _YEAR):
        return None
    days = left / per_day if left > 0 else 0.0
    return Deadline(DeadlineKind.GROWTH, name, now + _DAY * days, consequence, seen=now)


def _slope(earlier: tuple[datetime, float], later: tuple[datetime, float]) -> float:
    span = (later[0] - earlier[0]) / _DAY
    return (later[1] - earlier[1]) / span if span > 0 else 0.0
