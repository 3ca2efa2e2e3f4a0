"""Timestamps in JSON: RFC 3339 as Kubernetes, GitHub and Azure write it, and as our own records do.

All of them are read by `datetime.fromisoformat`, which since Python 3.11 takes `Z` and cuts what exceeds
microseconds (Azure writes seven digits).
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def parse_timestamp(value: object) -> datetime:
    """An aware timestamp in UTC. Raises ValueError for anything else, a time without a zone included."""
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError(f"{value!r} is not a timestamp with a time zone")
    return parsed.astimezone(UTC)


def parse_optional_timestamp(value: object) -> datetime | None:
    """An aware timestamp in UTC; None for what is absent or is none."""
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):  # a zone can push the years 1 and 9999 out of range
        return None


def from_unix_seconds(value: object) -> datetime | None:
    """The aware time so many seconds after 1970, in UTC; None for what is no number or beyond the year 9999.

    Others write these numbers: an expiry of 999999999999 is their mistake, and must not be our traceback.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def format_local_time(time: datetime, zone: tzinfo) -> str:
    """The moment on the wall clock of a zone, for people: `Mon 2026-03-02 07:00`.

    Where the clock shows it twice, as in the night in which summer ends, with its name: `… 02:08 CET`.
    """
    local = time.astimezone(zone)
    is_repeated = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{local:%a %Y-%m-%d %H:%M %Z}" if is_repeated else f"{local:%a %Y-%m-%d %H:%M}"


def format_minute(at: datetime) -> str:
    """`2026-11-28 02:05Z`: how people are told a time where their own zone is not known."""
    # Converted first: with the letter alone, a time of another zone would be hours off and look right.
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def format_second(at: datetime) -> str:
    """`2026-11-28 02:05:09Z`: where a minute is too coarse, as between two lines of one minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def format_rfc3339(at: datetime) -> str:
    """`2026-11-28T02:05:09Z`, cut to whole seconds: what other programs read, such as Kubernetes and sops."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def format_compact(at: datetime) -> str:
    """`20261128T020509Z`: in names of blobs, disks and runs, which take no colon and are sorted as text."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
