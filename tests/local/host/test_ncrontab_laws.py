"""The laws of NCRONTAB: the next occurrence matches, and nothing before it does.

The expressions are generated together with the values they mean, so that the parser is tested with them.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from local.host.ncrontab import TimerSchedule
from shared.kernel.errors import UsageError

FIELDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
NAMES = {4: MONTHS, 5: WEEKDAYS}

Meaning = tuple[frozenset[int], ...]


@st.composite
def parts(draw: st.DrawFn, index: int) -> tuple[str, frozenset[int]]:
    low, high = FIELDS[index]
    a = draw(st.integers(low, high))
    b = draw(st.integers(a, high))
    step = draw(st.integers(1, high))
    names = NAMES.get(index)
    word = names[a - low] if names and draw(st.booleans()) else str(a)
    return draw(
        st.sampled_from(
            [
                ("*", frozenset(range(low, high + 1))),
                (word, frozenset([a])),
                (f"{word}-{b}", frozenset(range(a, b + 1))),
                (f"{word}/{step}", frozenset(range(a, high + 1, step))),
                (f"*/{step}", frozenset(range(low, high + 1, step))),
                (f"{word}-{b}/{step}", frozenset(range(a, b + 1, step))),
            ]
        )
    )


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Meaning]:
    words, meaning = [], []
    for index in range(6):
        chosen = draw(st.lists(parts(index), min_size=1, max_size=3))
        words.append(",".join(text for text, _ in chosen))
        meaning.append(frozenset().union(*(values for _, values in chosen)))
    return " ".join(words), tuple(meaning)


moments = st.datetimes(
    datetime(2023, 1, 1),  # noqa: DTZ001 - the strategy adds the time zone
    datetime(2032, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def fits(meaning: Meaning, when: datetime) -> bool:
    weekday = (when.weekday() + 1) % 7
    seen = (when.second, when.minute, when.hour, when.day, when.month, weekday)
    return all(value in values for value, values in zip(seen, meaning, strict=True))


def parse_or_discard(text: str) -> TimerSchedule:
    try:
        return TimerSchedule.parse(text)
    except UsageError as error:
        assume("never occurs" not in str(error))
        raise


@settings(max_examples=150, deadline=None)
@given(expressions(), moments)
def test_the_next_occurrence_is_the_first_second_that_a_scan_of_two_hours_finds(
    expression: tuple[str, Meaning], start: datetime
) -> None:
    text, meaning = expression
    found = parse_or_discard(text).next_after(start)
    second = start.replace(microsecond=0)
    scanned = next(
        (when for n in range(1, 7201) if fits(meaning, when := second + timedelta(seconds=n))), None
    )
    if scanned is not None:
        assert found == scanned
    else:
        assert found is None or found > second + timedelta(seconds=7200)


@settings(max_examples=150, deadline=None)
@given(expressions(), moments)
def test_the_next_occurrence_is_on_the_first_day_that_a_scan_of_days_finds(
    expression: tuple[str, Meaning], start: datetime
) -> None:
    text, meaning = expression
    found = parse_or_discard(text).next_after(start)
    scanned = scan_days(meaning, start, days=1500)
    if scanned is not None:
        assert found == scanned
    else:
        assert found is None or (found > start + timedelta(days=1499) and fits(meaning, found))


def scan_days(meaning: Meaning, start: datetime, *, days: int) -> datetime | None:
    seconds, minutes, hours, *dates = (sorted(values) for values in meaning)
    for offset in range(days):
        day: date = start.date() + timedelta(days=offset)
        seen = (day.day, day.month, (day.weekday() + 1) % 7)
        if all(value in values for value, values in zip(seen, dates, strict=True)):
            for hour, minute, second in itertools.product(hours, minutes, seconds):
                when = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
                if when > start:
                    return when
    return None


@settings(max_examples=100, deadline=None)
@given(expressions(), moments)
def test_matching_is_what_the_fields_say(expression: tuple[str, Meaning], when: datetime) -> None:
    text, meaning = expression
    assert parse_or_discard(text).matches(when) == fits(meaning, when)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("0123456789*/-, ?LW#MONjan"), max_size=30))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        schedule = TimerSchedule.parse(text)
    except UsageError as error:
        assert repr(text) in str(error)
    else:
        assert all(values == tuple(sorted(set(values))) for values in schedule.fields)


@pytest.mark.parametrize("year", [2024, 2028, 2096])
def test_the_twenty_ninth_of_february_is_found_over_the_years(year: int) -> None:
    schedule = TimerSchedule.parse("0 0 0 29 2 *")
    later = {2024: 2028, 2028: 2032, 2096: 2104}[year]  # 2100 is no leap year
    assert schedule.next_after(datetime(year, 3, 1, tzinfo=UTC)) == datetime(later, 2, 29, tzinfo=UTC)
