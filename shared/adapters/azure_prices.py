"""The Azure Retail Prices API behind `Prices`: public list prices, without a sign-in.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices

Rows of one size look alike: Windows, Spot, Low Priority and DevTest share its `armSkuName`, and a reservation
states the price of its whole term with "1 Hour" as the unit. Telling them apart is this module's work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from shared.cloud.prices import Price, PriceKind
from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    import requests

PUBLIC_URL = "https://prices.azure.com/api/retail/prices"
# The version that tells savings plans; filter values are case-sensitive in it.
API_VERSION = "2023-01-01-preview"
_HOURS_A_YEAR = 8760
_MOST_PAGES = 50
_UNITS = {"1 Hour": "hour", "1/Month": "month", "1 GB/Month": "gb-month"}
_SNAPSHOT_STORAGE = {
    "Standard HDD Managed Disks": "",
    "Standard SSD Managed Disks": "StandardSSD",
    "Premium SSD Managed Disks": "Premium",
}
Row = Mapping[str, Any]


class ResponseCache(Protocol):
    """Keeps answers by key; how long they are fresh is the cache's business."""

    def read(self, key: str) -> str | None:
        """What was kept and is still fresh, else None."""
        ...

    def write(self, key: str, text: str) -> None:
        """Keep it."""
        ...


class AzurePrices:
    """Prices in one currency; `cache` saves asking again for what changes once a month."""

    def __init__(
        self,
        # Without proxies or a sign-in of its own: these are public prices.
        session: requests.Session,
        currency: str,
        *,
        url: str = PUBLIC_URL,
        cache: ResponseCache | None = None,
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._session, self._currency, self._url = session, currency, url
        self._cache, self._timeout = cache, timeout

    def list_machine_prices(self, size: str, region: str) -> tuple[Price, ...]:
        """See `Prices.list_machine_prices`."""
        rows = self._rows(serviceName="Virtual Machines", armRegionName=region, armSkuName=size)
        machines = filter(_is_virtual_machine, _primary_rows(rows))
        return tuple(price for row in machines for price in parse_machine(row))

    def list_storage_prices(self, region: str) -> tuple[Price, ...]:
        """See `Prices.list_storage_prices`."""
        rows = [
            *self._rows(serviceName="Storage", armRegionName=region, productName="Premium SSD Managed Disks"),
            *self._rows(
                serviceName="Storage", armRegionName=region, productName="Standard SSD Managed Disks"
            ),
            *self._rows(
                serviceName="Storage", armRegionName=region, productName="Standard HDD Managed Disks"
            ),
        ]
        filter_text = (
            row for row in _primary_rows(rows) if row["meterName"].endswith((" Disk", " Snapshots"))
        )
        return tuple(price for row in filter_text for price in parse_meter(row))

    def list_address_prices(self, region: str) -> tuple[Price, ...]:
        """See `Prices.list_address_prices`."""
        rows = self._rows(serviceName="Virtual Network", armRegionName=region, productName="IP Addresses")
        return tuple(price for row in _primary_rows(rows) for price in parse_meter(row))

    def _rows(self, **terms: str) -> list[Row]:
        filter_text = " and ".join(
            f"{name} eq '{_quote_value(value)}'" for name, value in sorted(terms.items())
        )
        key = f"{self._currency}:{filter_text}"
        cached = None if self._cache is None else self._cache.read(key)
        if cached is not None:
            # Prices are decimals throughout: a float of 0.0416 times 730 hours is another sum than the
            # invoice's.
            return list(json.loads(cached, parse_float=Decimal))
        # All pages before any is cached: half a list would look like a size that is not sold.
        rows = list(self._pages(filter_text))
        if self._cache is not None:
            self._cache.write(key, json.dumps(rows, default=str))
        return rows

    def _pages(self, filter_text: str) -> Iterator[Row]:
        url: str | None = self._url
        query: Mapping[str, str] | None = {
            "api-version": API_VERSION,
            "currencyCode": f"'{self._currency}'",
            "$filter": filter_text,
        }
        for _ in range(_MOST_PAGES):
            if not url:
                return
            page = self._get(url, query)
            yield from page.get("Items") or []
            url, query = self._same_host(page.get("NextPageLink")), None
        raise Unavailable(
            "Retail prices: the answer does not end", value=filter_text, hint="Narrow the question"
        )

    def _get(self, url: str, query: Mapping[str, str] | None) -> Mapping[str, Any]:
        import requests

        try:
            answer = self._session.get(
                url, params=query, timeout=self._timeout.total_seconds(), allow_redirects=False
            )
            if answer.status_code == 400:
                raise UsageError(
                    "Retail prices: not understood", value=self._currency, hint="Check the currency's code"
                )
            if answer.status_code != 200:
                raise Unavailable(
                    "Retail prices", value=f"HTTP {answer.status_code}", hint="Tried again later"
                )
            page = answer.json(parse_float=Decimal)
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(
                "Retail prices", value=type(error).__name__, hint="Tried again later"
            ) from error
        if not isinstance(page, dict):
            raise Unavailable("Retail prices: not the expected answer", value=type(page).__name__)
        return page

    def _same_host(self, url: str | None) -> str | None:
        if url and urlsplit(url).hostname != urlsplit(self._url).hostname:
            raise Refused("Retail prices: the next page is on another host", value=urlsplit(url).hostname)
        return url or None


def connect(currency: str, *, url: str = PUBLIC_URL, cache: ResponseCache | None = None) -> AzurePrices:
    """Prices in `currency` (ISO 4217). Imports requests."""
    import requests

    return AzurePrices(requests.Session(), currency, url=url, cache=cache)


def parse_machine(row: Row) -> Iterator[Price]:
    """The prices that a row on a machine tells: its own, and those of its savings plans."""
    windows = "windows" in str(row.get("productName", "")).lower()
    size, kind = str(row["armSkuName"]), _price_kind(row)
    years = _parse_years(row.get("reservationTerm"))
    # A reservation without its term would be divided by one hour, and look 8760 times too dear.
    if kind is PriceKind.RESERVATION and not years:
        return
    hours = Decimal(_HOURS_A_YEAR * years) if years else Decimal(1)
    yield _build_price(row, size, kind, _retail_amount(row) / hours, windows=windows, years=years)
    for plan in row.get("savingsPlan") or ():
        if term := _parse_years(plan.get("term")):
            yield _build_price(
                row, size, PriceKind.SAVINGS_PLAN, _retail_amount(plan), windows=windows, years=term
            )


def parse_meter(row: Row) -> Iterator[Price]:
    """The price of a meter that is sold by use only; reservations of disks are left out."""
    if _price_kind(row) is PriceKind.PAY_AS_YOU_GO:
        yield _build_price(row, _meter_item(row), PriceKind.PAY_AS_YOU_GO, _retail_amount(row))


def _meter_item(row: Row) -> str:
    """The meter's name; that of snapshots with what they are kept on, since the list names them alike.

    `LRS Snapshots` is 0.05 of Standard HDD and 0.132 of Premium SSD, whose Standard SSD namesake is
    `Snapshots LRS Snapshots`.
    """
    meter = str(row["meterName"])
    if not meter.endswith(" Snapshots"):
        return meter
    storage = _SNAPSHOT_STORAGE.get(str(row.get("productName", "")), str(row.get("productName", "")))
    return f"{storage} {meter.removeprefix('Snapshots ')}".strip()


def _build_price(
    row: Row, item: str, kind: PriceKind, amount: Decimal, *, windows: bool = False, years: int = 0
) -> Price:
    unit = str(row.get("unitOfMeasure") or "")
    region, currency = str(row["armRegionName"]), str(row["currencyCode"])
    return Price(item, region, currency, kind, amount, _UNITS.get(unit, unit), windows, years)


def _price_kind(row: Row) -> PriceKind:
    label = f"{row.get('skuName', '')} {row.get('meterName', '')}".lower()
    if row.get("type") == "Reservation":
        return PriceKind.RESERVATION
    if row.get("type") == "DevTestConsumption":
        return PriceKind.DEV_TEST
    # The predecessor of Spot, which rows of old sizes still name; neither may stand for the price of a
    # machine that has to run.
    if "low priority" in label:
        return PriceKind.LOW_PRIORITY
    return PriceKind.SPOT if "spot" in label.split() else PriceKind.PAY_AS_YOU_GO


def _primary_rows(rows: Iterable[Row], now: datetime | None = None) -> Iterator[Row]:
    """Rows that hold now for the region's own meters, from the first unit on; others repeat them or are bulk.

    A first tier that costs nothing, with dearer ones above it, is no price: what is used would look free.
    """
    now = now or datetime.now(UTC)
    current = [row for row in rows if row.get("isPrimaryMeterRegion", True) and _is_current(row, now)]
    tiered = {_meter_key(row) for row in current if Decimal(str(row.get("tierMinimumUnits") or 0))}
    for row in current:
        free_tier = not _retail_amount(row) and _meter_key(row) in tiered
        if not Decimal(str(row.get("tierMinimumUnits") or 0)) and not free_tier:
            yield row


def _is_current(row: Row, now: datetime) -> bool:
    """Whether the row's dates of validity include now; a date that cannot be read bounds nothing."""
    start = parse_optional_timestamp(row.get("effectiveStartDate"))
    end = parse_optional_timestamp(row.get("effectiveEndDate"))
    return (start is None or start <= now) and (end is None or now < end)


def _meter_key(row: Row) -> tuple[str, ...]:
    names = ("meterId", "productName", "skuName", "meterName", "type", "reservationTerm")
    return tuple(str(row.get(name, "")) for name in names)


def _is_virtual_machine(row: Row) -> bool:
    """Not Cloud Services: their rows have the same service and `armSkuName`, and another price."""
    return "cloudservices" not in str(row.get("productName", "")).lower().replace(" ", "")


def _retail_amount(row: Row) -> Decimal:
    # Not unitPrice: it is the price after the discount of a tier.
    return Decimal(str(row["retailPrice"]))


def _parse_years(term: object) -> int:
    number = str(term or "").partition(" ")[0]
    return int(number) if number.isdigit() else 0


def _quote_value(value: str) -> str:
    return value.replace("'", "''")
