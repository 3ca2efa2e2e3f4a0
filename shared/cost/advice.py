"""Which commitments pay off against the schedule, and which changes would save most.

A reservation or savings plan bills every hour of its term, so it has to beat the hours that the schedule
leaves, not the hours of a machine that is always on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from shared.cloud.billing import MONTH_HOURS, WEEK_HOURS, YEAR_HOURS, to_hours
from shared.cost.model import BreakEven, FixedCost, MachineCost, MachineUse, PriceBook, Saving, monthly_cost

MAX_SAVINGS = 3
# What to compare a machine without a schedule with: Monday to Friday, twelve hours.
OFFICE_HOURS = Decimal(60)


def compare_commitments(use: MachineUse, prices: PriceBook) -> Iterator[BreakEven]:
    """Each commitment for the machine's size against the hours of its schedule in the year ahead."""
    price = prices.machines.get(use.price_key())
    if price is None or not price.amount:
        return
    weekly = use.weekly_hours
    pay_as_you_go = weekly / WEEK_HOURS * price.monthly
    for commitment in prices.commitments.get(use.price_key(), ()):
        # The hours a week from which on the commitment, billed every hour, is the cheaper one.
        break_even = WEEK_HOURS * commitment.hourly / price.amount
        difference = pay_as_you_go - commitment.hourly * MONTH_HOURS
        yield BreakEven(use.name, commitment, weekly, break_even, difference)


def rank_savings(
    uses: Sequence[MachineUse],
    machines: Sequence[MachineCost],
    fixed_costs: Sequence[FixedCost],
    offers: Sequence[BreakEven],
    prices: PriceBook,
    period_hours: Decimal,
) -> tuple[Saving, ...]:
    """The three changes that would save most a month, each taken by itself; fewer if there are fewer."""
    savings = [*_best_commitments(offers), *_unused_resources(fixed_costs, prices)]
    for use, machine in zip(uses, machines, strict=True):
        savings += [
            *_unscheduled_hours(use, machine, prices, period_hours),
            *_missing_schedule(use, prices),
            *_smaller_sizes(use, prices),
        ]
    # A change that costs more is no advice, nor is one that changes nothing.
    worth = [saving for saving in savings if saving.monthly > 0]
    return tuple(sorted(worth, key=lambda saving: (-saving.monthly, saving.change))[:MAX_SAVINGS])


def _best_commitments(offers: Sequence[BreakEven]) -> Iterator[Saving]:
    best: dict[str, BreakEven] = {}
    for offer in offers:
        # One for each machine: reservation and savings plan exclude each other, and their sum would promise
        # both.
        known = best.get(offer.machine)
        if known is None or offer.monthly_difference > known.monthly_difference:
            best[offer.machine] = offer
    for name, offer in best.items():
        reason = f"{offer.hours_a_week:.0f} h a week against a break-even of {offer.break_even:.0f} h"
        change = f"Take the {offer.commitment} for {name}"
        yield Saving(change, offer.monthly_difference, reason)


def _unused_resources(fixed_costs: Sequence[FixedCost], prices: PriceBook) -> Iterator[Saving]:
    for item in fixed_costs:
        cost = monthly_cost(item, prices)
        # A price that is not known promises nothing.
        if not item.used and cost is not None:
            yield Saving(f"Delete the {item.kind} {item.name}", cost, "nothing uses it")


def _unscheduled_hours(
    use: MachineUse, machine: MachineCost, prices: PriceBook, period_hours: Decimal
) -> Iterator[Saving]:
    price = prices.machines.get(use.price_key())
    if price is not None and machine.hours_unscheduled and period_hours:
        a_month = machine.hours_unscheduled / period_hours * MONTH_HOURS
        reason = f"it ran {machine.hours_unscheduled:.1f} h that neither calendar nor order asked for"
        yield Saving(f"Let {machine.name} stop when its schedule ends", a_month * price.amount, reason)


def _missing_schedule(use: MachineUse, prices: PriceBook) -> Iterator[Saving]:
    price = prices.machines.get(use.price_key())
    # Not all of it: holidays that policy names still leave a machine that is practically always on.
    if price is not None and to_hours(use.year_ahead) >= YEAR_HOURS * Decimal("0.99"):
        share = (WEEK_HOURS - OFFICE_HOURS) / WEEK_HOURS
        reason = f"{OFFICE_HOURS} h a week instead of {WEEK_HOURS}"
        yield Saving(f"Give {use.name} a schedule, as Mon-Fri 07:00-19:00", share * price.monthly, reason)


def _smaller_sizes(use: MachineUse, prices: PriceBook) -> Iterator[Saving]:
    price = prices.machines.get(use.price_key())
    listed = {size: prices.machines.get(use.price_key(size)) for size in use.alternatives}
    offered = [(other.amount, size) for size, other in listed.items() if other is not None]
    if price is not None and offered:
        # The cheapest of those that policy names: whether it is large enough was decided there, by a person.
        amount, size = min(offered)
        monthly = (price.amount - amount) * use.weekly_hours / WEEK_HOURS * MONTH_HOURS
        yield Saving(f"Move {use.name} to {size}", monthly, f"{amount} instead of {price.amount} an hour")
