"""Moments as people write them."""

from __future__ import annotations

import pytest

from shared.kernel.errors import UsageError
from shared.mongodb.model import Timestamp
from shared.pitr.moment import LAST_ORDINAL, format_moment, parse_moment

QUARTER = 1795428900  # 2026-11-23 10:15:00 UTC


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23T10:15:00Z", Timestamp(QUARTER, LAST_ORDINAL)),
        ("2026-11-23T11:15:00+01:00", Timestamp(QUARTER, LAST_ORDINAL)),
        ("2026-11-23 10:15:00.900Z", Timestamp(QUARTER, LAST_ORDINAL)),
        (f"{QUARTER},3", Timestamp(QUARTER, 3)),
        (f" {QUARTER}.3 ", Timestamp(QUARTER, 3)),
    ],
)
def test_a_second_includes_all_of_it_and_a_position_is_itself(text: str, at: Timestamp) -> None:
    assert parse_moment(text) == at


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-23T10:15:00", "the time has no zone"),
        ("2026-11-23", "the time has no zone"),
        ("yesterday", "not a moment"),
        ("", "not a moment"),
        ("1900-01-01T00:00:00Z", "no moment of an oplog"),
        ("0001-01-01T00:00:00+14:00", "no moment of an oplog"),
        ("2200-01-01T00:00:00Z", "no moment of an oplog"),
        ("9999999999,1", "no position"),
        ("1795428900,9999999999", "no position"),
    ],
)
def test_what_two_people_would_read_differently_or_nobody_can_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_moment(text)


def test_a_moment_is_shown_with_its_position_unless_all_of_the_second_is_meant() -> None:
    assert format_moment(parse_moment("2026-11-23T10:15:00Z")) == "2026-11-23T10:15:00Z"
    assert format_moment(Timestamp(QUARTER, 3)) == f"2026-11-23T10:15:00Z ({QUARTER},3)"
