"""Public holidays and vacations as one question: is this day off, and what is it called?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .power import PowerPolicy

DayOff = Callable[[date], str]
"""The name of the holiday or vacation on a day; empty for an ordinary day."""


def days_off(power: PowerPolicy) -> DayOff:
    """The days on which machines stay off, with their names; years are computed as they are asked for."""
    # Before public holidays: the team's own name for Christmas week says more than "Christmas Day".
    spans = [(vacation.first, vacation.last, vacation.name) for vacation in power.vacations]
    public: DayOff = _public_holidays(power)

    def holiday_name(day: date) -> str:
        for first, last, name in spans:
            if first <= day <= last:
                return name
        return public(day)

    return holiday_name


def _public_holidays(power: PowerPolicy) -> DayOff:
    if power.holidays is None:
        return lambda _day: ""
    # Imported here: the library is large, and most policies have no holidays.
    from holidays import country_holidays

    known = country_holidays(power.holidays.country, subdiv=power.holidays.subdivision)
    return lambda day: known.get(day) or ""
