"""The small languages of policy.yaml, each at its limits."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from shared.policy.values import (
    Window,
    find_overlaps,
    format_policy_duration,
    parse_day,
    parse_duration,
    parse_size,
    parse_window,
)

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=number) for number in (1, 60, 3600, 86400))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1s", SECOND), ("1m", MINUTE), ("1h", HOUR), ("1d", DAY), ("1w", 7 * DAY), ("36525d", 36525 * DAY),
        ("1w1d1h1m1s", 8 * DAY + HOUR + MINUTE + SECOND), ("999999s", 999_999 * SECOND), ("0h5m", 5 * MINUTE),
    ],
)  # fmt: skip
def test_each_unit_of_a_duration_counts(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["0s", "0h0m", "36525d1s", "36526d", "5218w"])
def test_a_duration_is_between_a_second_and_a_hundred_years(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration between a second and 100 years"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1s1s1s1s1s1s", "1000000s", "1y", "h1"])
def test_a_duration_has_at_most_five_parts_of_six_digits(text: str) -> None:
    with pytest.raises(ValueError, match="Write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (14 * DAY, "14d"), (36 * HOUR, "36h"), (90 * MINUTE, "90m"), (239 * MINUTE, "239m"),
        (240 * MINUTE, "4h"), (241 * MINUTE, "4h1m"), (2 * DAY + 3 * HOUR + 5 * MINUTE, "2d3h5m"),
        (90 * SECOND, "1m30s"), (timedelta(), "0s"), (59 * SECOND, "59s"), (25 * HOUR, "25h"),
    ],
)  # fmt: skip
def test_a_duration_is_written_as_people_do(duration: timedelta, text: str) -> None:
    assert format_policy_duration(duration) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1 KiB", 1024), ("1 MiB", 1024**2), ("1 GiB", 1024**3), ("1 TiB", 1024**4),
        ("1 KB", 1000), ("1 MB", 1000**2), ("1 GB", 1000**3), ("1TB", 1000**4), ("999999 KB", 999_999_000),
    ],
)  # fmt: skip
def test_binary_and_decimal_sizes_are_told_apart(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0 MiB", "1", "1  MiB", "1 mib", "1000000 KB", "1 B", "-1 MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-24", date(2026, 12, 24)), ("24.12.2026", date(2026, 12, 24)),
        ("1.2.2026", date(2026, 2, 1)), ("31.2.2026", None), ("2026-02-30", None), ("20261224", None),
        ("2026-W01-1", None), ("24.12.26", None), ("tomorrow", None), ("", None),
    ],
)  # fmt: skip
def test_a_day_is_read_as_people_write_it(text: str, day: date | None) -> None:
    assert parse_day(text) == day


ALL = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "window", "written"),
    [
        ("daily 00:00-24:00", Window(ALL, 0, 1440), "daily 00:00-24:00"),
        ("* 7:05 - 19:59", Window(ALL, 425, 1199), "daily 07:05-19:59"),
        ("  Mon 07:00-07:01 ", Window(frozenset({0}), 420, 421), "Mon 07:00-07:01"),
        ("Sat,Sun 22:00-02:00", Window(frozenset({5, 6}), 1320, 1560), "Sat,Sun 22:00-02:00"),
        ("Sun 23:00-24:00", Window(frozenset({6}), 1380, 1440), "Sun 23:00-24:00"),
        ("Sun 23:00-00:01", Window(frozenset({6}), 1380, 1441), "Sun 23:00-00:01"),
        ("Sun-Mon 1:00-2:00", Window(frozenset({6, 0}), 60, 120), "Mon,Sun 01:00-02:00"),
        ("mon-sun 1:00-2:00", Window(ALL, 60, 120), "daily 01:00-02:00"),
        ("Tue-Tue 1:00-2:00", Window(frozenset({1}), 60, 120), "Tue 01:00-02:00"),
        ("Mon-Sat 1:00-2:00", Window(frozenset(range(6)), 60, 120), "Mon,Tue,Wed,Thu,Fri,Sat 01:00-02:00"),
    ],
)
def test_a_window_is_read_and_written_back(text: str, window: Window, written: str) -> None:
    assert parse_window(text) == window
    assert str(window) == written
    assert parse_window(written) == window


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Mon 07:00", "is not a window"),
        ("07:00-19:00", "is not a window"),
        ("Mon 7-19", "is not a window"),
        ("Mon 07:00-07:00", "begins when it ends"),
        ("Mon 24:00-07:00", "begins when it ends"),
        ("Mon 07:60-19:00", "a time that no clock shows"),
        ("Mon 07:00-19:60", "a time that no clock shows"),
        ("Mon 24:01-19:00", "a time that no clock shows"),
        ("Mon 07:00-24:01", "a time that no clock shows"),
        ("Mon 07:00-25:00", "a time that no clock shows"),
        ("Moon 07:00-19:00", "a weekday 'Moon' that there is not"),
        ("Mon,  07:00-19:00", "a weekday '' that there is not"),
        ("Mon-Fr 07:00-19:00", "a weekday 'Fr' that there is not"),
    ],
)
def test_what_is_no_window_is_refused_with_its_mistake(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_window(text)
    assert len(caught.value.args) == 2, "the problem and the hint"


@pytest.mark.parametrize(
    ("windows", "overlaps"),
    [
        (("Mon 07:00-12:00", "Mon 12:00-19:00"), []),
        (("Mon 07:00-12:01", "Mon 12:00-19:00"), [(0, 1)]),
        (("Mon 12:00-19:00", "Mon 07:00-12:01"), [(0, 1)]),
        (("Mon 07:00-12:00", "Tue 07:00-12:00"), []),
        (("Sun 22:00-02:00", "Mon 01:00-03:00"), [(0, 1)]),
        (("Sun 22:00-02:00", "Mon 02:00-03:00"), []),
        (("daily 22:00-02:00",), []),
        (("Mon 07:00-20:00", "Mon 08:00-09:00", "Mon 10:00-11:00"), [(0, 1), (0, 2)]),
        (("Mon 07:00-20:00", "Mon 08:00-09:00", "Mon 19:00-23:00", "Mon 22:00-23:30"),
         [(0, 1), (0, 2), (2, 3)]),
        (("daily 07:00-08:00", "Wed 07:30-09:00"), [(0, 1)]),
        ((), []),
    ],
)  # fmt: skip
def test_windows_overlap_where_they_share_a_minute_of_the_week(
    windows: tuple[str, ...], overlaps: list[tuple[int, int]]
) -> None:
    assert find_overlaps(tuple(map(parse_window, windows))) == overlaps
