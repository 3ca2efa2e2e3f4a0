"""How long each machine ran on each day of the reported week, beside what was planned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from shared.cost.deps import CostDeps
from shared.power.forecast import scheduled_up_time
from shared.power.model import schedule_for
from shared.power.override_store import for_machine
from shared.power.usage_ledger import UsageLedger

_HOUR = timedelta(hours=1)


def list_daily_uptime(job: CostDeps, since: datetime, until: datetime) -> list[dict[str, object]]:
    """By machine and day of the zone: hours planned by calendar and orders, run, and not known."""
    inventory, days = job.inventory, list(_iter_days(job, since, until))
    ledger, orders = UsageLedger(inventory.state), inventory.orders.all()
    uptime: list[dict[str, object]] = []
    for kind in inventory.kinds:
        for target in inventory.targets(kind):
            schedule = schedule_for(target.rules, inventory.policy.timezone, inventory.day_off)
            own = for_machine(orders, target.key)
            for day, begin, end in days:
                ran, unknown = ledger.sum_hours(target.key, begin, end)
                uptime.append(
                    {
                        "machine": target.key,
                        "day": day.isoformat(),
                        "planned": round(scheduled_up_time(schedule, own, begin, end) / _HOUR, 2),
                        "ran": round(ran / _HOUR, 2),
                        "unknown": round(unknown / _HOUR, 2),
                    }
                )
    return uptime


def _iter_days(job: CostDeps, since: datetime, until: datetime) -> Iterator[tuple[date, datetime, datetime]]:
    day, last = since.astimezone(job.zone).date(), until.astimezone(job.zone).date()
    while day < last:
        following = day + timedelta(days=1)
        # By the zone's midnights: a day in spring has 23 hours, one in autumn 25.
        yield day, datetime.combine(day, time(), job.zone), datetime.combine(following, time(), job.zone)
        day = following
