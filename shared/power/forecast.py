"""When machines will be up in the days ahead, by calendar and orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.errors import NotFound
from shared.power.inventory import Fleet, key_of
from shared.power.model import calendar_of
from shared.power.override_store import of
from shared.power.overrides import Override, wish
from shared.power.schedule import Calendar


@dataclass(frozen=True, slots=True)
class Span:
    """A span without a change."""

    machine: str
    up: bool
    since: datetime
    until: datetime
    because: str


def ahead(fleet: Fleet, machine: str, reach: timedelta) -> list[Span]:
    """The spans of one machine, or of all of policy's entries, from now on. Asks nothing of Azure.

    Raises `NotFound` for a machine that policy does not name.
    """
    now, orders = fleet.clock.now(), fleet.orders.all()
    found: list[Span] = []
    for rule in fleet.policy.power.machines:
        if machine and rule.label.lower() != machine.lower():
            continue
        calendar = calendar_of(rule, fleet.policy.timezone, fleet.day_off)
        found += spans(rule.label, calendar, of(orders, key_of(rule.label, rule.kind)), now, now + reach)
    if machine and not found:
        names = ", ".join(rule.label for rule in fleet.policy.power.machines) or "none"
        raise NotFound("no such machine under schedule", value=machine, hint=f"policy.yaml names: {names}.")
    return found


def spans(
    machine: str, calendar: Calendar, orders: tuple[Override, ...], since: datetime, until: datetime
) -> Iterator[Span]:
    """The spans between two moments, in order, without gaps."""
    moment = since
    while moment < until:
        wanted = wish(calendar, orders, moment)
        end = until if wanted.until is None else min(wanted.until, until)
        yield Span(machine, wanted.up, moment, end, wanted.because)
        moment = end


def up_time(calendar: Calendar, orders: tuple[Override, ...], since: datetime, until: datetime) -> timedelta:
    """For how long calendar and orders want the machine up between two moments."""
    parts = (span.until - span.since for span in spans("", calendar, orders, since, until) if span.up)
    return sum(parts, timedelta())
