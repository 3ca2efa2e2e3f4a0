"""What running costs and what the schedule saves.

A price that is missing is reported as missing; what depends on it is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.cloud.billing import to_hours
from shared.cost.advice import compare_commitments, rank_savings
from shared.cost.model import (
    CostReport,
    FixedCost,
    MachineCost,
    MachineUse,
    PriceBook,
    monthly_cost,
    sum_hours_run,
)

if TYPE_CHECKING:
    from shared.policy import CostPolicy


def compute_report(
    uses: Sequence[MachineUse],
    fixed_costs: Sequence[FixedCost],
    prices: PriceBook,
    policy: CostPolicy,
    since: datetime,
    until: datetime,
    month_began: datetime,
    uncounted: Sequence[str] = (),
) -> CostReport:
    """The report from `since` to `until`, with a forecast of the month that began at `month_began`."""
    missing = _missing_prices(uses, fixed_costs, prices)
    machines = tuple(_machine_cost(use, prices, since, until, month_began) for use in uses)
    offers = tuple(offer for use in uses for offer in compare_commitments(use, prices))
    parts = [machine.month_forecast for machine in machines] + [
        monthly_cost(item, prices) for item in fixed_costs
    ]
    known = [part for part in parts if part is not None]
    return CostReport(
        since=since,
        until=until,
        currency=policy.currency,
        machines=machines,
        fixed_costs=_sum_by_kind(fixed_costs, prices),
        offers=offers,
        savings=rank_savings(uses, machines, fixed_costs, offers, prices, to_hours(until - since)),
        # All or nothing: a sum without one machine looks like a cheap month.
        forecast=sum(known, Decimal()) if len(known) == len(parts) else None,
        budget=None if policy.budget is None else Decimal(policy.budget),
        missing=missing,
        uncounted=tuple(uncounted),
    )


def _sum_by_kind(fixed_costs: Sequence[FixedCost], prices: PriceBook) -> dict[str, Decimal | None]:
    kinds: dict[str, Decimal | None] = {}
    for item in fixed_costs:
        cost, sum_ = monthly_cost(item, prices), kinds.get(item.kind, Decimal())
        # One unknown price makes the kind's sum unknown: without it the kind would look cheap.
        kinds[item.kind] = None if cost is None or sum_ is None else sum_ + cost
    return kinds


def _missing_prices(
    uses: Sequence[MachineUse], fixed_costs: Sequence[FixedCost], prices: PriceBook
) -> tuple[str, ...]:
    # Those of the sizes that are suggested, too: a suggestion without a price is none.
    needed = [use.price_key(size) for use in uses for size in (use.size, *use.alternatives)]
    sizes = [key for key in needed if key not in prices.machines]
    sizes += [item.price_key for item in fixed_costs if item.price_key not in prices.fixed_costs]
    return tuple(sorted(set(sizes)))


def _machine_cost(
    use: MachineUse, prices: PriceBook, since: datetime, until: datetime, month_began: datetime
) -> MachineCost:
    ran, whole = sum_hours_run(use.runs, since, until), to_hours(until - since)
    # Never below nothing: a machine that came up late has run less than it was planned to.
    unscheduled = max(Decimal(), ran - to_hours(use.scheduled))
    price = prices.machines.get(use.price_key())
    unknown = to_hours(use.unknown)
    # What nobody saw is neither cost nor saving.
    # Against a machine that is always on, which is what Azure bills without a schedule.
    saved = whole - ran - unknown
    if price is None:
        return MachineCost(use.name, use.size, ran, saved, unscheduled, None, None, None, unknown)
    forecast = None  # a month of which a part is unknown would look cheap
    if not use.unknown_in_month:
        forecast = (sum_hours_run(use.runs, month_began, until) + to_hours(use.planned)) * price.amount
    return MachineCost(
        use.name, use.size, ran, saved, unscheduled,
        ran * price.amount, saved * price.amount, forecast, unknown,
    )  # fmt: skip
