"""What the sections of the policy share: the frozen base, and types that explain what is wrong with a value.

Imported only when a policy is read: pydantic costs a cold start 0.4 s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, NoReturn, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from .values import Window, parse_duration, parse_size, parse_window

T = TypeVar("T")


class Section(BaseModel):
    """A frozen part of the policy: unknown keys are mistakes, and nothing is converted silently."""

    # A misspelt key that were ignored would leave its default in force, and `retetion` would delete what
    # somebody meant to keep.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def reject(problem: str, hint: str) -> NoReturn:
    """Reject a value; the place in the file is added by whoever reads it."""
    # Through the context and not the template: a brace in what somebody wrote would otherwise be read as a
    # field of it.
    raise PydanticCustomError("policy", "{problem}", {"problem": problem, "hint": hint})


def max_hours(hours: int) -> AfterValidator:
    """Reject durations above so many hours."""

    def validate(value: timedelta) -> timedelta:
        if value > timedelta(hours=hours):
            reject(f"is longer than {hours}h", f"Write {hours}h or less")
        return value

    return AfterValidator(validate)


def text_validator(parse: Callable[[str], T], hint: str) -> Callable[[object], T]:
    """A validator that takes a text and lets `parse` explain itself, or an already parsed value as it is."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            reject(f"'{value}' is not a text", hint)
        try:
            return parse(value)
        except ValueError as error:
            # The parsers of `values` know no pydantic; they raise ValueError(problem, hint).
            reject(error.args[0], error.args[1])

    return validate


_DURATION_HINT = "Write a number and a unit: 90s, 30m, 36h, 14d, 2w, 1h30m"
_DURATION_PATTERN = "^([0-9]{1,6}[smhdw]){1,5}$"
_validate_duration = text_validator(parse_duration, _DURATION_HINT)


def _duration(value: object) -> timedelta:
    return value if isinstance(value, timedelta) else _validate_duration(value)


def age_validator(period: timedelta) -> Callable[[object], timedelta]:
    """A validator for how long a class is kept: a duration, or a count of the class's own periods."""

    def validate(value: object) -> timedelta:
        # YAML's `true` is an int in Python: `daily: true` is a mistake, not one day.
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 < value <= 1000:
                reject(
                    f"{value} would keep nothing, or for ever",
                    "Write a count from 1 to 1000, or leave the key out",
                )
            return value * period
        return _duration(value)

    return validate


def _age_schema(text: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _DURATION_PATTERN},
                {"type": "integer", "minimum": 1, "maximum": 1000},
            ],
            "examples": [text],
        }
    )


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found; a folder's name; a name that is no path
        reject(f"'{name}' is not an IANA time zone", _zone_hint(name))
    return name


def _zone_hint(name: str) -> str:
    # `posix/` and `right/` are copies in the tz database, the latter with leap seconds: nobody means them.
    zones = {
        zone.lower(): zone for zone in available_timezones() if not zone.startswith(("posix/", "right/"))
    }
    # People write `Berlin`; the continent in front is what they do not know.
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(zones)}
    near = get_close_matches(name.lower(), zones, 1, 0.7) or get_close_matches(name.lower(), cities, 1, 0.7)
    if not near:
        return "Write a name like Europe/Berlin or America/New_York"
    return f"Did you mean {zones[cities.get(near[0], near[0])]}?"


def _check_one_line(text: str) -> str:
    # policy.yaml is under review and in git: an address with its token must not get in as the name of a
    # route.
    if "://" in text or "\n" in text:
        reject(
            "this is not a name",
            "Addresses with their secrets belong into the app settings; name the route here",
        )
    return text


Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["30m", "36h", "14d"]}),
]
"""`30m`, `36h`, `14d`, `1h30m`."""

# A month counts 31 days, the longest one: a count must never keep less than its reader reckons.
DailyAge = Annotated[timedelta, PlainValidator(age_validator(timedelta(days=1))), _age_schema("14d")]
WeeklyAge = Annotated[timedelta, PlainValidator(age_validator(timedelta(weeks=1))), _age_schema("8w")]
MonthlyAge = Annotated[timedelta, PlainValidator(age_validator(timedelta(days=31))), _age_schema("400d")]

Size = Annotated[
    int,
    PlainValidator(
        lambda value: value if type(value) is int else text_validator(parse_size, "Write 512 MiB")(value)
    ),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6} ?([KMGT]i?B)$", "examples": ["512 MiB"]}),
]
"""`512 MiB`, in bytes."""

WeeklyWindow = Annotated[
    Window,
    PlainValidator(
        lambda v: (
            v if isinstance(v, Window) else text_validator(parse_window, "Write 'Mon-Fri 07:00-19:00'")(v)
        )
    ),
    WithJsonSchema(
        {"type": "string", "examples": ["Mon-Fri 07:00-19:00", "Sat 22:00-02:00", "daily 00:00-24:00"]}
    ),
]

Zone = Annotated[str, AfterValidator(_check_zone), Field(examples=["Europe/Berlin"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_check_one_line)]
RouteName = Annotated[
    str, AfterValidator(_check_one_line), StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
]
TagPair = Annotated[
    str, StringConstraints(pattern=r"^[^=\s][^=]{0,511}=.{0,256}$"), Field(examples=["groundcrew=chat"])
]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
