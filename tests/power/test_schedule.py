"""The calendar of a machine, moment by moment: windows, days off, the two nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.policy.values import parse_window
from shared.power.schedule import Schedule, Segment, resolve_end, resolve_start
from tests.support.power_world import berlin as at

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


def schedule(*windows: str, off: tuple[str, ...] = (), name: str = "holiday") -> Schedule:
    return Schedule(BERLIN, tuple(map(parse_window, windows)), lambda day: name if str(day) in off else "")


WEEK = schedule("Mon-Fri 07:00-19:00")


@pytest.mark.parametrize(
    ("now", "up", "since", "until"),
    [
        (at("6:59"), False, at("19:00", 2) - timedelta(days=3), at("7:00")),
        (at("7:00"), True, at("7:00"), at("19:00")),
        (at("19:00") - SECOND, True, at("7:00"), at("19:00")),
        (at("19:00"), False, at("19:00"), at("7:00", 3)),
        (at("12:00", 7), False, at("19:00", 6), at("7:00", 9)),
    ],
    ids=["before it", "its start", "its last second", "its end", "a Saturday"],
)
def test_a_window_holds_from_its_start_to_before_its_end(
    now: datetime, up: bool, since: datetime, until: datetime
) -> None:
    segment = schedule("Mon-Fri 07:00-19:00").segment_at(now)
    assert (segment.up, segment.since, segment.until) == (up, since, until)


def test_one_calendar_answers_for_any_moment_in_any_order() -> None:
    one = schedule("Mon-Fri 07:00-19:00")
    for now in (at("12:00"), at("20:00"), at("12:00"), at("6:59"), at("7:00"), at("19:00"), at("18:59")):
        assert one.segment_at(now) == schedule("Mon-Fri 07:00-19:00").segment_at(now)


@pytest.mark.parametrize(
    ("windows", "since", "until"),
    [
        (("Mon 07:00-12:00", "Mon 12:00-19:00"), at("7:00"), at("19:00")),
        (("Mon 07:00-13:00", "Mon 12:00-19:00"), at("7:00"), at("19:00")),
        (("Mon 07:00-19:00", "Mon 12:00-13:00"), at("7:00"), at("19:00")),
        (("Mon 07:00-12:30", "Mon 12:31-19:00"), at("7:00"), at("12:30")),
        (("Sun 22:00-02:00", "Mon 02:00-19:00"), at("22:00", 1), at("19:00")),
        (("Mon 12:00-02:00",), at("12:00"), at("2:00", 3)),
        (("Mon 00:00-24:00", "Tue 00:00-01:00"), at("0:00"), at("1:00", 3)),
    ],
)
def test_windows_that_touch_or_overlap_are_one(
    windows: tuple[str, ...], since: datetime, until: datetime
) -> None:
    segment = schedule(*windows).segment_at(at("12:15"))
    assert (segment.up, segment.since, segment.until) == (True, since, until)


def test_without_a_change_in_sight_there_is_none() -> None:
    always, never = schedule("daily 00:00-24:00"), schedule()
    assert always.segment_at(at("12:00")) == Segment(
        True, None, None, "schedule: up, with no change in sight"
    )
    assert never.segment_at(at("12:00")) == Segment(
        False, None, None, "schedule: off, with no change in sight"
    )


def days_after(first: date, count: int) -> tuple[str, ...]:
    return tuple(str(first + timedelta(days=number)) for number in range(count))


@pytest.mark.parametrize("count", [1, 2, 8, 38, 200, 397])
def test_a_change_is_found_however_many_days_off_lie_before_it(count: int) -> None:
    closed = schedule("daily 07:00-19:00", off=days_after(date(2026, 3, 3), count))
    segment = closed.segment_at(at("20:00"))
    assert (segment.up, segment.since) == (False, at("19:00"))
    assert segment.until is not None
    assert segment.until.astimezone(BERLIN).date() == date(2026, 3, 3) + timedelta(days=count)
    later = schedule("daily 07:00-19:00", off=days_after(date(2026, 3, 3), count))
    last = segment.until - SECOND
    assert later.segment_at(last).since == at("19:00")


def test_a_change_more_than_400_days_away_is_none() -> None:
    closed = schedule("daily 07:00-19:00", off=days_after(date(2026, 3, 3), 500))
    assert closed.segment_at(at("20:00")).until is None
    assert closed.segment_at(at("20:00")).reason == (
        "schedule: off since Mon 2026-03-02 19:00, with no change in sight"
    )


def test_the_night_of_a_window_belongs_to_the_day_it_begins_on() -> None:
    nights = schedule("daily 22:00-02:00", off=("2026-03-03",))
    assert nights.segment_at(at("1:00", 3)).up, "it began on the day before"
    assert not nights.segment_at(at("23:00", 3)).up
    assert not nights.segment_at(at("1:00", 4)).up


@pytest.mark.parametrize(
    ("off", "named"),
    [
        ((), ""),
        (("2026-03-03",), " (2026-03-03)"),
        (("2026-03-03", "2026-03-04"), " (2026-03-03, 2026-03-04)"),
        (days_after(date(2026, 3, 3), 4), " (2026-03-03, 2026-03-04, 2026-03-05)"),
    ],
)
def test_days_off_are_named_up_to_three_of_them(off: tuple[str, ...], named: str) -> None:
    one = Schedule(
        BERLIN, (parse_window("daily 07:00-19:00"),), lambda day: str(day) if str(day) in off else ""
    )
    reason = one.segment_at(at("20:00")).reason
    until = 3 + len(off)
    weekday = ("Tue", "Wed", "Thu", "Fri", "Sat")[len(off)]
    assert reason == (
        f"schedule: off since Mon 2026-03-02 19:00 until {weekday} 2026-03-{until:02} 07:00{named}"
    )
    assert one.segment_at(at("12:00")).reason == (
        "schedule: up since Mon 2026-03-02 07:00 until Mon 2026-03-02 19:00"
    )


def test_one_name_of_several_days_off_is_told_once_and_the_last_of_a_month_still() -> None:
    trip = schedule("daily 07:00-19:00", off=days_after(date(2026, 3, 3), 3), name="trip")
    assert trip.segment_at(at("20:00")).reason.endswith("(trip)")
    late = schedule("Mon 07:00-19:00", off=("2026-03-09",))
    assert late.segment_at(at("20:00")).reason.endswith("(holiday)")


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (at("7:00"), at("19:00"), 12), (at("0:00"), at("0:00", 9), 60), (at("8:00"), at("9:30"), 1.5),
        (at("19:00"), at("7:00", 3), 0), (at("12:00"), at("12:00"), 0), (at("18:00"), at("8:00", 3), 2),
        (at("0:00", 7), at("0:00", 9), 0),
    ],
)  # fmt: skip
def test_the_time_up_is_summed_over_any_span(since: datetime, until: datetime, hours: float) -> None:
    assert WEEK.up_time(since, until) == timedelta(hours=hours)
    assert schedule("daily 00:00-24:00").up_time(since, until) == until - since
    assert schedule().up_time(since, until) == timedelta()


def utc(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "minutes", "start", "end"),
    [
        pytest.param(SPRING, 119, utc(SPRING, 0, 59), utc(SPRING, 0, 59), id="before the jump"),
        pytest.param(SPRING, 120, utc(SPRING, 1), utc(SPRING, 1), id="at the jump"),
        pytest.param(SPRING, 150, utc(SPRING, 1), utc(SPRING, 1), id="in the skipped hour"),
        pytest.param(SPRING, 180, utc(SPRING, 1), utc(SPRING, 1), id="after it"),
        pytest.param(SPRING, 181, utc(SPRING, 1, 1), utc(SPRING, 1, 1), id="a minute after"),
        pytest.param(AUTUMN, 120, utc(AUTUMN, 0), utc(AUTUMN, 0), id="where the repeated hour begins"),
        pytest.param(AUTUMN, 121, utc(AUTUMN, 0, 1), utc(AUTUMN, 1, 1), id="in its first minute"),
        pytest.param(AUTUMN, 150, utc(AUTUMN, 0, 30), utc(AUTUMN, 1, 30), id="in it"),
        pytest.param(AUTUMN, 180, utc(AUTUMN, 2), utc(AUTUMN, 2), id="where it is over"),
        pytest.param(AUTUMN, 1440, utc(AUTUMN, 23), utc(AUTUMN, 23), id="the end of the day"),
    ],
)
def test_where_clocks_change_a_window_begins_early_and_ends_late(
    day: date, minutes: int, start: datetime, end: datetime
) -> None:
    assert resolve_start(day, minutes, BERLIN) == start
    assert resolve_end(day, minutes, BERLIN) == end


def test_a_jump_of_half_an_hour_is_found_to_the_second() -> None:
    island = ZoneInfo("Australia/Lord_Howe")  # 2026-10-04, 2:00 to 2:30
    jump = datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    assert resolve_start(date(2026, 10, 4), 135, island) == jump
    assert resolve_end(date(2026, 10, 4), 135, island) == jump


def test_a_window_within_a_skipped_hour_is_none_on_that_day() -> None:
    night = schedule("daily 02:10-02:50")
    assert not night.segment_at(utc(SPRING, 1)).up
    assert night.up_time(utc(SPRING, 0), utc(SPRING, 3)) == timedelta()
    assert night.up_time(utc(AUTUMN, 0), utc(AUTUMN, 3)) == timedelta(hours=1, minutes=40)
