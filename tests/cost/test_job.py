"""The cost of a week that the ticks themselves wrote into the ledger."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from local.fakes.compute import MemoryAddresses, MemoryDisks
from local.fakes.prices import MemoryPrices
from shared.cloud.disk_meters import disk_meter_name
from shared.cloud.disks import Disk
from shared.cloud.prices import Price, PriceKind
from shared.cost import job as cost
from shared.cost.price_cache import PriceCache
from shared.kernel.errors import Refused, Unavailable

SIZE = "Standard_D4ads_v5"


def price(
    item: str, amount: str, kind: PriceKind = PriceKind.PAY_AS_YOU_GO, unit: str = "hour", **more
) -> Price:
    return Price(item, "westeurope", "EUR", kind, Decimal(amount), unit, **more)


PRICES = (
    price(SIZE, "0.20"),
    price(SIZE, "0.40", windows=True),
    price(SIZE, "0.04", PriceKind.SPOT),
    price(SIZE, "0.10", PriceKind.RESERVATION, term_years=1),
    price(SIZE, "0.05", PriceKind.RESERVATION, term_years=3),
    price(SIZE, "0.15", PriceKind.SAVINGS_PLAN, term_years=1),
    price("P10 LRS Disk", "20", unit="month"),
    price("LRS Snapshots", "0.05", unit="gb-month"),
    price("Standard IPv4 Static Public IP", "0.005"),
)


@pytest.fixture
def job(world, at):
    """After a week of ticks: Monday to Friday 7 to 19, an evening more on Wednesday."""
    world.add()
    world.clock.set(at("0:00"))
    for day in range(2, 9):
        world.clock.set(at("0:00", day))
        world.tick()
        for clock in ("7:00", "7:05", "18:45", "19:00", "19:05"):
            world.clock.set(at(clock, day))
            world.tick()
    world.clock.set(at("8:00", 9))
    return make_job(world, MemoryPrices(PRICES))


def make_job(world, prices) -> cost.CostDeps:
    disks = MemoryDisks(world.clock)
    disk = disks.add_disk("data", attached_to=world.id)
    disks.add_disk("forgotten")
    for number in range(3):
        disks.add_snapshot(f"s{number}", disk, created=world.clock.now())
    cache = PriceCache(world.state, world.clock)
    addresses = MemoryAddresses()
    addresses.add("chat-ip", used=True)
    return cost.CostDeps(world.job().inventory, disks, addresses, prices, cache, world.notifications)


def test_the_report_of_a_week_to_the_cent(job, at) -> None:
    result = cost.build_report(job, *cost.last_full_week(job.inventory.clock.now(), job.zone))
    (machine,) = result.report.machines
    # Five days from 7:00 to 19:00, and the minutes until a tick saw the end.
    assert Decimal(60) <= machine.hours <= Decimal("60.5")
    assert machine.hours + machine.hours_saved == 168
    assert machine.cost == machine.hours * Decimal("0.20")
    assert result.report.fixed_costs == {
        "disk": Decimal(40),
        "snapshot": Decimal("6.40"),
        "address": Decimal("3.650"),
    }
    assert [str(offer.commitment) for offer in result.report.offers] == [
        "reservation of 1 year",
        "reservation of 3 years",
        "savings plan of 1 year",
    ]
    by_name = {str(offer.commitment): offer.is_worth_it for offer in result.report.offers}
    assert by_name == {
        "reservation of 1 year": False,
        "reservation of 3 years": True,  # 42 h a week pay it, the schedule has 60
        "savings plan of 1 year": False,
    }
    assert result.report.savings[0].change == "Delete the disk forgotten"
    assert result.report.missing == ()
    assert "address 3.65" in result.text(job.zone)


def test_an_address_counts_if_it_is_kept_while_nothing_runs(job) -> None:
    job.addresses.add("forgotten-ip")
    job.addresses.add("old-ip", sku="Basic")
    job.addresses.add("dynamic-ip", static=False, used=True)
    job.addresses.add("v6-ip", version=6, used=True)
    result = cost.build_report(job, *cost.last_full_week(job.inventory.clock.now(), job.zone))
    assert result.report.missing == ("Basic IPv4 Static Public IP",)
    assert result.report.fixed_costs["address"] is None
    assert any("forgotten-ip" in saving.change for saving in result.report.savings)
    assert not any("chat-ip" in saving.change for saving in result.report.savings)


@pytest.mark.parametrize("error", [Refused("no right to list"), Unavailable("no answer")], ids=["403", "503"])
def test_addresses_that_cannot_be_listed_are_said_and_the_report_is_made(job, error) -> None:
    job.addresses.failure = error
    result = cost.build_report(job, *cost.last_full_week(job.inventory.clock.now(), job.zone))
    assert "address" not in result.report.fixed_costs
    assert f"could not be listed ({error.message})" in result.text(job.zone)


def test_a_week_is_told_once_and_made_up_on_the_day_after(job, world) -> None:
    assert "sent report" in cost.report_week(job)
    for _ in range(6):
        world.clock.advance(timedelta(hours=20))
        assert "nothing to do" in cost.report_week(job)
    world.clock.advance(timedelta(days=3))  # the timer missed the Monday
    assert "sent report" in cost.report_week(job)
    titles = [title for title in world.notifications.titles if title.startswith("Cost of")]
    assert titles == [
        "Cost of Mon 2026-03-02 to Sun 2026-03-08, in EUR",
        "Cost of Mon 2026-03-09 to Sun 2026-03-15, in EUR",
    ]


def test_a_report_that_nobody_could_be_told_is_told_later(job, world) -> None:
    world.notifications.down = True
    with pytest.raises(Unavailable):
        cost.report_week(job)
    world.notifications.down = False
    assert "sent report" in cost.report_week(job)


def test_missing_prices_are_said_and_nothing_is_guessed(job, world) -> None:
    job = make_job(world, MemoryPrices([p for p in PRICES if "D4ads" not in p.item]))
    result = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone))
    assert result.report.missing == (SIZE,)
    assert (result.report.machines[0].cost, result.report.forecast) == (None, None)
    assert result.report.machines[0].hours > 0


class Down:
    """A price list that does not answer, through a cache as the adapter's."""

    def __init__(self, cache: PriceCache, *, up: bool = False) -> None:
        self.cache, self.up, self.real = cache, up, MemoryPrices(PRICES)

    def list_machine_prices(self, size: str, region: str):
        return self._of("list_machine_prices", size, region)

    def list_storage_prices(self, region: str):
        return self._of("list_storage_prices", region)

    def list_address_prices(self, region: str):
        return self._of("list_address_prices", region)

    def _of(self, name: str, *arguments: str):
        if self.cache.read(f"{name} {arguments}") is None:
            if not self.up:
                raise Unavailable("Retail prices", value="HTTP 503")
            self.cache.write(f"{name} {arguments}", "kept")
        return getattr(self.real, name)(*arguments)


def test_prices_that_cannot_be_had_now_are_old_ones_with_their_age_or_none(job, world) -> None:
    span = cost.last_full_week(world.clock.now(), job.zone)
    job.__dict__["prices"] = Down(job.cache)
    assert SIZE in cost.build_report(job, *span).report.missing
    job.__dict__["prices"] = Down(job.cache, up=True)
    assert not cost.build_report(job, *span).report.missing
    job.__dict__["prices"] = Down(job.cache)
    world.clock.advance(timedelta(days=6))
    assert not cost.build_report(job, *span).report.missing
    assert not any("Prices are of" in note for note in cost.build_report(job, *span).notes)
    world.clock.advance(timedelta(days=2))
    late = cost.build_report(job, *span)
    assert not late.report.missing
    assert "Prices are of 2026-03-09: newer ones could not be had." in late.notes


def test_hours_that_nobody_saw_are_said(world, at) -> None:
    world.add()
    world.clock.set(at("12:00", 5))
    world.tick()
    world.clock.set(at("8:00", 9))
    job = make_job(world, MemoryPrices(PRICES))
    result = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone))
    assert any("the ledger knows nothing for 3 d 12 h" in note for note in result.notes)


@pytest.mark.parametrize(
    ("sku", "size_gb", "tier", "meter"),
    [
        ("Premium_LRS", 128, "P10", "P10 LRS Disk"),
        ("Premium_LRS", 129, "", "P15 LRS Disk"),
        ("Premium_LRS", 64, "P30", "P30 LRS Disk"),
        ("StandardSSD_ZRS", 4, "", "E1 ZRS Disk"),
        ("Standard_LRS", 4, "", "S4 LRS Disk"),
        ("PremiumV2_LRS", 100, "", "PremiumV2_LRS (100 GB)"),
        ("", 100, "", "a disk of unknown kind (100 GB)"),
    ],
)
def test_a_disk_is_billed_by_its_tier(sku: str, size_gb: int, tier: str, meter: str) -> None:
    assert disk_meter_name(Disk("id", "d", "g", "westeurope", sku, size_gb, tier=tier)) == meter
