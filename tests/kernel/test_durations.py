"""How long something took, as people read it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.kernel.durations import format_duration

DAY, HOUR, MINUTE = 86400, 3600, 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.9, "0 s"),
        (1, "1 s"),
        (59.9, "59 s"),
        (MINUTE, "1 min"),
        (MINUTE + 20, "1 min 20 s"),
        (HOUR - 1, "59 min 59 s"),
        (HOUR, "1 h"),
        (HOUR + 59, "1 h"),  # a third unit is noise
        (2 * HOUR + 5 * MINUTE + 7, "2 h 5 min"),
        (DAY - 1, "23 h 59 min"),
        (DAY, "1 d"),
        (DAY + 59 * MINUTE, "1 d"),
        (3 * DAY + 4 * HOUR + 5 * MINUTE, "3 d 4 h"),
        (400 * DAY, "400 d"),
    ],
)
def test_the_two_largest_units_are_told_rounded_down(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
