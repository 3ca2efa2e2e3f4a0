"""The stand-in of the Retail Prices API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests

from local.azure_rm import AzureServer


def prices(server: AzureServer, **query: str) -> dict[str, Any]:
    """A page of the Retail Prices API."""
    answer = requests.get(server.prices_url, params=query, timeout=5)
    body: dict[str, Any] = answer.json()
    return body


def test_retail_prices_hold_every_row_that_is_easily_mistaken_for_the_one_wanted(server: AzureServer) -> None:
    wanted = "armSkuName eq 'Standard_D4ads_v5' and armRegionName eq 'westeurope'"

    page = prices(server, **{"$filter": wanted, "api-version": "2023-01-01-preview"})

    labels = {
        (row["type"], row["meterName"], "Windows" in row["productName"], row.get("reservationTerm"))
        for row in page["Items"]
    }
    assert labels == {
        ("Consumption", "D4ads v5", False, None),
        ("Consumption", "D4ads v5", True, None),
        ("Consumption", "D4ads v5 Spot", False, None),
        ("Consumption", "D4ads v5 Spot", True, None),
        ("Consumption", "D4ads v5 Low Priority", False, None),
        ("Consumption", "D4ads v5 Low Priority", True, None),
        ("DevTestConsumption", "D4ads v5", True, None),
        ("Reservation", "D4ads v5", False, "1 Year"),
        ("Reservation", "D4ads v5", False, "3 Years"),
    }
    assert [len(row["savingsPlan"]) for row in page["Items"] if "savingsPlan" in row] == [2]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ("priceType eq 'Reservation'", lambda row: row["type"] == "Reservation"),
        ("contains(meterName, 'Spot')", lambda row: "Spot" in row["meterName"]),
        (
            "serviceName eq 'Storage' and armRegionName eq 'eastus'",
            lambda row: (row["serviceName"], row["armRegionName"]) == ("Storage", "eastus"),
        ),
    ],
    ids=["price-type", "contains", "and"],
)
def test_the_filter_of_retail_prices_selects_rows(
    server: AzureServer, wanted: str, passes: Callable[[Mapping[str, Any]], bool]
) -> None:
    rows = prices(server, **{"$filter": wanted})["Items"]

    assert rows
    assert all(passes(row) for row in rows)
    assert len(rows) == sum(1 for row in server.price_items if passes(row))


def test_a_filter_it_cannot_read_is_an_error_rather_than_everything(server: AzureServer) -> None:
    assert "Error" in prices(server, **{"$filter": "armSkuName ne 'x'"})


def test_retail_prices_come_in_pages(server: AzureServer) -> None:
    server.price_page_size = 10
    rows: list[Any] = []
    url: str | None = server.prices_url

    while url:
        page = requests.get(url, timeout=5).json()
        rows += page["Items"]
        url = page["NextPageLink"]

    assert len(rows) == len(server.price_items)
    assert len({row["meterId"] for row in rows}) == len(rows)
