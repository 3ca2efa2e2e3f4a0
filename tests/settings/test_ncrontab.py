"""What an NCRONTAB expression means, field by field, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.kernel.errors import UsageError
from shared.settings.ncrontab import Ncrontab

EVERY = (
    tuple(range(60)), tuple(range(60)), tuple(range(24)),
    tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7)),
)  # fmt: skip
SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(6)


@pytest.mark.parametrize(
    ("word", "field", "values"),
    [
        ("0", SECOND, (0,)), ("59", SECOND, (59,)), ("0-59", MINUTE, EVERY[MINUTE]), ("23", HOUR, (23,)),
        ("1", DAY, (1,)), ("31", DAY, (31,)), ("1", MONTH, (1,)), ("12", MONTH, (12,)),
        ("0", WEEKDAY, (0,)), ("6", WEEKDAY, (6,)), ("5,1,3,1", HOUR, (1, 3, 5)),
        ("*/20", MINUTE, (0, 20, 40)), ("*/25", SECOND, (0, 25, 50)), ("*/10", DAY, (1, 11, 21, 31)),
        ("50/4", MINUTE, (50, 54, 58)), ("10-20/5", MINUTE, (10, 15, 20)), ("8-10", HOUR, (8, 9, 10)),
        ("7-7", HOUR, (7,)), ("1-2,20/2", HOUR, (1, 2, 20, 22)), ("*/60", MINUTE, (0,)),
        ("Jan", MONTH, (1,)), ("december", MONTH, (12,)), ("JUL-sep", MONTH, (7, 8, 9)), ("Ju", MONTH, (6,)),
        ("Sun", WEEKDAY, (0,)), ("mon-FRI", WEEKDAY, (1, 2, 3, 4, 5)), ("saturday", WEEKDAY, (6,)),
    ],
)  # fmt: skip
def test_a_field_names_its_values(word: str, field: int, values: tuple[int, ...]) -> None:
    words = ["*"] * 6
    words[field] = word
    expected = [*EVERY]
    expected[field] = values
    assert Ncrontab.parse(" ".join(words)).fields == tuple(expected)


@pytest.mark.parametrize(
    ("word", "field", "told"),
    [
        ("60", SECOND, "60 as second, which goes from 0 to 59"),
        ("60", MINUTE, "60 as minute, which goes from 0 to 59"),
        ("24", HOUR, "24 as hour, which goes from 0 to 23"),
        ("0", DAY, "0 as day of the month, which goes from 1 to 31"),
        ("32", DAY, "32 as day of the month, which goes from 1 to 31"),
        ("0", MONTH, "0 as month, which goes from 1 to 12"),
        ("13", MONTH, "13 as month, which goes from 1 to 12"),
        ("7", WEEKDAY, "7 as day of the week, which goes from 0 to 6"),
        ("Jan", WEEKDAY, "'Jan' as day of the week"),
        ("Mon", MONTH, "'Mon' as month"),
        ("x", HOUR, "'x' as hour"),
        ("-1", HOUR, "'-1' as hour"),
        ("1,", HOUR, "'' as hour"),
        ("?", DAY, "'?' as day of the month"),
        ("L", DAY, "'L' as day of the month"),
        ("5#2", WEEKDAY, "'5#2' as day of the week"),
        ("*-5", HOUR, "'*-5' as hour"),
        ("9-8", HOUR, "'9-8' as hour"),
        ("*/0", HOUR, "'*/0' as hour"),
        ("1-5/0", HOUR, "'1-5/0' as hour"),
        ("20-24", HOUR, "24 as hour, which goes from 0 to 23"),
    ],
)
def test_a_field_that_is_none_is_refused_by_its_name(word: str, field: int, told: str) -> None:
    words = ["*"] * 6
    words[field] = word
    with pytest.raises(UsageError) as caught:
        Ncrontab.parse(" ".join(words))
    assert str(caught.value).startswith(f"The schedule {' '.join(words)!r} has {told}")


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_an_expression_has_five_fields_or_six(count: int) -> None:
    with pytest.raises(UsageError, match=f"has {count} fields"):
        Ncrontab.parse(" ".join(["*"] * count))


def test_of_five_fields_none_is_seconds() -> None:
    five = Ncrontab.parse("30 2 * * 1-5")
    assert five.fields == Ncrontab.parse("0 30 2 * * 1-5").fields
    assert five.text == "30 2 * * 1-5"


@pytest.mark.parametrize(
    ("days", "months", "occurs"),
    [
        ("29", "2", True), ("30", "2", False), ("30", "4", True), ("31", "4", False), ("31", "6", False),
        ("31", "9", False), ("31", "11", False), ("31", "1", True), ("31", "12", True), ("31", "2-4", True),
        ("31", "2,4,6,9,11", False), ("30,31", "2", False), ("29-31", "2", True), ("30", "2,9", True),
        ("31", "3,5,7,8,10", True), ("30", "6", True), ("30", "11", True),
    ],
)  # fmt: skip
def test_a_date_that_never_occurs_is_refused(days: str, months: str, occurs: bool) -> None:
    expression = f"0 0 0 {days} {months} *"
    if occurs:
        assert Ncrontab.parse(expression).text == expression
        return
    with pytest.raises(UsageError, match="a date that never occurs"):
        Ncrontab.parse(expression)


AT = datetime(2026, 3, 2, 7, 30, 15, 999, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "fires"),
    [
        ("15 30 7 2 3 1", True), ("* * * * * *", True), ("14 30 7 2 3 1", False), ("15 31 7 2 3 1", False),
        ("15 30 8 2 3 1", False), ("15 30 7 3 3 1", False), ("15 30 7 2 4 1", False),
        ("15 30 7 2 3 2", False), ("15 30 7 2 3 0", False), ("15 30 7 1-3 3 Mon", True),
    ],
)  # fmt: skip
def test_it_fires_where_every_field_matches(expression: str, fires: bool) -> None:
    assert Ncrontab.parse(expression).matches(AT) is fires


def test_sunday_is_the_first_day_of_the_week() -> None:
    assert Ncrontab.parse("* * * * * 0").matches(datetime(2026, 3, 1, tzinfo=UTC))
    assert Ncrontab.parse("* * * * * 6").matches(datetime(2026, 2, 28, tzinfo=UTC))


@pytest.mark.parametrize(
    ("expression", "daily"),
    [
        ("0 0 2 * * *", True), ("0 0 2 1-31 1-12 0-6", True), ("0 0 2 2-31 * *", False),
        ("0 0 2 * 1-11 *", False), ("0 0 2 * * 1-6", False), ("5 5 5 */1 * *", True),
    ],
)  # fmt: skip
def test_it_is_daily_where_no_day_is_left_out(expression: str, daily: bool) -> None:
    assert Ncrontab.parse(expression).is_daily() is daily
