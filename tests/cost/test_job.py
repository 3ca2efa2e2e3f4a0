"""The cost of a week that the ticks themselves wrote into the ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from local.fakes.disks import MemoryAddresses, MemoryDisks
from local.fakes.prices import MemoryPrices
from shared.cloud.disk_meters import disk_meter_name
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.machines import NodePool, PowerState
from shared.cloud.prices import Price, PriceKind
from shared.cost import job as cost
from shared.cost.fixed import describe_uncounted, full_snapshot_costs, incremental_costs
from shared.cost.history import LAST_REPORT, extend_weeks, summarize_week
from shared.cost.price_cache import PriceCache
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Refused, Unavailable
from shared.power.usage_ledger import UsageLedger

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


HOURLY = [f"{hour:02}:00" for hour in range(24)]


@pytest.fixture
def job(world, at):
    """After a week of ticks: Monday to Friday 7 to 19, an evening more on Wednesday."""
    world.add()
    world.clock.set(at("0:00"))
    for day in range(2, 9):
        for clock in sorted({*HOURLY, "07:05", "18:45", "19:05"}):
            world.clock.set(at(clock, day))
            world.tick()
    world.clock.set(at("0:00", 9))
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
    assert result.report.missing == ("Basic IPv4 Static Public IP in westeurope",)
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


def test_the_report_keeps_each_days_hours_beside_what_was_planned(job) -> None:
    since, until = cost.last_full_week(job.inventory.clock.now(), job.zone)
    cost.report_week(job)
    uptime = json.loads(job.inventory.state.read(cost.LAST_REPORT)[0])["uptime"]
    names = {one["machine"] for one in uptime}
    assert [one["day"] for one in uptime if one["machine"] == min(names)] == [
        (since.astimezone(job.zone) + timedelta(days=n)).date().isoformat() for n in range(7)
    ]
    assert all(one["ran"] + one["unknown"] <= 25 and one["planned"] <= 25 for one in uptime)
    for name in names:
        ran, unknown = UsageLedger(job.inventory.state).sum_hours(name, since, until)
        own = [one for one in uptime if one["machine"] == name]
        assert sum(one["ran"] for one in own) == pytest.approx(ran / timedelta(hours=1), abs=0.1)
        assert sum(one["unknown"] for one in own) == pytest.approx(unknown / timedelta(hours=1), abs=0.1)
    assert sum(one["ran"] for one in uptime) > 0


def test_a_report_that_nobody_could_be_told_is_told_later(job, world) -> None:
    world.notifications.down = True
    with pytest.raises(Unavailable):
        cost.report_week(job)
    world.notifications.down = False
    assert "sent report" in cost.report_week(job)


def test_the_weeks_of_a_year_are_kept_for_charts_and_unknown_stays_unknown(job, world) -> None:
    cost.report_week(job)
    world.clock.advance(timedelta(days=7))  # no tick saw it: its hours are unknown
    cost.report_week(job)
    first, second = decode_json(world.state.read(LAST_REPORT)[0], LAST_REPORT)["weeks"]
    assert (first["since"], second["since"]) == ("2026-03-02T00:00:00+01:00", "2026-03-09T00:00:00+01:00")
    assert Decimal(first["hours"]) + Decimal(first["hours_saved"]) == 168
    assert Decimal(first["cost"]) == Decimal(first["hours"]) * Decimal("0.20")
    assert Decimal(second["hours_unknown"]) > 0
    assert (second["forecast"], Decimal(second["saved"])) == (None, 0)


def test_a_week_that_is_reported_twice_is_one_and_a_year_of_them_is_kept(job, world) -> None:
    weeks = [{"since": f"2025-{number:03}"} for number in range(60)]
    world.state.replace(LAST_REPORT, encode_json({"weeks": [*weeks, "broken"]}), etag=None)
    kept = extend_weeks(world.state, {"since": "2025-059", "cost": "1"})
    assert len(kept) == 53
    assert kept[-1] == {"since": "2025-059", "cost": "1"}
    assert kept[0] == {"since": "2025-007"}
    world.state.replace(LAST_REPORT, b"{", etag=None)
    assert extend_weeks(world.state, {"since": "a"}) == [{"since": "a"}]


def test_a_machine_without_a_price_makes_no_low_sum_of_the_week(job, world) -> None:
    job = make_job(world, MemoryPrices([p for p in PRICES if "D4ads" not in p.item]))
    report = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone)).report
    week = summarize_week(report)
    assert (week["cost"], week["saved"], week["forecast"]) == (None, None, None)
    priced = replace(report.machines[0], cost=Decimal(1), saved=Decimal(2))
    both = summarize_week(replace(report, machines=(report.machines[0], priced)))
    assert (both["cost"], both["saved"]) == (None, None)
    assert Decimal(both["hours"]) == 2 * report.machines[0].hours
    assert summarize_week(replace(report, machines=()))["cost"] is None


def test_missing_prices_are_said_and_nothing_is_guessed(job, world) -> None:
    job = make_job(world, MemoryPrices([p for p in PRICES if "D4ads" not in p.item]))
    result = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone))
    assert result.report.missing == (f"{SIZE} in westeurope",)
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
    assert f"{SIZE} in westeurope" in cost.build_report(job, *span).report.missing
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
    # Neither before the first look nor after the last.
    assert any("the ledger knows nothing for 7 d" in note for note in result.notes)
    assert result.report.machines[0].hours_saved == 0


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


# Snapshots, regions, clusters


def snapshot(name: str, disk: str, *, incremental: bool = True, **more) -> Snapshot:
    base = disk.rpartition("/")[0].replace("/disks", "/snapshots")
    made = datetime(2026, 3, 1, tzinfo=UTC)
    fields = {"location": "westeurope", "size_gb": 128, **more}
    return Snapshot(
        f"{base}/{name}", name, "g", fields.pop("location"), disk, made, incremental=incremental, **fields
    )


DISK = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/disks/data"


def test_full_snapshots_are_billed_as_a_whole_each() -> None:
    taken = [snapshot(f"s{number}", DISK, incremental=False) for number in range(14)]
    costs = list(full_snapshot_costs([], taken))
    assert [cost.units for cost in costs] == [128] * 14
    assert not any(cost.used for cost in costs)
    assert list(incremental_costs([], taken, 5)) == []


@pytest.mark.parametrize(("change", "units"), [(None, 128), (0, 128), (5, 128 + 13 * 5)])
def test_incremental_ones_are_one_whole_and_what_changed(change: int | None, units: int) -> None:
    taken = [snapshot(f"s{number}", DISK) for number in range(14)]
    (cost,) = incremental_costs([], taken, change)
    assert (cost.name, cost.units) == ("snapshots of data", units)
    assert bool(describe_uncounted(taken, change)) is (change is None)
    assert not describe_uncounted(taken[:1], None)


def test_copies_of_snapshots_elsewhere_are_priced_there_and_by_their_redundancy() -> None:
    taken = [
        snapshot("a", DISK),
        snapshot("b", DISK, location="northeurope", size_gb=256),
        snapshot("c", DISK, sku="Standard_ZRS"),
        snapshot("d", DISK, sku="Premium_LRS"),
        snapshot("e", DISK, sku=""),
    ]
    assert {(cost.price_key, int(cost.units)) for cost in incremental_costs([], taken, None)} == {
        ("LRS Snapshots in westeurope", 128),
        ("LRS Snapshots in northeurope", 256),
        ("ZRS Snapshots in westeurope", 128),
        ("Premium LRS Snapshots in westeurope", 128),
        ("snapshots on storage of unknown kind in westeurope", 128),
    }


def test_a_disk_in_a_region_without_prices_is_missing_and_makes_no_low_sum(job, world) -> None:
    job.disks.add_disk("remote", location="northeurope")
    result = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone))
    assert result.report.missing == ("P10 LRS Disk in northeurope",)
    assert result.report.fixed_costs["disk"] is None
    assert result.report.forecast is None


def test_a_machine_is_priced_where_it_is(world, at) -> None:
    world.id = world.machines.add("rocketchat", location="Sweden Central")
    world.clock.set(at("12:00", 5))
    world.tick()
    world.clock.set(at("8:00", 9))
    there = [replace(one, region="swedencentral", amount=one.amount * 2) for one in PRICES]
    job = make_job(world, MemoryPrices([*PRICES, *there]))
    report = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone)).report
    (machine,) = report.machines
    assert machine.cost == machine.hours * Decimal("0.40")
    assert {offer.commitment.hourly for offer in report.offers} == {
        Decimal(one) for one in ("0.2", "0.1", "0.3")
    }


def test_another_size_is_compared_where_the_machine_is(make_world, at) -> None:
    """Cheaper in policy's region, dearer where the machine is: no saving."""
    world = make_world(
        "power: {machines: [{name: rocketchat, windows: [Mon-Fri 07:00-19:00]}]}\n"
        "cost: {skus: [Standard_D4as_v5]}"
    )
    world.id = world.machines.add("rocketchat", location="swedencentral")
    world.clock.set(at("8:00", 9))
    other = "Standard_D4as_v5"
    elsewhere = [price(other, "0.01"), replace(price(other, "0.50"), region="swedencentral")]
    mine = replace(price(SIZE, "0.20"), region="swedencentral")
    job = make_job(world, MemoryPrices([*PRICES, *elsewhere, mine]))
    report = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone)).report
    assert not any(other in saving.change for saving in report.savings)
    assert not any(other in key for key in report.missing)


def test_of_two_prices_for_one_meter_none_is_taken(job, world) -> None:
    job = make_job(world, MemoryPrices([*PRICES, price("P10 LRS Disk", "21", unit="month")]))
    result = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone))
    assert result.report.missing == ("P10 LRS Disk in westeurope",)
    said = "Several prices are listed for P10 LRS Disk in westeurope (20, 21): none is taken."
    assert said in result.notes


def test_the_sum_says_that_the_changed_parts_are_not_in_it(job, world) -> None:
    span = cost.last_full_week(world.clock.now(), job.zone)
    result = cost.build_report(job, *span)
    assert result.report.uncounted == (
        "the changed parts of 2 incremental snapshots (cost.snapshot_change_gb says their size)",
    )
    text = result.text(job.zone)
    assert "total more than 50.05" in text
    assert "In no sum, since it is not known how much: the changed parts of 2" in text


@pytest.fixture
def cluster_job(make_world, at):
    """A cluster of three nodes of one size and a pool that scales, a week of its ledger."""
    world = make_world(
        "timezone: Europe/Berlin\npower: {machines: [{name: aks, kind: aks, windows: [daily 00:00-24:00]}]}"
    )
    identity = world.machines.add("aks", power=PowerState.RUNNING)
    pools = (
        NodePool("system", SIZE, 3),
        NodePool("burst", SIZE, 1, scales=True),
        NodePool("win", SIZE, 1, windows=True),
    )
    world.machines.set_pools(identity, pools)
    world.id = identity
    world.clock.set(at("0:00", 2))
    ledger = UsageLedger(world.state)
    for hours in range(8 * 24 + 1):
        ledger.record_state("aks.aks", at("0:00", 1) + timedelta(hours=hours), on=True)
    world.clock.set(at("8:00", 9))
    job = make_job(world, MemoryPrices(PRICES))
    job.inventory.__dict__["switches"] = {"aks": world.machines}
    return job


def test_the_nodes_of_a_cluster_are_reckoned_in_and_what_is_not_is_said(cluster_job) -> None:
    span = cost.last_full_week(cluster_job.inventory.clock.now(), cluster_job.zone)
    report = cost.build_report(cluster_job, *span).report
    (pool,) = report.machines
    assert (pool.name, pool.size, pool.hours) == ("aks.aks/system", f"3 x {SIZE}", 168)
    assert pool.cost == 168 * 3 * Decimal("0.20")
    assert {offer.commitment.hourly for offer in report.offers} == {
        Decimal("0.30"),
        Decimal("0.15"),
        Decimal("0.45"),
    }
    assert any("the nodes of aks.aks/burst: their number changes" in one for one in report.uncounted)
    assert any("the nodes of aks.aks/win: Windows" in one for one in report.uncounted)
    assert any("its own fee" in one for one in report.uncounted)


def test_a_new_installation_reports_from_its_first_hour(world, at) -> None:
    """Installed on a Wednesday at 14:00, while the machine ran: what was before is unknown, and said."""
    world.add(PowerState.RUNNING)
    for day in range(4, 9):
        for clock in sorted({*HOURLY, "07:05", "18:45", "19:05"}):
            if (day, clock) >= (4, "14:00"):
                world.clock.set(at(clock, day))
                world.tick()
    world.clock.set(at("0:00", 9))
    world.tick()
    world.clock.set(at("8:00", 9))
    job = make_job(world, MemoryPrices(PRICES))
    assert "sent report cost/2026-03-02.txt" in cost.report_week(job)
    (machine,) = cost.build_report(job, *cost.last_full_week(world.clock.now(), job.zone)).report.machines
    assert machine.hours_unknown == 62  # Monday 0:00 to Wednesday 14:00
    assert 29 <= machine.hours <= Decimal("29.5")  # five hours, and two days of twelve
    assert machine.hours + machine.hours_saved + machine.hours_unknown == 168
    assert machine.saved == machine.hours_saved * Decimal("0.20")
    told = next(n for n in world.notifications.told if n.title.startswith("Cost of"))
    assert "Of rocketchat the ledger knows nothing for 2 d 14 h" in told.text
    assert "Forecast for the month: unknown" in told.text
    assert "No forecast: 3 d 14 h of the month are unknown" in told.text
