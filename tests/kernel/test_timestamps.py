"""Times that others write: what is none is None, and never a traceback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.timestamps import (
    format_compact,
    format_local_time,
    format_minute,
    format_rfc3339,
    format_second,
    from_unix_seconds,
    parse_optional_timestamp,
    parse_timestamp,
)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28T02:05:09Z",  # Kubernetes and GitHub
        "2026-11-28T03:05:09+01:00",
        "2026-11-28T02:05:09.0000000Z",  # Azure's seven digits
        "2026-11-28 02:05:09+00:00",  # our own records, by `str`
    ],
)
def test_a_timestamp_with_a_zone_is_read_as_that_moment_in_utc(text: str) -> None:
    parsed = parse_timestamp(text)
    assert (parsed, parsed.tzinfo) == (datetime(2026, 11, 28, 2, 5, 9, tzinfo=UTC), UTC)
    assert parse_optional_timestamp(text) == parsed


@pytest.mark.parametrize(
    "value", ["2026-11-28T02:05:09", "2026-11-28", "yesterday", "", None, 1764295509, b"2026-11-28T02:05:09Z"]
)
def test_a_time_without_a_zone_or_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"timestamp|isoformat"):
        parse_timestamp(value)
    assert parse_optional_timestamp(value) is None


def test_a_zone_that_leaves_the_calendar_is_no_timestamp() -> None:
    assert parse_optional_timestamp("0001-01-01T00:00:00+14:00") is None
    assert parse_optional_timestamp("9999-12-31T23:59:59-12:00") is None


@pytest.mark.parametrize(
    "value", [None, "1", True, 10**12, -(10**12), 10**400, float("inf"), float("nan"), []]
)
def test_what_is_no_second_of_our_era_is_none(value: object) -> None:
    assert from_unix_seconds(value) is None


@given(st.integers(0, 253_402_300_799))
def test_every_second_until_the_year_9999_is_itself(seconds: int) -> None:
    found = from_unix_seconds(seconds)
    assert found is not None
    assert (found.tzinfo, int(found.timestamp())) == (UTC, seconds)


def test_parts_of_a_second_are_kept() -> None:
    assert from_unix_seconds(0.5) == datetime(1970, 1, 1, microsecond=500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("2026-10-24T22:00", "Sun 2026-10-25 00:00"),
        ("2026-10-24T23:59", "Sun 2026-10-25 01:59"),
        ("2026-10-25T00:00", "Sun 2026-10-25 02:00 CEST"),
        ("2026-10-25T00:59", "Sun 2026-10-25 02:59 CEST"),
        ("2026-10-25T01:00", "Sun 2026-10-25 02:00 CET"),
        ("2026-10-25T02:00", "Sun 2026-10-25 03:00"),
        ("2026-03-29T01:00", "Sun 2026-03-29 03:00"),
    ],
)
def test_a_time_that_the_clock_shows_twice_is_shown_with_its_name(time: str, shown: str) -> None:
    moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert format_local_time(moment, ZoneInfo("Europe/Berlin")) == shown


def test_a_minute_is_told_in_utc_whatever_zone_the_time_is_in() -> None:
    berlin = datetime(2026, 7, 1, 0, 30, 59, tzinfo=timezone(timedelta(hours=2)))
    assert format_minute(berlin) == "2026-06-30 22:30Z"


@pytest.mark.parametrize(
    ("format_time", "shown"),
    [
        (format_second, "2026-06-30 22:30:59Z"),
        (format_rfc3339, "2026-06-30T22:30:59Z"),
        (format_compact, "20260630T223059Z"),
    ],
)
def test_a_second_is_in_utc_whatever_zone_the_time_is_in(format_time, shown: str) -> None:
    berlin = datetime(2026, 7, 1, 0, 30, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(berlin) == shown
