"""A year through the jobs: two machines, orders, holds, refusals, evictions, lost ticks.

What is wanted is looked up at each moment, never computed: the clock on the wall, the newest order in force.
The suite takes a week of it with each seed, `make simulate` the whole year.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.cloud.activity import ActivityEvent
from shared.cloud.machines import PowerState
from shared.kernel.errors import Refused
from shared.power import job as power
from shared.power.attempts import Act
from shared.power.overrides import Override
from shared.power.reconcile import TickResult
from shared.power.usage_ledger import UsageLedger
from tests.support.power_world import World

MINUTE, TICK = timedelta(minutes=1), timedelta(minutes=5)
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = int(os.environ.get("GROUNDCREW_SIMULATED_DAYS", "7"))
DENSITY = 4 if DAYS < 60 else 1  # so that a fortnight has all that a year has
POLICY = """
timezone: Europe/Berlin
backup: {when_vm_off: skip}
power:
  vacations: [{first: 2026-04-03, last: 2026-04-06}]
  machines:
    - {name: rocketchat, windows: [Mon-Fri 07:00-19:00], carries: [mongodb, rocketchat]}
    - {name: build, windows: [Mon-Sat 22:00-02:30], carries: []}
"""
VACATION = {date(2026, 4, day) for day in (3, 4, 5, 6)}
WARNING, MIN_UP = 15 * MINUTE, 30 * MINUTE
ORDERS = (
    "up for 45m", "up for 2h", "off for 3h", "off for 45m", "up until 22:00", "auto", "off tomorrow",
    "up tomorrow 10-14", "up saturday 10-14", "off until midnight", "up 3-5",
)  # fmt: skip
EVICTION = "microsoft.compute/virtualmachines/evictspotvm/action"
DEALLOCATION = "microsoft.compute/virtualmachines/deallocate/action"


def by_calendar(name: str, now: datetime) -> bool:
    """What the windows say at a moment, looked up on the clock of the wall."""
    local = now.astimezone(BERLIN)
    day, minute = local.date(), local.hour * 60 + local.minute
    if name == "rocketchat":
        return day.weekday() < 5 and day not in VACATION and 7 * 60 <= minute < 19 * 60
    before = day - timedelta(days=1)
    evening = day.weekday() < 6 and day not in VACATION and minute >= 22 * 60
    return evening or (before.weekday() < 6 and before not in VACATION and minute < 150)


@dataclass
class Watched:
    """A machine, and since when nothing has disturbed it."""

    name: str
    id: str
    calm_at: datetime
    ruler: tuple[str, bool] = ("", False)
    respected: bool = False  # a person stopped it, and nothing has changed since
    refused: bool = False  # Azure refused to stop it, and nothing has changed since
    warned: list[tuple[datetime, datetime]] = field(default_factory=list)  # when told, and for when


class Year:
    """The world, what happens in it, and what is found wrong."""

    def __init__(self, seed: int, begin: str = "2026-01-01") -> None:
        self.chance = random.Random(seed)
        self.world = World(POLICY)
        self.world.clock.set(datetime.fromisoformat(begin).replace(tzinfo=UTC))
        self.orders: list[tuple[str, Override]] = []
        self.holds: list[tuple[datetime, datetime]] = []
        now = self.world.clock.now()
        self.machines = [
            Watched(name, self.world.machines.add(name, power=PowerState.DEALLOCATED), now)
            for name in ("rocketchat", "build")
        ]
        self.world.id = self.machines[0].id
        self.counted: dict[str, int] = {}
        self.lost = False

    # What is wanted, by brute force

    def ruler(self, machine: Watched, now: datetime) -> tuple[str, bool]:
        """Whose word counts, and what it is."""
        for name, order in reversed(self.orders):
            if name in ("", machine.name) and order.start <= now < order.until:
                up = by_calendar(machine.name, now) if order.up is None else order.up
                return order.id, up
        return "", by_calendar(machine.name, now)

    def held(self, machine: Watched, now: datetime) -> bool:
        return machine.name == "rocketchat" and any(begin <= now < end for begin, end in self.holds)

    # What happens

    def step(self) -> None:
        now = self.world.clock.now()
        for machine in self.machines:
            self.follow(machine, now)
        self.lost = self.chance.random() < 0.03
        if self.lost:
            self.world.clock.advance(TICK * self.chance.choice([1, 1, 1, 12]))
            self.disturb(20 * MINUTE)
            return
        self.tick(now)
        self.check(self.world.clock.now())
        self.world.clock.advance(self.chance.choice([TICK, TICK, TICK, 4 * MINUTE, 6 * MINUTE]))

    def follow(self, machine: Watched, now: datetime) -> None:
        found = self.ruler(machine, now)
        if found != machine.ruler:
            machine.ruler, machine.respected, machine.refused = found, False, False
            machine.calm_at = max(machine.calm_at, now + 20 * MINUTE)

    def disturb(self, lasting: timedelta) -> None:
        for machine in self.machines:
            machine.calm_at = max(machine.calm_at, self.world.clock.now() + lasting)

    def tick(self, now: datetime) -> None:
        refusing = self.chance.random() < 0.02 * DENSITY
        plan = FaultPlan()
        if refusing:
            fault = Refused("Deallocate: locked", value="ScopeLocked", hint="by the lock keep")
            plan = FaultPlan(Fault(fault, operation="machines.begin_deallocate"))
        told = len(self.world.notifications.told)
        before = {m.name: self.world.machines.history(m.id)[-1] for m in self.machines}
        outcomes = {outcome.machine: outcome for outcome in power.run_tick(self.world.job(plan))}
        for notice in self.world.notifications.told[told:]:
            name, _, rest = notice.title.partition(" stops at ")
            if rest:
                # In the night in which summer ends the time has the name of its pass.
                shown, late = rest.removesuffix(" CEST").removesuffix(" CET"), rest.endswith(" CET")
                local = datetime.strptime(shown, "%a %Y-%m-%d %H:%M").replace(tzinfo=BERLIN, fold=late)
                at = local.astimezone(UTC)
                next(m for m in self.machines if m.name == name).warned.append((now, at))
        for machine in self.machines:
            acted = self.world.machines.history(machine.id)[-1] != before[machine.name]
            self.judge(machine, outcomes[machine.name], now, acted=acted)
        self.happen(outcomes, now)

    def judge(self, machine: Watched, outcome: TickResult, now: datetime, *, acted: bool) -> None:
        """Each start and stop, at the moment it is asked for."""
        if outcome.decision.act is Act.STOP and "locked" in outcome.error:
            machine.refused = True
            self.count("refused")
        if any("start failed" in reason for reason in outcome.decision.reasons):
            machine.calm_at = max(machine.calm_at, now + 70 * MINUTE)  # tried again with growing pauses
        if not acted:
            return
        wanted, told = self.ruler(machine, now)[1], f"{machine.name} at {now}: {outcome}"
        if outcome.decision.act is Act.START:
            self.count("started")
            assert wanted, told
            assert not machine.respected, told
        if outcome.decision.act is Act.STOP and not outcome.error:
            self.count("stopped")
            assert not wanted, told
            assert not self.held(machine, now), told
            self.check_warning(machine, now, told)

    def check_warning(self, machine: Watched, now: datetime, told: str) -> None:
        """People knew: told in time, for about now, and no order has come since."""
        assert machine.warned, told
        warned, announced = machine.warned[-1]
        assert warned + WARNING <= now, told
        assert announced <= now <= announced + WARNING, told
        orders = [order for name, order in self.orders if name in ("", machine.name)]
        assert not any(warned < order.created and order.start <= now for order in orders), told

    def happen(self, outcomes: dict[str, TickResult], now: datetime) -> None:
        # Most orders come when people read that the chat is about to stop.
        read = any(m.warned and now - m.warned[-1][0] < WARNING for m in self.machines)
        if self.chance.random() < (0.08 if read else 0.004):
            self.order()
        if self.chance.random() < 0.004 and self.orders:
            self.cancel(now)
        if self.chance.random() < 0.003:
            self.hold(now)
        if self.chance.random() < 0.002:
            self.world.machines.fail_start()
            self.disturb(20 * MINUTE)
        for machine in self.machines:
            decision = outcomes[machine.name].decision
            runs = self.world.machines.get_state(machine.id).power is PowerState.RUNNING
            if runs and decision.act is Act.NONE and decision.id.startswith("up@") and not machine.respected:
                self.lose(machine, now)

    def order(self) -> None:
        name = self.chance.choice(["", "rocketchat", "build"])
        given = power.place_order(self.world.job(), name, self.chance.choice(ORDERS), by="ana")
        self.orders.append((name, given))
        self.count("ordered")
        self.disturb(20 * MINUTE)

    def cancel(self, now: datetime) -> None:
        index = self.chance.randrange(len(self.orders))
        name, order = self.orders[index]
        if order.until > now and not order.cancelled_by:
            self.orders[index] = name, power.cancel_order(self.world.job(), order.id, by="ana")
            self.count("cancelled")
            self.disturb(20 * MINUTE)

    def hold(self, now: datetime) -> None:
        lasting = self.chance.choice([10, 60, 200]) * MINUTE
        self.world.job().inventory.holds.add_hold(f"work/{now.isoformat()}", "work", lasting)
        self.holds.append((now, now + lasting))
        self.count("held")
        self.disturb(lasting + 20 * MINUTE)

    def lose(self, machine: Watched, now: datetime) -> None:
        evicted = self.chance.random() < 0.002 * DENSITY
        if not evicted and self.chance.random() > 0.001 * DENSITY:
            return
        operation, caller = (EVICTION, "") if evicted else (DEALLOCATION, "ben@example.com")
        self.world.machines.set_power(machine.id, PowerState.DEALLOCATED)
        self.world.activity.add(machine.id, ActivityEvent(now, operation, "Succeeded", "", caller))
        machine.respected = not evicted
        machine.calm_at = max(machine.calm_at, now + 70 * MINUTE)
        self.count("evicted" if evicted else "stopped by a person")

    def count(self, what: str) -> None:
        self.counted[what] = self.counted.get(what, 0) + 1

    # What must be

    def check(self, now: datetime) -> None:
        for machine in self.machines:
            wanted, state = machine.ruler[1], self.world.machines.get_state(machine.id).power
            told = f"{machine.name} is {state} at {now}, {machine}"
            if wanted and not machine.respected and now >= machine.calm_at:
                assert state is PowerState.RUNNING, told
            if wanted and machine.respected:
                assert state is PowerState.DEALLOCATED, told
            settled = machine.calm_at + WARNING + MIN_UP + 20 * MINUTE
            if not wanted and not machine.refused and not self.held(machine, now) and now >= settled:
                assert state is PowerState.DEALLOCATED, told

    def true_hours(self, machine: Watched, since: datetime, until: datetime) -> timedelta:
        """For how long the stand-in had it allocated, from running to deallocated."""
        on, total, began = False, timedelta(), since
        for at, state in self.world.machines.history(machine.id):
            if state is PowerState.RUNNING and not on:
                on, began = True, at
            if state is PowerState.DEALLOCATED and on:
                on = False
                total += max(timedelta(), min(at, until) - max(began, since))
        return total + (max(timedelta(), until - max(began, since)) if on else timedelta())


# The weeks in which clocks change, and from January where it is a year.
WEEKS = [(1, "2026-03-28"), (2, "2026-10-22")] if DAYS < 365 else [(1, "2026-01-01"), (2, "2026-01-01")]


@pytest.mark.timeout(60 + 10 * DAYS)
@pytest.mark.parametrize(("seed", "week"), WEEKS)
def test_machines_are_up_exactly_when_they_should_be_and_the_ledger_agrees(seed: int, week: str) -> None:
    year = Year(seed, week)
    begin = year.world.clock.now()
    end = begin + timedelta(days=DAYS)
    while year.world.clock.now() < end or year.lost:
        year.step()
    until = year.world.clock.now()
    ledger = UsageLedger(year.world.state)
    print(f"\nseed {seed}, {DAYS} days: {sum(year.counted.values())} events {sorted(year.counted.items())}")
    for machine in year.machines:
        on, unknown = ledger.sum_hours(machine.name, begin, until)
        true = year.true_hours(machine, begin, until)
        print(f"{machine.name}: {true} up, the ledger says {on} and does not know {unknown}")
        # Where a month begins, what changed since the last tick is dated by the first one after.
        tolerance = 10 * MINUTE * (1 + DAYS // 28)
        assert abs(on - year.true_hours(machine, begin, until)) <= tolerance
        assert unknown <= 70 * MINUTE
    assert year.counted["started"] >= DAYS // 2
    assert year.counted["stopped"] >= DAYS // 3
