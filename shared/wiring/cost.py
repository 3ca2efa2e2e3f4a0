"""The wiring of the cost report."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import azure, load_policy, open_state, system_clock
from shared.wiring.inventory import build_inventory
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.cloud.prices import Prices
    from shared.cost.deps import CostDeps
    from shared.cost.price_cache import PriceCache


def is_enabled() -> bool:
    """Whether there is anything in Azure to tell the cost of. Raises UsageError."""
    return bool(load_policy().power.machines) or azure.is_configured()


def run_report() -> str:
    """What `cost_report` does; nothing where no machine is known. Raises UsageError."""
    from shared.cost import job

    return str(job.report_week(cost_deps())) if is_enabled() else "no report: policy names no machine"


@cache
def cost_deps() -> CostDeps:
    """All that the report needs. Raises UsageError with every bad setting."""
    from shared.cost.deps import CostDeps

    read = all_or_nothing(
        inventory=build_inventory,
        disks=azure.connect_disks,
        addresses=azure.connect_addresses,
        notifications=build_notifier,
        prices=list_prices,
    )
    return CostDeps(cache=price_cache(), **read)


@cache
def list_prices() -> Prices:
    """List prices in policy's currency. Raises UsageError."""
    from shared.adapters.azure_prices import connect

    # The same cache as the report's own, since list prices change once a month and are asked for one size at
    # a time.
    url = read_environment().get(definitions.PRICES)
    return connect(load_policy().cost.currency, url=url, cache=price_cache())


@cache
def price_cache() -> PriceCache:
    """The answers that are kept behind `prices`."""
    from shared.cost.price_cache import PriceCache

    return PriceCache(open_state(), system_clock())
