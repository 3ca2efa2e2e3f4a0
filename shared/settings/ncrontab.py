"""NCRONTAB expressions, as timer triggers take them. One reader: for the app and for the embedded host.

Six fields, `{second} {minute} {hour} {day} {month} {day-of-week}`, or five without seconds; both day fields
must match. https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
https://github.com/atifaziz/NCrontab/wiki/Crontab-Expression
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from shared.kernel.errors import UsageError

# Written out: `calendar` would give them in the language of whoever runs the command.
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SHORT_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}  # the last day that they may have
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Ncrontab:
    """A schedule: for each of the six fields, in their order, the values that match, ascending."""

    text: str
    fields: tuple[tuple[int, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression. Raises `UsageError` for what is not taken, or never occurs."""
        words = text.split()
        # Five fields have no seconds: read as they stand, minutes would be seconds, sixty times too often.
        if len(words) == 5:
            words.insert(0, "0")
        if len(words) != 6:
            raise _expression_error(text, f"{len(words)} fields")
        fields = tuple(_parse_field(text, field, word) for field, word in zip(_FIELDS, words, strict=True))
        if not any(month not in _SHORT_MONTHS or fields[3][0] <= _SHORT_MONTHS[month] for month in fields[4]):
            raise _expression_error(text, "a date that never occurs")
        return cls(text, fields)

    def is_daily(self) -> bool:
        """Whether no day is left out."""
        return all(
            len(values) == field.high - field.low + 1
            for field, values in zip(_FIELDS[3:], self.fields[3:], strict=True)
        )

    def matches_day(self, day: date) -> bool:
        """Whether it occurs on that day: unlike cron's, its two fields of days must both match."""
        return all(
            value in field
            for value, field in zip((day.day, day.month, day.isoweekday() % 7), self.fields[3:], strict=True)
        )

    def matches(self, when: datetime) -> bool:
        """Whether it occurs in the second that `when` lies in."""
        clock = (when.second, when.minute, when.hour)
        is_time = all(value in field for value, field in zip(clock, self.fields[:3], strict=True))
        return is_time and self.matches_day(when)


def _parse_field(text: str, field: _Field, word: str) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _expression_error(text, f"{part!r} as {field.name}")
        numbers.update(_parse_range(text, field, part, match))
    return tuple(sorted(numbers))


def _parse_range(text: str, field: _Field, part: str, match: re.Match[str]) -> range:
    step = int(match["step"] or 1)
    if match["first"] == "*":
        low, high = field.low, field.high
        backwards = match["last"] is not None
    else:
        low = _parse_number(text, field, match["first"])
        # `a/n` runs from a to the end of the field, `a` alone is just that.
        end = field.high if match["step"] else low
        high = _parse_number(text, field, match["last"]) if match["last"] else end
        # The platform silently swaps the ends of a range that runs backwards: hardly what was meant.
        backwards = low > high
    if step == 0 or backwards:
        raise _expression_error(text, f"{part!r} as {field.name}")
    return range(low, high + 1, step)


def _parse_number(text: str, field: _Field, word: str) -> int:
    if not word.isdigit():
        for index, name in enumerate(field.names):
            if name.startswith(word.lower()):
                return field.low + index
        raise _expression_error(text, f"{word!r} as {field.name}")
    value = int(word)
    if not field.low <= value <= field.high:
        raise _expression_error(text, f"{word} as {field.name}, which goes from {field.low} to {field.high}")
    return value


def _expression_error(text: str, reason: str) -> UsageError:
    return UsageError(
        f"The schedule {text!r} has {reason}",
        hint="Six NCRONTAB fields are taken, such as '0 30 2 * * 1-5'; `?`, `L`, `W` and `#` are not.",
    )
