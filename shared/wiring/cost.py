"""The wiring of the cost report."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from shared import config
from shared.wiring import azure, clock, state
from shared.wiring.notifications import notifications
from shared.wiring.power import fleet

if TYPE_CHECKING:
    from shared.jobs.cost import Cost


@cache
def cost() -> Cost:
    """All that the report needs. Raises UsageError with every bad setting."""
    from shared.adapters.azure_prices import connect
    from shared.jobs.cost import Cost
    from shared.state.price_cache import PriceCache

    env = config.environment()
    read = config.all_or_nothing(
        fleet=fleet, disks=azure.disks, notifications=notifications, url=partial(env.get, config.PRICES)
    )
    kept = PriceCache(state(), clock())
    prices = connect(read["fleet"].policy.cost.currency, url=read.pop("url"), cache=kept)
    return Cost(prices=prices, cache=kept, **read)
