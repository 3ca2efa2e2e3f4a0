"""When machines will be up in the days ahead, by calendar and orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.cloud.tags import has_tag
from shared.kernel.errors import NotFound
from shared.power.inventory import Inventory
from shared.power.model import schedule_for
from shared.power.override_store import for_machine
from shared.power.overrides import Override, desired_state
from shared.power.schedule import Schedule
from shared.power.targets import machine_key

if TYPE_CHECKING:
    from shared.policy import MachinePolicy


@dataclass(frozen=True, slots=True)
class ForecastSpan:
    """A span without a change."""

    machine: str  # its name, or the tag of an entry that no machine is known for yet
    up: bool
    since: datetime
    until: datetime  # the end of the forecast where nothing changes before
    reason: str  # schedule or order, as the tick would give it


def forecast_spans(inventory: Inventory, machine: str, reach: timedelta) -> list[ForecastSpan]:
    """The spans of one machine, or of all of policy's entries, from now on. Asks nothing of Azure.

    Raises `NotFound` for a machine that policy does not name.
    """
    now, orders = inventory.clock.now(), inventory.orders.all()
    rows: list[ForecastSpan] = []
    taken: set[str] = set()
    for rule in inventory.policy.power.machines:
        schedule = schedule_for(rule, inventory.policy.timezone, inventory.day_off)
        for name in _find_names(inventory, rule, taken):
            if machine and machine.lower() not in (name.lower(), rule.label.lower()):
                continue
            own_orders = for_machine(orders, machine_key(name, rule.kind))
            rows += iter_spans(name, schedule, own_orders, now, now + reach)
    if machine and not rows:
        names = ", ".join(rule.label for rule in inventory.policy.power.machines) or "none"
        raise NotFound("no such machine under schedule", value=machine, hint=f"policy.yaml names: {names}.")
    return rows


def _find_names(inventory: Inventory, rule: MachinePolicy, taken: set[str]) -> list[str]:
    """The machines of an entry: its name, or those that the last tick found by its tag; else the tag."""
    if rule.name:
        return [rule.name]
    # What the last tick wrote down: a forecast must not wait for Azure, and works on a laptop without rights.
    known = inventory.records.load_tags(rule.kind)
    ids = [] if known is None else [one for one, tags in known[1].items() if has_tag(tags, rule.tag or "")]
    free = [one for one in sorted(ids) if one not in taken]
    taken.update(free)  # one that two entries fit belongs to the first
    return [one.rpartition("/")[2] for one in free] or [rule.label]


def iter_spans(
    machine: str, schedule: Schedule, orders: tuple[Override, ...], since: datetime, until: datetime
) -> Iterator[ForecastSpan]:
    """The spans between two moments, in order, without gaps."""
    time = since
    while time < until:
        desired = desired_state(schedule, orders, time)
        end = until if desired.until is None else min(desired.until, until)
        yield ForecastSpan(machine, desired.up, time, end, desired.reason)
        time = end


def scheduled_up_time(
    schedule: Schedule, orders: tuple[Override, ...], since: datetime, until: datetime
) -> timedelta:
    """For how long calendar and orders want the machine up between two moments."""
    parts = (span.until - span.since for span in iter_spans("", schedule, orders, since, until) if span.up)
    return sum(parts, timedelta())
