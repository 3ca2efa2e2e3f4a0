"""Prices in memory."""

from __future__ import annotations

from collections.abc import Iterable

from shared.cloud.prices import Price, PriceKind
from shared.kernel.errors import UsageError


class MemoryPrices:
    """`Prices` for tests: what it is given, in one currency."""

    def __init__(self, prices: Iterable[Price] = (), *, currencies: Iterable[str] = ("EUR", "USD")) -> None:
        self._prices, self._currencies = tuple(prices), frozenset(currencies)
        self.currency = "EUR"

    def list_machine_prices(self, size: str, region: str) -> tuple[Price, ...]:
        """See `Prices.list_machine_prices`."""
        return tuple(price for price in self._prices_of_region(region) if price.item == size)

    def list_storage_prices(self, region: str) -> tuple[Price, ...]:
        """See `Prices.list_storage_prices`."""
        return tuple(price for price in self._prices_of_region(region) if price.unit.endswith("month"))

    def list_address_prices(self, region: str) -> tuple[Price, ...]:
        """See `Prices.list_address_prices`."""
        prices = (price for price in self._prices_of_region(region) if price.kind is PriceKind.PAY_AS_YOU_GO)
        return tuple(price for price in prices if "Public IP" in price.item)

    def _prices_of_region(self, region: str) -> list[Price]:
        if self.currency not in self._currencies:
            raise UsageError("Retail prices: not understood", value=self.currency)
        return [one for one in self._prices if one.region == region and one.currency == self.currency]
