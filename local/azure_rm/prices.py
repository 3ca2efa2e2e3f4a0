"""A stand-in for the Retail Prices API, with SAMPLE prices: made up, plausible, never to be quoted.

Shape and fields: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
The rows hold what makes the real ones hard to read: Spot, Low Priority, Windows and DevTest rows under the
same `armSkuName`, reservations priced for the whole term with "1 Hour" as their unit, and other regions.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from local.azure_rm.replies import Json, Reply

VERSION = "2023-01-01-preview"  # the one that has savings plans, and case-sensitive filter values
# USD to others, as made up as the prices.
RATES: Mapping[str, float] = {"USD": 1.0, "EUR": 0.9, "GBP": 0.8}
_REGIONS: Mapping[str, tuple[str, float]] = {"westeurope": ("EU West", 1.2), "eastus": ("US East", 1.0)}
# Pay-as-you-go on Linux, USD an hour in eastus.
_SIZES: Mapping[str, float] = {
    "Standard_D2ads_v5": 0.1,
    "Standard_D4ads_v5": 0.2,
    "Standard_D8ads_v5": 0.4,
    "Standard_D4as_v5": 0.17,
}
_DISKS = (("P6", 10.0), ("P10", 20.0), ("P15", 38.0), ("P20", 73.0), ("P30", 135.0))
_COLD_DISKS = (("S6", 3.0), ("S10", 6.0), ("S15", 11.0), ("S20", 22.0), ("S30", 41.0))
_TERM = re.compile(r"\s*(?:(\w+)\s+eq\s+'((?:[^']|'')*)'|contains\((\w+)\s*,\s*'((?:[^']|'')*)'\))\s*")


def sample_items() -> list[Json]:
    """All rows, in USD."""
    rows: list[Json] = []
    for region in _REGIONS:
        for size in _SIZES:
            rows.extend(_machine_rows(size, region))
        rows.extend(_storage_rows(region))
        rows.append(
            _price_row(
                "Virtual Network", "IP Addresses", "Standard", "Standard IPv4 Static Public IP", region, 0.005
            )
        )
    return rows


def _machine_rows(size: str, region: str) -> Iterable[Json]:
    size_name = size.removeprefix("Standard_").replace("_", " ")
    series = f"Virtual Machines D{re.sub('[0-9]', '', size_name.split()[0])[1:]}v5 Series"
    base = _SIZES[size]
    hours = 8760

    def row(os: str, suffix: str, price: float, **more: object) -> Json:
        name = f"{size_name}{suffix}"
        extra: Json = {"armSkuName": size, **more}
        return _price_row("Virtual Machines", f"{series}{os}", name, name, region, price) | extra

    plans = [("1 Year", 0.82), ("3 Years", 0.63)]
    factor = _REGIONS[region][1]
    savings = [
        {
            "unitPrice": _to_number(base * factor * share),
            "retailPrice": _to_number(base * factor * share),
            "term": term,
        }
        for term, share in plans
    ]
    # The first row of a size is deliberately a wrong one: who takes it gets the price with a licence.
    yield row(" Windows", "", base * 1.9)
    yield row("", " Spot", base * 0.2)
    yield row("", " Low Priority", base * 0.25)
    yield row(" Windows", " Spot", base * 0.5)
    yield row(" Windows", " Low Priority", base * 0.6)
    yield row(" Windows", "", base, type="DevTestConsumption")
    yield row("", "", base, savingsPlan=savings)
    # For the whole term, though the unit says "1 Hour", as in the real answers.
    yield row("", "", base * 0.65 * hours, type="Reservation", reservationTerm="1 Year")
    yield row("", "", base * 0.42 * hours * 3, type="Reservation", reservationTerm="3 Years")


def _storage_rows(region: str) -> Iterable[Json]:
    for tier, price in _DISKS:
        premium = _price_row(
            "Storage",
            "Premium SSD Managed Disks",
            f"{tier} LRS",
            f"{tier} LRS Disk",
            region,
            price,
            "1/Month",
        )
        yield premium | {"armSkuName": f"Premium_SSD_Managed_Disk_{tier}"}
        # Named almost like the disk, and a twentieth of its price: `contains` would find both.
        mount = f"{tier} LRS Disk Mount"
        yield _price_row(
            "Storage", "Premium SSD Managed Disks", f"{tier} LRS", mount, region, price / 20, "1/Month"
        )
    for tier, price in _COLD_DISKS:
        meter = f"{tier} LRS Disk"
        yield _price_row(
            "Storage", "Standard HDD Managed Disks", f"{tier} LRS", meter, region, price, "1/Month"
        )
    # Named alike in two products, and oddly in the third.
    for product, prefix, prices in (
        ("Standard HDD Managed Disks", "", (("LRS", 0.05), ("ZRS", 0.05))),
        ("Premium SSD Managed Disks", "", (("LRS", 0.13), ("ZRS", 0.2))),
        ("Standard SSD Managed Disks", "Snapshots ", (("LRS", 0.13), ("ZRS", 0.2))),
    ):
        for sku, price in prices:
            meter = f"{prefix}{sku} Snapshots"
            yield _price_row("Storage", product, f"Snapshots {sku}", meter, region, price, "1 GB/Month")


def _price_row(
    service: str, product: str, sku: str, meter: str, region: str, price: float, unit: str = "1 Hour"
) -> Json:
    location, factor = _REGIONS[region]
    seed = f"{product}/{sku}/{meter}/{region}/{price}"
    product_id = "SAMPLE" + uuid.uuid5(uuid.NAMESPACE_URL, product).hex[:6].upper()
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": _to_number(price * factor),
        "unitPrice": _to_number(price * factor),
        "armRegionName": region,
        "location": location,
        # A date at which nobody takes these for real prices.
        "effectiveStartDate": "2000-01-01T00:00:00Z",
        "meterId": str(uuid.uuid5(uuid.NAMESPACE_URL, seed)),
        "meterName": meter,
        "productId": product_id,
        "skuId": f"{product_id}/0001",
        "productName": product,
        "skuName": sku,
        "serviceName": service,
        "serviceId": "SAMPLE",
        "serviceFamily": {"Virtual Machines": "Compute", "Storage": "Storage"}.get(service, "Networking"),
        "unitOfMeasure": unit,
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "",
    }


def _to_number(amount: float) -> float:
    return round(amount, 6)


def parse_filter(text: str) -> list[tuple[str, str, bool]]:
    """Field, value and whether `contains`, of `a eq 'x' and contains(b,'y')`. Raises ValueError."""
    terms: list[tuple[str, str, bool]] = []
    for part in re.split(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)", text) if text else []:
        match = _TERM.fullmatch(part)
        if match is None:
            raise ValueError(part)
        name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        # The filter calls `priceType` what the rows call `type`; a quote is doubled, as OData has it.
        terms.append(("type" if name == "priceType" else name, value.replace("''", "'"), not match[1]))
    return terms


def answer_prices(
    items: list[Json], base_url: str, path: str, query: Mapping[str, str], page_size: int
) -> Reply:
    """One page of the rows that pass `$filter`, in the wanted currency."""
    currency = query.get("currencyCode", "USD").strip("'")
    try:
        terms = parse_filter(query.get("$filter", ""))
    except ValueError as error:
        # With a capital E, unlike Resource Manager's errors.
        return Reply(400, {"Error": {"Code": "BadRequest", "Message": f"Invalid OData parameters: {error}"}})
    if currency not in RATES:
        return Reply(400, {"Error": {"Code": "BadRequest", "Message": f"Invalid currency: {currency}"}})
    rows = [row for row in items if all(_passes_filter(row, *term) for term in terms)]
    skip = int(query.get("$skip", "0"))
    page = [_convert_row(row, currency, query.get("api-version")) for row in rows[skip : skip + page_size]]
    more = skip + page_size < len(rows)
    following = urlencode({**query, "$skip": str(skip + page_size)}, safe="$")
    return Reply(
        200,
        {
            "BillingCurrency": currency,
            "CustomerEntityId": "Default",
            "CustomerEntityType": "Retail",
            "Items": page,
            # Null at the end, where Resource Manager leaves the field out.
            "NextPageLink": f"{base_url}{path}?{following}" if more else None,
            "Count": len(page),
        },
    )


def _passes_filter(row: Json, name: str, value: str, contains: bool) -> bool:
    held = str(row.get(name, ""))
    # Case counts since 2023-01-01-preview.
    return value in held if contains else value == held


def _convert_row(row: Json, currency: str, version: str | None) -> Json:
    rate = RATES[currency]
    prices = {name: _to_number(row[name] * rate) for name in ("retailPrice", "unitPrice")}
    converted = {**row, **prices, "currencyCode": currency}
    plans = converted.pop("savingsPlan", None)
    # Only the preview version has them; without it the field is missing, and no offer is found.
    if plans and version == VERSION:
        converted["savingsPlan"] = [
            {**plan, **{name: _to_number(plan[name] * rate) for name in ("retailPrice", "unitPrice")}}
            for plan in plans
        ]
    return converted
