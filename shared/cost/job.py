"""Cost: hours from the ledger, money from list prices, and what would save most, once a week.

What cannot be known is said, not guessed: a price that is missing, hours that nobody saw, and what
incremental snapshots hold, which Azure does not tell.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from shared.cloud.disk_meters import SNAPSHOTS, meter_of
from shared.cloud.disks import Disk, Disks, Snapshot
from shared.cloud.machines import Machine
from shared.cloud.prices import Addresses, PriceKind
from shared.cloud.prices import Price as ListPrice
from shared.cloud.prices import Prices as PriceList
from shared.cost import decide as core
from shared.cost.model import Commitment, CostReport, MachineUse, Price, Prices, Run, Standing
from shared.cost.price_cache import PriceCache
from shared.cost.render import report_text
from shared.kernel.durations import format_duration
from shared.kernel.errors import AlreadyExists, GroundcrewError, Unavailable
from shared.notifications.ports import Notice, Notifier, Severity
from shared.power.forecast import up_time
from shared.power.inventory import Fleet, Target
from shared.power.model import calendar_of
from shared.power.override_store import of
from shared.power.usage_ledger import Ledger

log = logging.getLogger(__name__)

WEEK, YEAR = timedelta(days=7), timedelta(days=365)
_KINDS: dict[PriceKind, Literal["reservation", "savings plan"]] = {
    PriceKind.RESERVATION: "reservation",
    PriceKind.SAVINGS_PLAN: "savings plan",
}


@dataclass(frozen=True)
class Cost:
    """What the report needs; `cache` is the one behind `prices`."""

    fleet: Fleet
    disks: Disks
    addresses: Addresses
    prices: PriceList
    cache: PriceCache
    notifications: Notifier

    @property
    def zone(self) -> ZoneInfo:
        """Where weeks and months begin."""
        return ZoneInfo(self.fleet.policy.timezone)


@dataclass
class Result:
    """The report, and what has to be known to read it."""

    report: CostReport
    notes: list[str] = field(default_factory=list)

    def text(self, zone: ZoneInfo) -> str:
        """As people read it."""
        return "\n".join([report_text(self.report, zone).rstrip(), *self.notes]) + "\n"


def weekly(job: Cost) -> str:
    """Tell the report of the last full week, once; level-triggered, so it may be asked every day."""
    since, until = last_week(job.fleet.clock.now(), job.zone)
    name = f"cost/{since.astimezone(job.zone):%Y-%m-%d}.txt"
    if next(iter(job.fleet.state.list(name)), None):
        return f"nothing to do: {name} is there"
    text = make(job, since, until).text(job.zone)
    first, *rest = text.splitlines()
    notice = Notice(Severity.INFO, first, "```\n" + "\n".join(rest).strip() + "\n```", key=name)
    job.notifications.notify(notice)
    try:
        job.fleet.state.create(name, text.encode())
    except AlreadyExists:
        log.info("cost.reported_elsewhere", extra={"report": name})
    return f"told the report {name}"


def make(job: Cost, since: datetime, until: datetime) -> Result:
    """The report of a span. Raises what keeps machines or disks from being listed."""
    month = (until - timedelta.resolution).astimezone(job.zone).date().replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    began, ends = (datetime.combine(day, time(), job.zone) for day in (month, following))
    notes: list[str] = []
    uses = [_use(job, *found, since, until, began, ends, notes) for found in _machines(job, notes)]
    standing = _standing(job, notes)
    sizes = {size for use in uses for size in (use.size, *use.alternatives)}
    prices = _prices(job, sorted(sizes), notes)
    report = core.report(uses, standing, prices, job.fleet.policy.cost, since, until, began)
    return Result(report, notes)


def last_week(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The last full week from Monday to Monday on the zone's clock."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    return datetime.combine(monday - WEEK, time(), zone), datetime.combine(monday, time(), zone)


def _machines(job: Cost, notes: list[str]) -> Iterator[tuple[Target, Machine]]:
    for kind in job.fleet.kinds:
        if kind != "vm":
            notes.append("AKS clusters are not reckoned: the number of their nodes changes.")
            continue
        ordered = {machine.id: machine for machine in job.fleet.switches[kind].list()}
        for target in job.fleet.targets(kind):
            if machine := ordered.get(target.id):
                yield target, machine
            else:
                notes.append(f"{target.key} was not found and is left out.")


def _use(
    job: Cost,
    target: Target,
    machine: Machine,
    since: datetime,
    until: datetime,
    began: datetime,
    ends: datetime,
    notes: list[str],
) -> MachineUse:
    fleet = job.fleet
    calendar = calendar_of(target.rules, fleet.policy.timezone, fleet.day_off)
    orders = of(fleet.orders.all(), target.key)
    ledger = Ledger(fleet.state)
    known = ledger.intervals(target.key, min(since, began), until)
    _, unknown = ledger.hours(target.key, since, until)
    if unknown:
        notes.append(
            f"Of {target.key} the ledger knows nothing for {format_duration(unknown)}: they count as not run."
        )
    return MachineUse(
        target.key,
        machine.size,
        tuple(Run(part.since, part.until) for part in known if part.on),
        scheduled=up_time(calendar, orders, since, until),
        planned=up_time(calendar, orders, until, max(until, ends)),
        year_ahead=up_time(calendar, orders, until, until + YEAR),
        alternatives=tuple(size for size in fleet.policy.cost.skus if size != machine.size),
    )


def _standing(job: Cost, notes: list[str]) -> list[Standing]:
    """What costs while machines are off."""
    disks = job.disks.list()
    found = [Standing(disk.name, "disk", meter_of(disk), used=bool(disk.attached_to)) for disk in disks]
    snapshots = list(job.disks.snapshots())
    found += _snapshots(disks, snapshots) if snapshots else []
    if snapshots:
        notes.append("Snapshots count as one full copy a disk; Azure does not tell what the changes hold.")
    return [*found, *_addresses(job, notes)]


def _addresses(job: Cost, notes: list[str]) -> Iterator[Standing]:
    """Those that are kept while nothing runs; IPv6 is free, and dynamic ones are given back.

    https://azure.microsoft.com/pricing/details/ip-addresses
    """
    try:
        found = job.addresses.list()
    except GroundcrewError as error:
        log.warning("cost.no_addresses", extra={"error": str(error)})
        notes.append(
            f"Public IP addresses could not be listed ({error.message}): their price has to be added."
        )
        return
    for address in found:
        if address.static and address.version == 4:
            meter = f"{address.sku} IPv4 Static Public IP"
            yield Standing(address.name, "address", meter, used=address.used)


def _snapshots(disks: Sequence[Disk], snapshots: Sequence[Snapshot]) -> Iterator[Standing]:
    largest: dict[str, int] = {}
    for snapshot in snapshots:
        largest[snapshot.disk] = max(largest.get(snapshot.disk, 0), snapshot.size_gb)
    known = {disk.id for disk in disks}
    for disk, size in sorted(largest.items()):
        name = f"snapshots of {disk.rpartition('/')[2]}"
        yield Standing(name, "snapshot", SNAPSHOTS, Decimal(size), used=disk in known)


def _prices(job: Cost, sizes: Sequence[str], notes: list[str]) -> Prices:
    """Fresh ones, else old ones with their age, else none, which the report then says."""
    try:
        return _asked(job, sizes)
    except Unavailable as error:
        log.warning("cost.no_prices", extra={"error": str(error)})
    job.cache.accept_stale = True
    try:
        prices = _asked(job, sizes)
        if job.cache.oldest:
            notes.append(f"Prices are of {job.cache.oldest:%Y-%m-%d}: newer ones could not be had.")
        return prices
    except Unavailable:
        return Prices()
    finally:
        job.cache.accept_stale = False


def _asked(job: Cost, sizes: Sequence[str]) -> Prices:
    region = job.fleet.policy.cost.region
    machines: dict[str, Price] = {}
    commitments: dict[str, list[Commitment]] = {}
    for size in sizes:
        for price in (one for one in job.prices.machine(size, region) if not one.windows):
            if price.kind is PriceKind.PAY_AS_YOU_GO:
                machines[size] = Price(price.amount)
            elif price.kind in _KINDS:
                made = Commitment(_KINDS[price.kind], price.term_years, price.amount)
                commitments.setdefault(size, []).append(made)
    for offers in commitments.values():
        offers.sort(key=lambda offer: (offer.kind, offer.years))
    listed = (*job.prices.storage(region), *job.prices.addresses(region))
    standing = {price.item: _standing_price(price) for price in listed}
    return Prices(machines, commitments, standing)


def _standing_price(price: ListPrice) -> Price:
    return Price(price.amount, "month" if price.unit.endswith("month") else "hour")


def plain(result: Result) -> dict[str, object]:
    """The report as JSON takes it: money as text, so that nothing is rounded."""
    report = result.report
    return {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "currency": report.currency,
        "machines": [
            {
                "machine": m.name, "size": m.size, "hours": str(m.hours), "hours_saved": str(m.hours_saved),
                "hours_beyond": str(m.hours_beyond), "cost": _text(m.cost), "saved": _text(m.saved),
            }
            for m in report.machines
        ],
        "standing": {kind: _text(amount) for kind, amount in report.standing.items()},
        "commitments": [
            {
                "machine": o.machine, "commitment": str(o.commitment), "break_even": str(o.break_even),
                "hours_a_week": str(o.hours_a_week), "monthly_difference": str(o.monthly_difference),
                "worth_it": o.is_worth_it,
            }
            for o in report.offers
        ],
        "savings": [{"change": s.change, "monthly": str(s.monthly)} for s in report.savings],
        "forecast": _text(report.forecast),
        "budget": _text(report.budget),
        "missing": list(report.missing),
        "notes": result.notes,
    }  # fmt: skip


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
