"""What people tell power: orders for a time, their cancelling, and holds that put off a stop."""

from __future__ import annotations

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

from shared.kernel.durations import format_duration
from shared.kernel.errors import NotFound, UsageError
from shared.power.deps import PowerDeps
from shared.power.inventory import Inventory
from shared.power.override_store import ALL_MACHINES
from shared.power.overrides import Override, parse_override
from shared.power.targets import machine_key
from shared.power.times import parse_duration_text
from shared.records.audit import AuditTrail
from shared.records.hold import Hold

_HOLD_PREFIX = "operator/"


def place_order(power: PowerDeps, machine: str, text: str, *, by: str) -> Override:
    """Put an order on record: "up until 22:00", "off tomorrow", "auto"; `machine` empty means all.

    Raises `UsageError` for what is no order, `NotFound` for a machine that policy does not name.
    """
    inventory = power.inventory
    key = find_machine_key(inventory, machine) if machine else ALL_MACHINES
    override = parse_override(text, ZoneInfo(inventory.policy.timezone), power.now, by=by)
    # The order first, then the trail: one that is on record and not in the trail is seen; the other way round
    # it would be a lie.
    saved = inventory.orders.add(key, override)
    AuditTrail(inventory.state, inventory.clock).append(by, "power.order_added", key, text)
    return saved


def cancel_order(power: PowerDeps, order_id: str, *, by: str) -> Override:
    """End one order now, whoever gave it; the others stay. Raises `NotFound` for one that has ended."""
    machine, order = power.inventory.orders.cancel(order_id, by=by)
    trail = AuditTrail(power.inventory.state, power.inventory.clock)
    trail.append(by, "power.order_cancelled", machine, order.id)
    return order


def list_orders(inventory: Inventory) -> list[tuple[str, Override]]:
    """The orders in force or ahead with their machine (`every` for all), by when they begin."""
    now = inventory.clock.now()
    active = [
        (machine, order)
        for machine, orders in inventory.orders.all().items()
        for order in orders
        if now < order.until and order.start < order.until
    ]
    return sorted(active, key=lambda pair: (pair[1].start, pair[1].created, pair[1].id))


def place_hold(power: PowerDeps, lasting: str, why: str, *, by: str) -> Hold:
    """Put off every stop of the server's machine for a while, without starting it; a second one replaces it.

    Raises `UsageError` for what is no duration, or is longer than policy's longest hold.
    """
    longest, now = power.inventory.policy.power.max_hold, power.now
    until = parse_duration_text(lasting, now)
    if not timedelta() < until - now <= longest:
        hint = f"A hold lasts at most {format_duration(longest)} (power.max_hold); an order lasts longer."
        raise UsageError("not the length of a hold", value=repr(lasting[:40]), hint=hint)
    what = f"{by}: {' '.join(why.split())[:80]}" if why.strip() else by
    hold = power.inventory.holds.add_hold(_hold_name(by), what, until - now)
    AuditTrail(power.inventory.state, power.inventory.clock).append(by, "power.hold_put", "", what)
    return hold


def release_hold(power: PowerDeps, of: str, *, by: str) -> None:
    """Take back somebody's hold; where there is none, nothing happens."""
    power.inventory.holds.release_hold(_hold_name(of))
    AuditTrail(power.inventory.state, power.inventory.clock).append(by, "power.hold_released", "", of)


def find_machine_key(inventory: Inventory, machine: str) -> str:
    """What state calls the machine that is meant by a name, key or id. Raises `NotFound`."""
    named = [
        (rule.name, machine_key(rule.name, rule.kind))
        for rule in inventory.policy.power.machines
        if rule.name
    ]
    known = {text.lower(): key for name, key in named for text in (name, key)}
    if machine.lower() in known:
        return known[machine.lower()]
    targets = [target for kind in inventory.kinds for target in inventory.targets(kind)]
    matching = next((target.key for target in targets if target.is_called(machine)), None)
    if matching is None:
        names = ", ".join(target.key for target in targets)
        hint = f"There are: {names}." if names else "policy.yaml names none under power.machines."
        raise NotFound("no such machine under schedule", value=machine, hint=hint)
    return matching


def _hold_name(by: str) -> str:
    # A part of a blob's name, and names of people come from outside.
    return _HOLD_PREFIX + (re.sub(r"[^a-z0-9.@_-]", "-", by.lower())[:64] or "nobody")
