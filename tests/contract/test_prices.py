"""One suite for `Prices`: the fake, and the adapter over the stand-in of the Retail Prices API.

With `GROUNDCREW_TEST_PRICES` set, over the real one too, which asks nobody who they are: every page that it
answers is held against the fields that our extract names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
import requests

from local.azure_rm import AzureServer
from local.fakes.prices import MemoryPrices
from shared.adapters.azure_prices import AzurePrices
from shared.cloud.prices import Price, PriceKind, Prices
from shared.kernel.errors import UsageError
from tests.local.azure_rm.published import Document, describe_azure_faults

SIZE, REGION = "Standard_D4ads_v5", "westeurope"
Make = Callable[[str], Prices]


def sample() -> list[Price]:
    """What the stand-in sells too: numbers differ, shapes agree."""
    plain, years = Decimal("0.2"), (1, 3)
    kinds = [PriceKind.SPOT, PriceKind.LOW_PRIORITY, PriceKind.PAY_AS_YOU_GO]
    prices = [
        Price(SIZE, REGION, "EUR", kind, plain, "hour", windows)
        for kind in kinds
        for windows in (False, True)
    ]
    prices.append(Price(SIZE, REGION, "EUR", PriceKind.DEV_TEST, plain, "hour", windows=True))
    for kind in (PriceKind.RESERVATION, PriceKind.SAVINGS_PLAN):
        prices += [
            Price(SIZE, REGION, "EUR", kind, plain / (2 + year), "hour", False, year) for year in years
        ]
    pay = PriceKind.PAY_AS_YOU_GO
    prices.append(Price("P10 LRS Disk", REGION, "EUR", pay, Decimal(20), "month"))
    prices.append(Price("LRS Snapshots", REGION, "EUR", pay, Decimal("0.05"), "gb-month"))
    prices.append(Price("Premium LRS Snapshots", REGION, "EUR", pay, Decimal("0.13"), "gb-month"))
    prices.append(Price("Standard IPv4 Static Public IP", REGION, "EUR", pay, Decimal("0.005"), "hour"))
    return prices


REAL = ["real"] if os.environ.get("GROUNDCREW_TEST_PRICES") else []


@pytest.fixture(params=["memory", "azure", *REAL])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes `Prices` in a currency."""
    if request.param == "memory":

        def remembered(currency: str) -> Prices:
            prices = MemoryPrices(sample())
            prices.currency = currency
            return prices

        yield remembered
        return
    if request.param == "real":
        with requests.Session() as session:
            faults: list[str] = []

            def check_page(answer: requests.Response, **_options: object) -> None:
                if answer.ok:
                    faults.extend(Document("prices").faults(answer.json(), "Page"))

            session.hooks["response"].append(check_page)
            yield lambda currency: AzurePrices(session, currency)
            assert sorted(set(faults)) == []
        return
    with AzureServer() as server, requests.Session() as session:
        server.price_page_size = 4
        yield lambda currency: AzurePrices(session, currency, url=server.prices_url)
        assert describe_azure_faults(server) == []


def only(prices: tuple[Price, ...], kind: PriceKind, *, windows: bool = False, years: int = 0) -> Price:
    """The one price of that kind."""
    [found] = [p for p in prices if (p.kind, p.windows, p.term_years) == (kind, windows, years)]
    return found


def test_there_is_one_price_for_each_way_to_buy_a_machine(make: Make) -> None:
    prices = make("EUR").list_machine_prices(SIZE, REGION)

    for windows in (False, True):
        for kind in (PriceKind.PAY_AS_YOU_GO, PriceKind.SPOT, PriceKind.LOW_PRIORITY):
            assert only(prices, kind, windows=windows).unit == "hour"
    for years in (1, 3):
        for kind in (PriceKind.RESERVATION, PriceKind.SAVINGS_PLAN):
            committed = only(prices, kind, years=years)
            assert committed.amount < only(prices, PriceKind.PAY_AS_YOU_GO).amount
            assert committed.unit == "hour"
    assert {(price.item, price.region, price.currency) for price in prices} == {(SIZE, REGION, "EUR")}


def test_a_longer_commitment_is_cheaper_by_the_hour(make: Make) -> None:
    prices = make("EUR").list_machine_prices(SIZE, REGION)

    for kind in (PriceKind.RESERVATION, PriceKind.SAVINGS_PLAN):
        assert only(prices, kind, years=3).amount < only(prices, kind, years=1).amount


def test_what_is_not_sold_has_no_price(make: Make) -> None:
    assert make("EUR").list_machine_prices("Standard_Nothing_v9", REGION) == ()
    assert make("EUR").list_machine_prices(SIZE, "atlantis") == ()
    assert make("EUR").list_storage_prices("atlantis") == ()


def test_disks_are_priced_by_the_month_and_snapshots_by_size_too(make: Make) -> None:
    prices = {price.item: price for price in make("EUR").list_storage_prices(REGION)}

    assert prices["P10 LRS Disk"].unit == "month"
    assert prices["LRS Snapshots"].unit == "gb-month"
    assert not any("Mount" in item for item in prices)


def test_snapshots_of_one_name_are_told_apart_by_what_they_are_kept_on(make: Make) -> None:
    listed = [price for price in make("EUR").list_storage_prices(REGION) if "Snapshots" in price.item]
    assert len({price.item for price in listed}) == len(listed)
    amounts = {price.item: price.amount for price in listed}
    assert amounts["LRS Snapshots"] < amounts["Premium LRS Snapshots"]


def test_an_address_is_priced_by_the_hour(make: Make) -> None:
    [price] = make("EUR").list_address_prices(REGION)

    assert price.unit == "hour"
    assert price.amount > 0


def test_a_currency_that_does_not_exist_is_the_caller_s_mistake(make: Make) -> None:
    with pytest.raises(UsageError, match="XXX"):
        make("XXX").list_machine_prices(SIZE, REGION)
