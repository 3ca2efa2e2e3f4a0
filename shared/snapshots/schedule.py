"""When snapshots are due: at fixed times counted from a time of day, so that nothing drifts.

A plain "older than 24 hours" comes later by the timer's interval every day, and into office hours in weeks.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
# From where times are counted whose interval is neither whole days nor a part of one. A Monday.
_EPOCH = date(2001, 1, 1)


def latest_due(every: timedelta, at: time, zone: tzinfo, now: datetime) -> datetime:
    """The newest due time that is not after `now`, in UTC; `at` is on the zone's clock."""
    if every % _DAY == timedelta():
        day = now.astimezone(zone).date()
        step = every // _DAY
        day -= timedelta(days=day.toordinal() % step)
        due = _resolve(day, at, zone)
        return due if due <= now else _resolve(day - step * _DAY, at, zone)
    start = _resolve(_EPOCH, at, zone)
    if _DAY % every == timedelta():  # a part of a day: counted anew each day, so that `at` is always one
        start = latest_due(_DAY, at, zone, now)
    return start + (now - start) // every * every


def next_due(every: timedelta, at: time, zone: tzinfo, now: datetime) -> datetime:
    """The first due time after `now`, in UTC."""
    latest = latest_due(every, at, zone, now)
    # An interval is at most an hour longer or shorter than it says, where clocks change.
    later = latest_due(every, at, zone, latest + every + timedelta(hours=1))
    return later if later > now else latest + every


def _resolve(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)
