"""NCRONTAB expressions as the platform reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.host.ncrontab import TimerSchedule
from shared.kernel.errors import UsageError

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0 */5 * * * *", datetime(2026, 1, 1, 12, 5, tzinfo=UTC), id="every five minutes"),
        pytest.param("*/5 * * * *", datetime(2026, 1, 1, 12, 5, tzinfo=UTC), id="five fields"),
        pytest.param("0 0 * * * *", datetime(2026, 1, 1, 13, tzinfo=UTC), id="every hour"),
        pytest.param("0 30 9 * * 1-5", datetime(2026, 1, 2, 9, 30, tzinfo=UTC), id="weekdays"),
        pytest.param("0 30 9 * * Mon-Fri", datetime(2026, 1, 2, 9, 30, tzinfo=UTC), id="names"),
        pytest.param("0 30 9 * january Monday", datetime(2026, 1, 5, 9, 30, tzinfo=UTC), id="whole names"),
        pytest.param("0 0 0 13 * 5", datetime(2026, 2, 13, tzinfo=UTC), id="both day fields must match"),
        pytest.param("5/20 * * * * *", datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC), id="from five on"),
        pytest.param("0 0 0 * * 0", datetime(2026, 1, 4, tzinfo=UTC), id="Sunday is 0"),
    ],
)
def test_the_next_occurrence_follows(text: str, expected: datetime) -> None:
    assert TimerSchedule.parse(text).next_after(START) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "0 0 0 ? * *",
        "0 0 0 L * *",
        "0 0 0 15W * *",
        "0 0 0 * * 5#3",
        "0 0 0 * * 7",
        "60 * * * * *",
        "0 60 * * * *",
        "0 0 24 * * *",
        "0 0 0 0 * *",
        "0 0 0 * 13 *",
        "0 0 0 * foo *",
        "*/0 * * * * *",
        "0 0 22-2 * * *",
        "*-5 * * * * *",
        "1,,2 * * * * *",
        "@daily",
        "00:05:00",
        "0 0 0 30 2 *",
        "0 0 0 31 4,6,9,11 *",
    ],
)
def test_what_the_platform_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="The schedule"):
        TimerSchedule.parse(text)


def test_an_occurrence_is_later_than_the_moment_asked_for_even_by_less_than_a_second() -> None:
    schedule = TimerSchedule.parse("* * * * * *")
    assert schedule.next_after(START) == START + timedelta(seconds=1)
    assert schedule.next_after(START + timedelta(milliseconds=1)) == START + timedelta(seconds=1)


def test_in_utc_every_day_has_its_half_past_two_also_when_clocks_change_in_berlin() -> None:
    schedule = TimerSchedule.parse("0 30 2 * * *")
    berlin = ZoneInfo("Europe/Berlin")
    when = datetime(2026, 3, 27, 12, tzinfo=UTC)
    found = []
    for _ in range(4):
        following = schedule.next_after(when)
        assert following is not None
        when = following
        found.append((when.isoformat(), when.astimezone(berlin).hour))
    assert found == [
        ("2026-03-28T02:30:00+00:00", 3),
        ("2026-03-29T02:30:00+00:00", 4),  # summer time has begun there
        ("2026-03-30T02:30:00+00:00", 4),
        ("2026-03-31T02:30:00+00:00", 4),
    ]
