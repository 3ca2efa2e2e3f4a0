"""What a cost report is made from and what it says. Money is `Decimal`, in one currency.

Prices are given. Azure's own conventions hold: a month is 730 hours, a year 8760
(https://azure.microsoft.com/pricing/calculator).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from shared.cloud.billing import MONTH_HOURS, WEEK_HOURS, YEAR_HOURS, to_hours


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """A span for which a machine was allocated, from the ledger; `until` is None while it runs."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """An amount of the report's currency per hour, month, or GB and month."""

    amount: Decimal
    per: Literal["hour", "month"] = "hour"

    @property
    def monthly(self) -> Decimal:
        """The amount for a month of 730 hours."""
        return self.amount if self.per == "month" else self.amount * MONTH_HOURS


@dataclass(frozen=True, slots=True)
class Commitment:
    """A reservation or savings plan for a size: what every hour of the term costs, used or not."""

    kind: Literal["reservation", "savings plan"]
    years: int
    hourly: Decimal

    def __str__(self) -> str:
        return f"{self.kind} of {self.years} year{'s' if self.years > 1 else ''}"


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Pay-as-you-go and commitments by size and region, and the prices of what is paid for while stopped.

    Keys are those of `price_key`: a size costs up to twice as much in another region.
    """

    machines: Mapping[str, UnitPrice] = field(default_factory=dict)
    commitments: Mapping[str, Sequence[Commitment]] = field(default_factory=dict)
    fixed_costs: Mapping[str, UnitPrice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FixedCost:
    """Something that costs whether or not the machine runs. `units` of what `price` names, as GB.

    `used` is false for a disk attached to nothing or an address that nothing has.
    """

    name: str
    kind: Literal["disk", "address", "snapshot"]
    price: str
    units: Decimal = Decimal(1)
    used: bool = True
    region: str = ""

    @property
    def price_key(self) -> str:
        """What the price book calls its price."""
        return price_key(self.price, self.region)


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What a report needs of one machine.

    `scheduled`, `planned` and `year_ahead` are the time for which calendar and orders want it up: in the
    reported period, from its end to the end of the month, and in the 365 days after it. `runs` have to
    reach back to the beginning of the period or of the month, whichever is earlier. `alternatives` are
    sizes that would do as well.
    """

    name: str
    size: str
    runs: tuple[UsageSpan, ...]
    scheduled: timedelta
    planned: timedelta
    year_ahead: timedelta
    alternatives: tuple[str, ...] = ()
    region: str = ""  # where it is
    unknown: timedelta = timedelta()  # of the reported period: the ledger does not say if it ran
    unknown_in_month: timedelta = timedelta()  # the same from the month's beginning to the period's end

    def price_key(self, size: str = "") -> str:
        """What the price book calls its size's price where it is, or that of another size there."""
        return price_key(size or self.size, self.region)

    @property
    def weekly_hours(self) -> Decimal:
        """The hours of an average week of the year ahead, holidays and vacations taken off."""
        return to_hours(self.year_ahead) / YEAR_HOURS * WEEK_HOURS


@dataclass(frozen=True, slots=True)
class MachineCost:
    """Hours and money of one machine in the period; money is None where the price is missing."""

    name: str
    size: str
    hours: Decimal
    hours_saved: Decimal
    hours_unscheduled: Decimal  # run although neither calendar nor order wanted it
    cost: Decimal | None
    saved: Decimal | None
    month_forecast: Decimal | None
    hours_unknown: Decimal = Decimal()  # neither run nor saved, as far as anybody knows


@dataclass(frozen=True, slots=True)
class BreakEven:
    """A commitment against the schedule: worth it above so many hours a week."""

    machine: str
    commitment: Commitment
    hours_a_week: Decimal
    break_even: Decimal
    monthly_difference: Decimal  # what it would save a month; negative: what it would cost more

    @property
    def is_worth_it(self) -> bool:
        """Whether the machine runs more than the break-even."""
        return self.monthly_difference > 0


@dataclass(frozen=True, slots=True)
class Saving:
    """A change, what it would save a month, and how that was reckoned."""

    change: str
    monthly: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class CostReport:
    """The report of a period.

    `fixed_costs` is a month's cost by kind, `forecast` the running month's. Both are None where a price they
    need is missing, since a part would look like a low sum.
    """

    since: datetime
    until: datetime
    currency: str
    machines: tuple[MachineCost, ...]
    fixed_costs: Mapping[str, Decimal | None]
    offers: tuple[BreakEven, ...]
    savings: tuple[Saving, ...]
    forecast: Decimal | None
    budget: Decimal | None
    missing: tuple[str, ...]
    uncounted: tuple[str, ...] = ()  # what costs, too, and is in no sum: how much is not known


def price_key(item: str, region: str) -> str:
    """The name of a price in a region; the same thing costs more elsewhere."""
    return f"{item} in {region}" if region else item


def sum_hours_run(runs: Iterable[UsageSpan], since: datetime, until: datetime) -> Decimal:
    """The hours between the two moments in which it ran; overlapping entries of the ledger count once."""
    spans = sorted((max(run.since, since), min(run.until or until, until)) for run in runs)
    total, reach = timedelta(), since
    for begin, end in spans:
        if end > max(begin, reach):
            total += end - max(begin, reach)
            reach = end
    return to_hours(total)


def monthly_cost(item: FixedCost, prices: PriceBook) -> Decimal | None:
    """What the thing costs a month, or None without a price."""
    price = prices.fixed_costs.get(item.price_key)
    return None if price is None else price.monthly * item.units
