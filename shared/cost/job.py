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

from shared.cloud.disk_meters import SNAPSHOTS, disk_meter_name
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.machines import Machine
from shared.cloud.prices import Price as ListPrice
from shared.cloud.prices import PriceKind
from shared.cost.decide import compute_report
from shared.cost.deps import CostDeps
from shared.cost.model import Commitment, CostReport, FixedCost, MachineUse, PriceBook, UnitPrice, UsageSpan
from shared.cost.render import render_report
from shared.kernel.durations import format_duration
from shared.kernel.errors import AlreadyExists, GroundcrewError, Unavailable
from shared.notifications.ports import Notice, Severity
from shared.power.forecast import scheduled_up_time
from shared.power.model import schedule_for
from shared.power.override_store import for_machine
from shared.power.targets import Target
from shared.power.usage_ledger import UsageLedger

log = logging.getLogger(__name__)

WEEK, YEAR = timedelta(days=7), timedelta(days=365)
_KINDS: dict[PriceKind, Literal["reservation", "savings plan"]] = {
    PriceKind.RESERVATION: "reservation",
    PriceKind.SAVINGS_PLAN: "savings plan",
}


@dataclass
class CostReportResult:
    """The report, and what has to be known to read it."""

    report: CostReport
    notes: list[str] = field(default_factory=list)

    def text(self, zone: ZoneInfo) -> str:
        """As people read it."""
        return "\n".join([render_report(self.report, zone).rstrip(), *self.notes]) + "\n"


def report_week(job: CostDeps) -> str:
    """Tell the report of the last full week, once; level-triggered, so it may be asked every day."""
    since, until = last_full_week(job.inventory.clock.now(), job.zone)
    name = f"cost/{since.astimezone(job.zone):%Y-%m-%d}.txt"
    if next(iter(job.inventory.state.list(name)), None):
        return f"nothing to do: {name} is there"
    text = build_report(job, since, until).text(job.zone)
    first, *rest = text.splitlines()
    notice = Notice(Severity.INFO, first, "```\n" + "\n".join(rest).strip() + "\n```", key=name)
    job.notifications.notify(notice)
    try:
        job.inventory.state.create(name, text.encode())
    except AlreadyExists:
        log.info("cost.already_reported", extra={"report": name})
    return f"sent report {name}"


def build_report(job: CostDeps, since: datetime, until: datetime) -> CostReportResult:
    """The report of a span. Raises what keeps machines or disks from being listed."""
    # A span that ends on the first at midnight belongs to the month before.
    month = (until - timedelta.resolution).astimezone(job.zone).date().replace(day=1)
    # No month has more than 31 days, so the 32nd day is in the next one.
    following = (month + timedelta(days=32)).replace(day=1)
    began, ends = (datetime.combine(day, time(), job.zone) for day in (month, following))
    notes: list[str] = []
    uses = [
        _machine_use(job, *matches, since, until, began, ends, notes)
        for matches in _list_machines(job, notes)
    ]
    fixed_costs = _fixed_costs(job, notes)
    sizes = {size for use in uses for size in (use.size, *use.alternatives)}
    prices = _load_prices(job, sorted(sizes), notes)
    report = compute_report(uses, fixed_costs, prices, job.inventory.policy.cost, since, until, began)
    return CostReportResult(report, notes)


def last_full_week(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The last full week from Monday to Monday on the zone's clock."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    return datetime.combine(monday - WEEK, time(), zone), datetime.combine(monday, time(), zone)


def _list_machines(job: CostDeps, notes: list[str]) -> Iterator[tuple[Target, Machine]]:
    for kind in job.inventory.kinds:
        if kind != "vm":
            notes.append("AKS clusters are not included: the number of their nodes changes.")
            continue
        ordered = {machine.id: machine for machine in job.inventory.switches[kind].list()}
        for target in job.inventory.targets(kind):
            # Policy may name a machine that was removed: the report is of the others, and says so.
            if machine := ordered.get(target.id):
                yield target, machine
            else:
                notes.append(f"{target.key} was not found and is left out.")


def _machine_use(
    job: CostDeps,
    target: Target,
    machine: Machine,
    since: datetime,
    until: datetime,
    began: datetime,
    ends: datetime,
    notes: list[str],
) -> MachineUse:
    inventory = job.inventory
    schedule = schedule_for(target.rules, inventory.policy.timezone, inventory.day_off)
    orders = for_machine(inventory.orders.all(), target.key)
    ledger = UsageLedger(inventory.state)
    # From the month's start too: the forecast counts what ran before the span.
    known = ledger.list_intervals(target.key, min(since, began), until)
    _, unknown = ledger.sum_hours(target.key, since, until)
    _, unknown_in_month = ledger.sum_hours(target.key, began, until)
    if unknown:
        text = f"Of {target.key} the ledger knows nothing for {format_duration(unknown)}"
        notes.append(f"{text}: they count neither as run nor as saved.")
    if unknown_in_month:
        text = f"{format_duration(unknown_in_month)} of the month are unknown for {target.key}"
        notes.append(f"No forecast: {text}.")
    return MachineUse(
        target.key,
        machine.size,
        tuple(UsageSpan(part.since, part.until) for part in known if part.on),
        scheduled=scheduled_up_time(schedule, orders, since, until),
        planned=scheduled_up_time(schedule, orders, until, max(until, ends)),
        year_ahead=scheduled_up_time(schedule, orders, until, until + YEAR),
        alternatives=tuple(size for size in inventory.policy.cost.skus if size != machine.size),
        unknown=unknown,
        unknown_in_month=unknown_in_month,
    )


def _fixed_costs(job: CostDeps, notes: list[str]) -> list[FixedCost]:
    """What costs while machines are off."""
    disks = job.disks.list()
    matches = [
        FixedCost(disk.name, "disk", disk_meter_name(disk), used=bool(disk.attached_to)) for disk in disks
    ]
    snapshots = list(job.disks.list_snapshots())
    matches += _snapshot_costs(disks, snapshots) if snapshots else []
    if snapshots:
        notes.append("Snapshots count as one full copy a disk; Azure does not tell what the changes hold.")
    return [*matches, *_address_costs(job, notes)]


def _address_costs(job: CostDeps, notes: list[str]) -> Iterator[FixedCost]:
    """Those that are kept while nothing runs; IPv6 is free, and dynamic ones are given back.

    https://azure.microsoft.com/pricing/details/ip-addresses
    """
    try:
        matches = job.addresses.list()
    except GroundcrewError as error:
        log.warning("cost.addresses_unavailable", extra={"error": str(error)})
        notes.append(
            f"Public IP addresses could not be listed ({error.message}): their price has to be added."
        )
        return
    for address in matches:
        if address.static and address.version == 4:
            meter = f"{address.sku} IPv4 Static Public IP"
            yield FixedCost(address.name, "address", meter, used=address.used)


def _snapshot_costs(disks: Sequence[Disk], snapshots: Sequence[Snapshot]) -> Iterator[FixedCost]:
    largest: dict[str, int] = {}
    for snapshot in snapshots:
        # Incremental ones are billed by changes, which Azure does not tell: one full copy stands for them.
        largest[snapshot.disk] = max(largest.get(snapshot.disk, 0), snapshot.size_gb)
    known = {disk.id for disk in disks}
    for disk, size in sorted(largest.items()):
        name = f"snapshots of {disk.rpartition('/')[2]}"
        yield FixedCost(name, "snapshot", SNAPSHOTS, Decimal(size), used=disk in known)


def _load_prices(job: CostDeps, sizes: Sequence[str], notes: list[str]) -> PriceBook:
    """Fresh ones, else old ones with their age, else none, which the report then says."""
    try:
        return _fetch_prices(job, sizes)
    except Unavailable as error:
        log.warning("cost.prices_unavailable", extra={"error": str(error)})
    # Only after fresh ones failed, and for this report only: the cache outlives it.
    job.cache.accept_stale = True
    try:
        prices = _fetch_prices(job, sizes)
        if job.cache.oldest:
            notes.append(f"Prices are of {job.cache.oldest:%Y-%m-%d}: newer ones could not be had.")
        return prices
    except Unavailable:
        return PriceBook()
    finally:
        job.cache.accept_stale = False


def _fetch_prices(job: CostDeps, sizes: Sequence[str]) -> PriceBook:
    region = job.inventory.policy.cost.region
    amounts: dict[str, set[Decimal]] = {}
    commitments: dict[str, list[Commitment]] = {}
    for size in sizes:
        for price in (one for one in job.prices.list_machine_prices(size, region) if not one.windows):
            if price.kind is PriceKind.PAY_AS_YOU_GO:
                amounts.setdefault(size, set()).add(price.amount)
            elif price.kind in _KINDS:
                commitment = Commitment(_KINDS[price.kind], price.term_years, price.amount)
                commitments.setdefault(size, []).append(commitment)
    # Of several prices nobody knows which is paid: none is better than the wrong one.
    machines = {size: UnitPrice(min(known)) for size, known in amounts.items() if len(known) == 1}
    for size in sorted(amounts.keys() - machines.keys()):
        log.warning("cost.price_ambiguous", extra={"size": size, "amounts": sorted(map(str, amounts[size]))})
    for offers in commitments.values():
        offers.sort(key=lambda offer: (offer.kind, offer.years))
    listed = (*job.prices.list_storage_prices(region), *job.prices.list_address_prices(region))
    fixed_costs = {price.item: _unit_price(price) for price in listed}
    return PriceBook(machines, commitments, fixed_costs)


def _unit_price(price: ListPrice) -> UnitPrice:
    return UnitPrice(price.amount, "month" if price.unit.endswith("month") else "hour")


def report_as_dict(result: CostReportResult) -> dict[str, object]:
    """The report as JSON takes it: money as text, so that nothing is rounded."""
    report = result.report
    return {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "currency": report.currency,
        "machines": [
            {
                "machine": m.name, "size": m.size, "hours": str(m.hours), "hours_saved": str(m.hours_saved),
                "hours_unknown": str(m.hours_unknown),
                "hours_unscheduled": str(m.hours_unscheduled),
                "cost": _format_amount(m.cost), "saved": _format_amount(m.saved),
            }
            for m in report.machines
        ],
        "fixed_costs": {kind: _format_amount(amount) for kind, amount in report.fixed_costs.items()},
        "commitments": [
            {
                "machine": o.machine, "commitment": str(o.commitment), "break_even": str(o.break_even),
                "hours_a_week": str(o.hours_a_week), "monthly_difference": str(o.monthly_difference),
                "worth_it": o.is_worth_it,
            }
            for o in report.offers
        ],
        "savings": [{"change": s.change, "monthly": str(s.monthly)} for s in report.savings],
        "forecast": _format_amount(report.forecast),
        "budget": _format_amount(report.budget),
        "missing": list(report.missing),
        "notes": result.notes,
    }  # fmt: skip


def _format_amount(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
