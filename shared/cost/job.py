"""Cost: hours from the ledger, money from list prices, and what would save most, once a week.

What cannot be known is said, not guessed: a price that is missing, hours that nobody saw, and what
incremental snapshots hold, which Azure does not tell.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from shared.cloud.machines import Machine
from shared.cost.decide import compute_report
from shared.cost.deps import CostDeps
from shared.cost.fixed import list_fixed_costs
from shared.cost.history import LAST_REPORT, extend_weeks, summarize_week
from shared.cost.model import CostReport, MachineUse, UsageSpan
from shared.cost.pricing import load_prices, several_of
from shared.cost.render import render_report
from shared.cost.uptime import list_daily_uptime
from shared.kernel.codec import encode_json
from shared.kernel.durations import format_duration
from shared.kernel.errors import AlreadyExists
from shared.notifications.ports import Notice, Severity
from shared.power.forecast import scheduled_up_time
from shared.power.model import schedule_for
from shared.power.override_store import for_machine
from shared.power.targets import Target
from shared.power.usage_ledger import UsageLedger

log = logging.getLogger(__name__)

WEEK, YEAR = timedelta(days=7), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class ReportSpan:
    """The reported period, and the month that is forecast."""

    since: datetime
    until: datetime
    month_began: datetime
    month_ends: datetime


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
    # Named by the week and not by the run: whoever reports it first has reported it.
    name = f"cost/{since.astimezone(job.zone):%Y-%m-%d}.txt"
    if next(iter(job.inventory.state.list(name)), None):
        return f"nothing to do: {name} is there"
    result = build_report(job, since, until)
    text = result.text(job.zone)
    # The first line is the title: it says hours and money, and is all that a phone shows.
    first, *rest = text.splitlines()
    notice = Notice(Severity.INFO, first, "```\n" + "\n".join(rest).strip() + "\n```", key=name)
    # Before it is on record: a death in between tells it twice, under the same key, rather than never.
    job.notifications.notify(notice)
    try:
        job.inventory.state.create(name, text.encode())
    except AlreadyExists:
        # Another instance was faster: told twice under one key, people get it once.
        log.info("cost.already_reported", extra={"report": name})
    weeks = extend_weeks(job.inventory.state, summarize_week(result.report))
    uptime = list_daily_uptime(job, since, until)
    data = encode_json({**report_as_dict(result), "weeks": weeks, "uptime": uptime})
    job.inventory.state.replace(LAST_REPORT, data, etag=None)
    return f"sent report {name}"


def build_report(job: CostDeps, since: datetime, until: datetime) -> CostReportResult:
    """The report of a span. Raises what keeps machines or disks from being listed."""
    # A span that ends on the first at midnight belongs to the month before.
    month = (until - timedelta.resolution).astimezone(job.zone).date().replace(day=1)
    # No month has more than 31 days, so the 32nd day is in the next one.
    following = (month + timedelta(days=32)).replace(day=1)
    began, ends = (datetime.combine(day, time(), job.zone) for day in (month, following))
    notes: list[str] = []
    span = ReportSpan(since, until, began, ends)
    uncounted: list[str] = []
    uses = list(_machine_uses(job, span, notes, uncounted))
    fixed_costs = list_fixed_costs(job, notes)
    sizes = {(size, use.region) for use in uses for size in (use.size, *use.alternatives)}
    regions = {item.region for item in fixed_costs.items}
    prices = load_prices(job, sorted(sizes), sorted(regions), notes)
    report = compute_report(
        uses,
        fixed_costs.items,
        prices,
        job.inventory.policy.cost,
        since,
        until,
        began,
        [*fixed_costs.uncounted, *uncounted],
    )
    return CostReportResult(report, notes)


def last_full_week(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The last full week from Monday to Monday on the zone's clock."""
    # By the zone's calendar: at 00:30 in Berlin, UTC is still on Sunday.
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    return datetime.combine(monday - WEEK, time(), zone), datetime.combine(monday, time(), zone)


def _list_machines(job: CostDeps, notes: list[str]) -> Iterator[tuple[Target, Machine]]:
    for kind in job.inventory.kinds:
        # One listing per kind: a question for each machine would be throttled in a large subscription.
        ordered = {machine.id: machine for machine in job.inventory.switches[kind].list()}
        for target in job.inventory.targets(kind):
            # Policy may name a machine that was removed: the report is of the others, and says so.
            if machine := ordered.get(target.id):
                yield target, machine
            else:
                notes.append(f"{target.key} was not found and is left out.")


def _machine_uses(
    job: CostDeps, span: ReportSpan, notes: list[str], uncounted: list[str]
) -> Iterator[MachineUse]:
    for target, machine in _list_machines(job, notes):
        use = _machine_use(job, target, machine, span, notes)
        if target.kind == "vm":
            yield use
            continue
        uncounted.append(f"{use.name}: its own fee, load balancers, and disks outside of its group")
        yield from _pool_uses(machine, use, uncounted)


def _pool_uses(machine: Machine, use: MachineUse, uncounted: list[str]) -> Iterator[MachineUse]:
    """A cluster as its pools: each of so many nodes of one size, which run while the cluster does."""
    for pool in machine.pools:
        name = f"{use.name}/{pool.name}"
        # Left out by name: a guess in the middle of a sum is taken for knowledge.
        if pool.scales or pool.windows or not pool.size:
            why = "their number changes by itself" if pool.scales else "Windows is not priced"
            uncounted.append(f"the nodes of {name}: {why}")
            continue
        # Sizes to compare with are of single machines.
        yield replace(use, name=name, size=several_of(pool.count, pool.size), alternatives=())


def _machine_use(
    job: CostDeps, target: Target, machine: Machine, span: ReportSpan, notes: list[str]
) -> MachineUse:
    inventory = job.inventory
    schedule = schedule_for(target.rules, inventory.policy.timezone, inventory.day_off)
    orders = for_machine(inventory.orders.all(), target.key)
    ledger = UsageLedger(inventory.state)
    since, until = span.since, span.until
    # From the month's start too: the forecast counts what ran before the span.
    known = ledger.list_intervals(target.key, min(since, span.month_began), until)
    _, unknown = ledger.sum_hours(target.key, since, until)
    _, unknown_in_month = ledger.sum_hours(target.key, span.month_began, until)
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
        planned=scheduled_up_time(schedule, orders, until, max(until, span.month_ends)),
        year_ahead=scheduled_up_time(schedule, orders, until, until + YEAR),
        alternatives=tuple(size for size in inventory.policy.cost.skus if size != machine.size),
        # Policy's region is for what is nowhere yet; a machine is paid for where it is.
        region=machine.location.replace(" ", "").lower() or inventory.policy.cost.region,
        unknown=unknown,
        unknown_in_month=unknown_in_month,
    )


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
        "uncounted": list(report.uncounted),
        "notes": result.notes,
    }  # fmt: skip


def _format_amount(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
