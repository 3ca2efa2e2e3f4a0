"""What is read from Azure's list of prices, and how often it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from aiohttp import web

from local.azure_rm import AzureServer
from local.server import Served
from shared.adapters.azure_prices import AzurePrices, _primary_rows, parse_machine
from shared.cloud.prices import PriceKind
from shared.kernel.errors import GroundcrewError, Refused, Unavailable


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """With the sample prices."""
    with AzureServer() as running:
        yield running


def row(**changes: object) -> dict[str, object]:
    """A row of the Retail Prices API on a machine, pay-as-you-go on Linux."""
    plain: dict[str, object] = {
        "currencyCode": "EUR",
        "tierMinimumUnits": 0,
        "retailPrice": Decimal("8760"),
        "unitPrice": Decimal("1"),
        "armRegionName": "westeurope",
        "meterName": "D4ads v5",
        "productName": "Virtual Machines Dadsv5 Series",
        "skuName": "D4ads v5",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_D4ads_v5",
    }
    return plain | changes


@pytest.mark.parametrize(
    ("changes", "kind", "amount", "windows"),
    [
        ({}, PriceKind.PAY_AS_YOU_GO, "8760", False),
        ({"productName": "Virtual Machines Dadsv5 Series Windows"}, PriceKind.PAY_AS_YOU_GO, "8760", True),
        ({"meterName": "D4ads v5 Spot"}, PriceKind.SPOT, "8760", False),
        ({"skuName": "D4ads v5 Low Priority"}, PriceKind.LOW_PRIORITY, "8760", False),
        ({"type": "DevTestConsumption"}, PriceKind.DEV_TEST, "8760", False),
        ({"type": "Reservation", "reservationTerm": "1 Year"}, PriceKind.RESERVATION, "1", False),
        ({"type": "Reservation", "reservationTerm": "5 Years"}, PriceKind.RESERVATION, "0.2", False),
    ],
)
def test_rows_that_look_alike_are_told_apart(
    changes: dict[str, object], kind: PriceKind, amount: str, windows: bool
) -> None:
    [price] = parse_machine(row(**changes))

    assert (price.kind, price.amount, price.windows, price.unit) == (kind, Decimal(amount), windows, "hour")
    years = {None: 0, "1 Year": 1, "5 Years": 5}[changes.get("reservationTerm")]  # type: ignore[index]
    assert (price.term_years, price.region, price.currency) == (years, "westeurope", "EUR")


def test_a_reservation_without_a_term_is_left_out_rather_than_guessed() -> None:
    assert list(parse_machine(row(type="Reservation"))) == []


def test_the_stand_in_s_price_arrives_to_the_last_digit(server: AzureServer) -> None:
    with requests.Session() as session:
        prices = AzurePrices(session, "EUR", url=server.prices_url).list_machine_prices(
            "Standard_D4ads_v5", "westeurope"
        )

    [price] = [p for p in prices if p.kind is PriceKind.PAY_AS_YOU_GO and not p.windows]
    assert price.amount == Decimal("0.216")  # 0.2 USD in the sample, 1.2 for the region, 0.9 for the euro


class Kept(dict[str, str]):
    """A cache that never forgets."""

    def read(self, key: str) -> str | None:
        """See `PriceCache.read`."""
        return self.get(key)

    def write(self, key: str, text: str) -> None:
        """See `PriceCache.write`."""
        self[key] = text


def test_prices_are_asked_for_once_and_remembered_exactly(server: AzureServer) -> None:
    cache = Kept()
    with requests.Session() as session:
        prices = AzurePrices(session, "EUR", url=server.prices_url, cache=cache)
        first = prices.list_machine_prices("Standard_D4ads_v5", "westeurope")
        again = prices.list_machine_prices("Standard_D4ads_v5", "westeurope")
        other = AzurePrices(session, "USD", url=server.prices_url, cache=cache)
        dollars = other.list_machine_prices("Standard_D4ads_v5", "westeurope")

    assert first == again
    assert dollars != first
    assert len(server.requests("GET /api/retail/prices")) == 2


def repeated(server: AzureServer) -> None:
    """The same meters once more: of another region, and for bulk."""
    wanted = [one for one in server.price_items if one["armSkuName"] == "Standard_D4ads_v5"]
    server.price_items += [{**one, "isPrimaryMeterRegion": False, "retailPrice": 99.0} for one in wanted]
    server.price_items += [{**one, "tierMinimumUnits": 1000.0, "retailPrice": 98.0} for one in wanted]


def test_repetitions_of_a_meter_do_not_count(server: AzureServer) -> None:
    with requests.Session() as session:
        prices = AzurePrices(session, "USD", url=server.prices_url)
        plain = prices.list_machine_prices("Standard_D4ads_v5", "westeurope")
        repeated(server)
        assert prices.list_machine_prices("Standard_D4ads_v5", "westeurope") == plain


def serving(answer: Callable[[web.Request], web.StreamResponse]) -> Served:
    """A server that answers everything in one way."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    def make() -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        return application

    return Served(make)


def redirected(request: web.Request) -> web.Response:
    """Sends the caller to another address, where a good answer waits."""
    if request.path == "/elsewhere":
        return web.json_response({"Items": []})
    return web.Response(status=302, headers={"Location": "/elsewhere"})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda _: web.Response(text="<html>busy</html>"), Unavailable),
        (lambda _: web.json_response([1]), Unavailable),
        (lambda _: web.Response(status=429), Unavailable),
        (lambda r: redirected(r), Unavailable),
        (lambda _: web.json_response({"Items": [], "NextPageLink": "http://169.254.169.254/"}), Refused),
        (lambda r: web.json_response({"Items": [], "NextPageLink": str(r.url)}), Unavailable),
    ],
    ids=["html", "list", "throttled", "redirect", "another-host", "endless"],
)
def test_odd_answers_of_the_price_list_are_errors_and_lead_nowhere(
    answer: Callable[[web.Request], web.StreamResponse], kind: type[GroundcrewError]
) -> None:
    with (
        serving(answer) as server,
        requests.Session() as session,
        pytest.raises(GroundcrewError) as caught,
    ):
        AzurePrices(session, "EUR", url=server.url).list_machine_prices("Standard_D4ads_v5", "westeurope")

    assert type(caught.value) is kind


def test_cloud_services_share_the_size_and_are_not_the_machine(server: AzureServer) -> None:
    cloud = row(
        productName="Dadsv5 Series CloudServices",
        serviceName="Virtual Machines",
        retailPrice=0.4,
        unitPrice=0.4,
    )
    server.price_items = [cloud | {"currencyCode": "USD"}, *server.price_items]
    prices = AzurePrices(requests.Session(), "EUR", url=server.prices_url)
    found = prices.list_machine_prices("Standard_D4ads_v5", "westeurope")
    plain = [p.amount for p in found if p.kind is PriceKind.PAY_AS_YOU_GO and not p.windows]
    assert plain == [Decimal("0.216")]


def test_an_address_is_priced_by_its_meter(server: AzureServer) -> None:
    address = row(
        serviceName="Virtual Network", productName="IP Addresses", meterName="Standard IPv4 Static Public IP",
        skuName="Standard", armSkuName="", currencyCode="USD", retailPrice=0.005, unitPrice=0.005,
    )  # fmt: skip
    reserved = {**address, "type": "Reservation", "reservationTerm": "1 Year"}
    server.price_items = [address, reserved, {**address, "armRegionName": "northeurope"}]
    prices = AzurePrices(requests.Session(), "USD", url=server.prices_url)
    (price,) = prices.list_address_prices("westeurope")
    assert (price.item, price.amount, price.unit) == (
        "Standard IPv4 Static Public IP", Decimal("0.005"), "hour",
    )  # fmt: skip


def test_a_savings_plan_is_priced_by_its_years() -> None:
    plans = [{"term": "3 Years", "retailPrice": 2}, {"term": "", "retailPrice": 1}, {"retailPrice": 1}]
    own, plan = parse_machine(row(savingsPlan=plans))
    assert (own.kind, own.term_years) == (PriceKind.PAY_AS_YOU_GO, 0)
    assert (plan.kind, plan.term_years, plan.amount) == (PriceKind.SAVINGS_PLAN, 3, Decimal(2))


@pytest.mark.parametrize(
    ("changes", "current"),
    [
        ({}, True),
        ({"effectiveStartDate": "2099-01-01T00:00:00Z"}, False),
        ({"effectiveStartDate": "2020-01-01T00:00:00Z"}, True),
        ({"effectiveEndDate": "2020-01-01T00:00:00Z"}, False),
        ({"effectiveEndDate": "2099-01-01T00:00:00Z"}, True),
        ({"isPrimaryMeterRegion": False}, False),
        ({"tierMinimumUnits": 100}, False),
        ({"tierMinimumUnits": None}, True),
        ({"isPrimaryMeterRegion": True, "effectiveEndDate": "some day"}, True),
    ],
)
def test_only_rows_that_hold_now_are_prices(changes: dict[str, object], current: bool) -> None:
    assert bool(list(_primary_rows([row(**changes)]))) is current


def test_a_first_tier_for_nothing_is_no_price_where_dearer_ones_follow() -> None:
    free, dear = row(retailPrice=0), row(retailPrice=2, tierMinimumUnits=100)
    assert list(_primary_rows([free, dear])) == []
    assert list(_primary_rows([free])) == [free]
    assert list(_primary_rows([row(retailPrice=1), dear])) == [row(retailPrice=1)]


# A page with every row that the real list is known to have for one size and one disk. Prices are made up;
# `_why` says what each row is. Shapes: https://learn.microsoft.com/rest/api/cost-management/retail-prices
PAGE = json.loads((Path(__file__).parent / "data/retail_prices.json").read_text(encoding="utf-8"))


@pytest.fixture
def listed(server: AzureServer) -> AzurePrices:
    server.price_items = PAGE["Items"]
    return AzurePrices(requests.Session(), "USD", url=server.prices_url)


def test_of_all_rows_for_a_size_one_is_its_price(listed: AzurePrices) -> None:
    prices = listed.list_machine_prices("Standard_D4ads_v5", "westeurope")
    linux = [price for price in prices if not price.windows]
    assert [p.amount for p in linux if p.kind is PriceKind.PAY_AS_YOU_GO] == [Decimal("0.2")]
    assert {(p.kind, p.term_years): p.amount for p in linux if p.kind is PriceKind.RESERVATION} == {
        (PriceKind.RESERVATION, 1): Decimal("0.13"),
        (PriceKind.RESERVATION, 3): Decimal("0.084"),
    }
    assert [p.amount for p in prices if p.windows and p.kind is PriceKind.PAY_AS_YOU_GO] == [Decimal("0.38")]


def test_of_all_rows_for_disks_and_snapshots_each_meter_has_one_price(listed: AzurePrices) -> None:
    prices = listed.list_storage_prices("westeurope")
    assert sorted((price.item, price.amount) for price in prices) == [
        ("LRS Snapshots", Decimal("0.05")),
        ("P10 LRS Disk", Decimal("20.0")),
        ("Premium LRS Snapshots", Decimal("0.13")),
        ("StandardSSD LRS Snapshots", Decimal("0.13")),
        ("ZRS Snapshots", Decimal("0.05")),
    ]


@pytest.mark.parametrize("number", range(len(PAGE["Items"])))
def test_the_page_has_the_fields_of_the_real_one(number: int) -> None:
    """By the documented table of the response's fields."""
    entry = PAGE["Items"][number]
    assert entry.keys() >= {
        "currencyCode", "tierMinimumUnits", "retailPrice", "unitPrice", "armRegionName", "location",
        "effectiveStartDate", "meterId", "meterName", "productId", "skuId", "productName", "skuName",
        "serviceName", "serviceId", "serviceFamily", "unitOfMeasure", "type", "isPrimaryMeterRegion",
        "armSkuName",
    }  # fmt: skip
    assert ("reservationTerm" in entry) is (entry["type"] == "Reservation")
