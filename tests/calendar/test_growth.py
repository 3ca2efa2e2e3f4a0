"""Growth by what backups counted: the runaway, and the day on which the disk is full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.calendar.growth import SetSizes, find_runaways, forecast_disk, measure_growth
from shared.calendar.ports import LockoutFacts

NOW = datetime(2026, 11, 28, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GIB = 1 << 30
CHUNKS = "rocketchat.rocketchat_userDataFiles.chunks"
DISK = LockoutFacts(disk_total_bytes=100 * GIB, disk_used_bytes=55 * GIB)


def nights(*sizes: float, name: str = CHUNKS, every: timedelta = DAY) -> list[SetSizes]:
    first = NOW - every * (len(sizes) - 1)
    return [
        SetSizes(first + every * number, {name: int(size * GIB), "rocketchat.users": 5})
        for number, size in enumerate(sizes)
    ]


def test_the_size_of_each_namespace_a_day_the_fastest_first() -> None:
    rows = measure_growth(nights(1, 1, 1, 4))
    assert [(row.name, row.last_per_day / GIB, row.mean_per_day / GIB) for row in rows] == [
        (CHUNKS, 3.0, 1.0), ("rocketchat.users", 0.0, 0.0),
    ]  # fmt: skip
    assert measure_growth(nights(1)) == []
    assert measure_growth(nights(1, 3, every=DAY * 2))[0].last_per_day == GIB


@pytest.mark.parametrize(
    ("sizes", "runs_away"),
    [
        ((0.5, 0.5, 0.5, 125), True),  # as reported: RocketChat/Rocket.Chat#31324
        ((0.5, 125), True),
        ((0.5, 2.4), False),  # too little to be anything
        ((10, 13, 16, 19, 22), False),  # it grows like that each day
        ((10, 13, 16, 19, 40), True),
        ((10, 13, 16, 19, 33.9), False),  # not quite five times what it uses to
        ((10, 9, 8, 7, 9.5), True),  # it used to shrink
        ((30, 20), False),
        ((30,), False),
    ],
)
def test_a_collection_runs_away_that_grows_by_gigabytes_and_far_more_than_it_uses_to(
    sizes: tuple[float, ...], runs_away: bool
) -> None:
    found = find_runaways(nights(*sizes))
    assert [one.name for one in found] == ([CHUNKS] if runs_away else [])
    if found:
        assert found[0].grown_bytes == int(sizes[-1] * GIB) - int(sizes[-2] * GIB)
        assert (found[0].since, found[0].until) == (NOW - DAY, NOW)


def test_a_collection_that_is_new_may_run_away_too() -> None:
    before, newest = SetSizes(NOW - DAY, {}), SetSizes(NOW, {"rocketchat.new": 3 * GIB})
    assert [one.name for one in find_runaways([before, newest])] == ["rocketchat.new"]


def test_the_disk_is_full_when_what_is_left_has_grown_away() -> None:
    found = forecast_disk(nights(10, 12, 14, 16, 18), DISK, NOW)
    assert found is not None
    assert found.at == NOW + DAY * 20  # 95 of 100 GiB less 55, at 2 a day


def test_a_growth_that_began_lately_counts_and_not_the_mean_of_the_weeks() -> None:
    found = forecast_disk(nights(*[10] * 10, 14, 18, 22, 26, 30, 34), DISK, NOW)
    assert found is not None
    assert found.at is not None
    assert found.at < NOW + DAY * 15


@pytest.mark.parametrize("sizes", [(10, 10, 10), (12, 11, 10), (10, 10.01, 10.02)])
def test_a_disk_that_does_not_fill_within_a_year_has_no_end(sizes: tuple[float, ...]) -> None:
    assert forecast_disk(nights(*sizes), DISK, NOW) is None


def test_a_disk_that_is_full_already_ends_now() -> None:
    full = LockoutFacts(disk_total_bytes=100 * GIB, disk_used_bytes=96 * GIB)
    for sizes in ((10, 10, 10), (10, 11, 12)):
        found = forecast_disk(nights(*sizes), full, NOW)
        assert found is not None
        assert found.at == NOW


def test_what_cannot_be_reckoned_is_unknown_and_not_fine() -> None:
    for sets, facts in (
        (nights(1, 2, 3), LockoutFacts()),
        (nights(1), DISK),
        (nights(1, 2), DISK),
    ):
        found = forecast_disk(sets, facts, NOW)
        assert found is not None
        assert found.at is None
        assert found.unknown
