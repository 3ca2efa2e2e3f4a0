"""Public holidays and vacations as one question: is this day off, and what is it called?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .power import Power

DayOff = Callable[[date], str]
"""The name of the holiday or vacation on a day; empty for an ordinary day."""


def check_country(country: str, subdivision: str | None) -> tuple[str, str] | None:
    """Problem and cure when the `holidays` library does not know the place."""
    from holidays import country_holidays
    from holidays.registry import COUNTRIES

    codes = {code: names[0] for names in COUNTRIES.values() for code in names[1:2]}
    if country not in codes:
        near = get_close_matches(country.upper(), codes, 1, 0.6)
        by_name = {name.lower(): code for code, name in codes.items()}
        named = get_close_matches(country.lower(), by_name, 1, 0.7)
        guess = by_name[named[0]] if named else near[0] if near else "DE"
        return (
            f"no holidays are known for the country '{country}'",
            f"Write an ISO 3166-1 code; perhaps {guess}",
        )
    parts = country_holidays(country).subdivisions
    if subdivision is not None and subdivision not in parts:
        known = ", ".join(parts) or "none"
        return f"{country} has no subdivision '{subdivision}'", f"Known are: {known}"
    return None


def days_off(power: Power) -> DayOff:
    """The days on which machines stay off, with their names; years are computed as they are asked for."""
    spans = [(vacation.first, vacation.last, vacation.name) for vacation in power.vacations]
    public: DayOff = _public_holidays(power)

    def name_of(day: date) -> str:
        for first, last, name in spans:
            if first <= day <= last:
                return name
        return public(day)

    return name_of


def _public_holidays(power: Power) -> DayOff:
    if power.holidays is None:
        return lambda _day: ""
    from holidays import country_holidays

    known = country_holidays(power.holidays.country, subdiv=power.holidays.subdivision)
    return lambda day: known.get(day) or ""
