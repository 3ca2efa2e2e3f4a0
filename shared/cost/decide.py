"""What running costs and what the schedule saves.

A price that is missing is reported as missing; what depends on it is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.cloud.billing import hours
from shared.cost.advice import offers_for, savings_for
from shared.cost.model import CostReport, MachineCost, MachineUse, Prices, Standing, hours_run, monthly_cost

if TYPE_CHECKING:
    from shared.policy import CostPolicy


def report(
    uses: Sequence[MachineUse],
    standing: Sequence[Standing],
    prices: Prices,
    policy: CostPolicy,
    since: datetime,
    until: datetime,
    month_began: datetime,
) -> CostReport:
    """The report from `since` to `until`, with a forecast of the month that began at `month_began`."""
    missing = _missing(uses, standing, prices)
    machines = tuple(_machine(use, prices, since, until, month_began) for use in uses)
    offers = tuple(offer for use in uses for offer in offers_for(use, prices))
    parts = [machine.month_forecast for machine in machines] + [
        monthly_cost(message, prices) for message in standing
    ]
    known = [part for part in parts if part is not None]
    return CostReport(
        since=since,
        until=until,
        currency=policy.currency,
        machines=machines,
        standing=_by_kind(standing, prices),
        offers=offers,
        savings=savings_for(uses, machines, standing, offers, prices, hours(until - since)),
        forecast=sum(known, Decimal()) if len(known) == len(parts) else None,
        budget=None if policy.budget is None else Decimal(policy.budget),
        missing=missing,
    )


def _by_kind(standing: Sequence[Standing], prices: Prices) -> dict[str, Decimal | None]:
    kinds: dict[str, Decimal | None] = {}
    for message in standing:
        cost, sum_ = monthly_cost(message, prices), kinds.get(message.kind, Decimal())
        kinds[message.kind] = None if cost is None or sum_ is None else sum_ + cost
    return kinds


def _missing(uses: Sequence[MachineUse], standing: Sequence[Standing], prices: Prices) -> tuple[str, ...]:
    wanted = [use.size for use in uses if use.size not in prices.machines]
    wanted += [size for use in uses for size in use.alternatives if size not in prices.machines]
    wanted += [message.price for message in standing if message.price not in prices.standing]
    return tuple(sorted(set(wanted)))


def _machine(
    use: MachineUse, prices: Prices, since: datetime, until: datetime, month_began: datetime
) -> MachineCost:
    ran, whole = hours_run(use.runs, since, until), hours(until - since)
    beyond = max(Decimal(), ran - hours(use.scheduled))
    price = prices.machines.get(use.size)
    if price is None:
        return MachineCost(use.name, use.size, ran, whole - ran, beyond, None, None, None)
    forecast = (hours_run(use.runs, month_began, until) + hours(use.planned)) * price.amount
    return MachineCost(
        use.name, use.size, ran, whole - ran, beyond,
        ran * price.amount, (whole - ran) * price.amount, forecast,
    )  # fmt: skip
