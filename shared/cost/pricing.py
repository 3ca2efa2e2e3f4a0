"""List prices for what the report is about. Of several prices for one thing none is taken."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from shared.cloud.prices import Price as ListPrice
from shared.cloud.prices import PriceKind
from shared.cost.deps import CostDeps
from shared.cost.model import Commitment, PriceBook, UnitPrice, price_key
from shared.kernel.errors import Unavailable

log = logging.getLogger(__name__)

_KINDS: dict[PriceKind, Literal["reservation", "savings plan"]] = {
    PriceKind.RESERVATION: "reservation",
    PriceKind.SAVINGS_PLAN: "savings plan",
}
_SEVERAL = re.compile(r"(?P<count>\d+) x (?P<size>.+)")


def several_of(count: int, size: str) -> str:
    """What so many machines of one size are called: `3 x Standard_D4ads_v5`."""
    return f"{count} x {size}"


def load_prices(
    job: CostDeps, sizes: Sequence[tuple[str, str]], regions: Sequence[str], notes: list[str]
) -> PriceBook:
    """Prices of sizes, each with its region, and of what else is paid for in the regions.

    Fresh ones, else old ones with their age, else none, which the report then says.
    """
    ambiguous: set[str] = set()
    try:
        prices = _fetch_prices(job, sizes, regions, ambiguous)
    except Unavailable as error:
        log.warning("cost.prices_unavailable", extra={"error": str(error)})
        prices = _fetch_stale_prices(job, sizes, regions, ambiguous, notes)
    notes += [f"Several prices are listed for {one}: none is taken." for one in sorted(ambiguous)]
    return prices


def _fetch_stale_prices(
    job: CostDeps,
    sizes: Sequence[tuple[str, str]],
    regions: Sequence[str],
    ambiguous: set[str],
    notes: list[str],
) -> PriceBook:
    # Only after fresh ones failed, and for this report only: the cache outlives it.
    job.cache.accept_stale = True
    try:
        prices = _fetch_prices(job, sizes, regions, ambiguous)
        if job.cache.oldest:
            notes.append(f"Prices are of {job.cache.oldest:%Y-%m-%d}: newer ones could not be had.")
        return prices
    except Unavailable:
        return PriceBook()
    finally:
        job.cache.accept_stale = False


def _fetch_prices(
    job: CostDeps, sizes: Sequence[tuple[str, str]], regions: Sequence[str], ambiguous: set[str]
) -> PriceBook:
    machines: dict[str, UnitPrice] = {}
    commitments: dict[str, list[Commitment]] = {}
    for size, region in sizes:
        key, match = price_key(size, region), _SEVERAL.fullmatch(size)
        count, single = (Decimal(match["count"]), match["size"]) if match else (Decimal(1), size)
        # Windows' prices hold its license; MicroK8s runs on Linux.
        listed = [price for price in job.prices.list_machine_prices(single, region) if not price.windows]
        prices = _sole_prices(
            (price for price in listed if price.kind is PriceKind.PAY_AS_YOU_GO), region, ambiguous
        )
        if single in prices:
            machines[key] = UnitPrice(prices[single].amount * count)
        for price in listed:
            if price.kind in _KINDS:
                commitment = Commitment(_KINDS[price.kind], price.term_years, price.amount * count)
                commitments.setdefault(key, []).append(commitment)
    for offers in commitments.values():
        offers.sort(key=lambda offer: (offer.kind, offer.years))
    fixed_costs: dict[str, UnitPrice] = {}
    for where in regions:
        listed = [*job.prices.list_storage_prices(where), *job.prices.list_address_prices(where)]
        fixed_costs |= {
            price_key(item, where): price for item, price in _sole_prices(listed, where, ambiguous).items()
        }
    return PriceBook(machines, commitments, fixed_costs)


def _sole_prices(listed: Iterable[ListPrice], region: str, ambiguous: set[str]) -> Mapping[str, UnitPrice]:
    """By item the price; of several nobody knows which is paid, and none is better than the wrong one."""
    known: dict[str, set[UnitPrice]] = {}
    for price in listed:
        unit = UnitPrice(price.amount, "month" if price.unit.endswith("month") else "hour")
        known.setdefault(price.item, set()).add(unit)
    for item, prices in sorted(known.items()):
        if len(prices) > 1:
            amounts = sorted(str(price.amount) for price in prices)
            log.warning("cost.price_ambiguous", extra={"item": item, "region": region, "amounts": amounts})
            ambiguous.add(f"{price_key(item, region)} ({', '.join(amounts)})")
    return {item: min(prices, key=str) for item, prices in known.items() if len(prices) == 1}
