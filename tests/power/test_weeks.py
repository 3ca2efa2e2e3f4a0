"""Weeks of bad luck: faults, lost and doubled ticks, views that lag, orders, holds, starts that fail."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.cloud.machines import PowerState
from shared.kernel.errors import Conflict, GroundcrewError, Unavailable
from shared.policy import days_off
from shared.power import job as power
from shared.power.attempts import Act
from shared.power.model import schedule_for
from shared.power.override_store import for_machine
from shared.power.overrides import desired_state

MINUTE = timedelta(minutes=1)
CALM = 80 * MINUTE
MACHINES = [
    "machines.list_states",
    "machines.begin_start",
    "machines.begin_deallocate",
    "machines.run_command",
]
STEPS = [*MACHINES, "state.replace", "state.lease.enter", "notifications.notify"]


class Luck:
    """Storms of an hour or two, and calm between them."""

    def __init__(self, world, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        self.disturbed = world.clock.now()
        self.storm_until = world.clock.now()
        self.acts: Counter[tuple[str, str]] = Counter()

    def step(self) -> datetime:
        """A tick, or none, or two; returns the time."""
        storm = self.world.clock.now() < self.storm_until
        lost = self.chance.random() < (0.1 if storm else 0.0)
        self.world.clock.advance(5 * MINUTE * (self.chance.choice([4, 30]) if lost else 1))
        now = self.world.clock.now()
        if self.chance.random() < 0.006:
            self.storm_until = now + self.chance.choice([30, 60, 120]) * MINUTE
        if storm:
            self.disturbed = now
            self._bad_luck()
        for _ in range(self.chance.choice([1, 1, 1, 2])):
            self._tick(fails=storm and self.chance.random() < 0.4)
        return now

    def _bad_luck(self) -> None:
        if self.chance.random() < 0.1:
            self.world.job().inventory.holds.add_hold(
                "deploy/1", "deploy 1", self.chance.choice([10, 30]) * MINUTE
            )
        if self.chance.random() < 0.1 and not self.world.machines._failures:
            self.world.machines.fail_start()

    def _tick(self, *, fails: bool) -> None:
        if not fails:
            outcome = self.world.tick()
            if outcome.decision.act in (Act.START, Act.STOP) and not outcome.error:
                self.acts[str(outcome.decision.act), outcome.decision.id] += 1
            return
        throttled = Unavailable("throttled", value="TooManyRequests")
        error = self.chance.choice([Unavailable("lost"), throttled, Conflict("busy"), Killed()])
        fault = Fault(
            error, operation=self.chance.choice(STEPS), when=self.chance.choice(["before", "after"])
        )
        try:
            self.world.tick(FaultPlan(fault))
        except (GroundcrewError, Killed):
            pass
        finally:
            self.world.state.holders_died()


@pytest.mark.parametrize("seed", range(2))
def test_when_it_was_calm_for_a_while_it_is_what_it_should_be_whatever_went_before(
    make_world, at, seed: int
) -> None:
    world, chance = make_world(), random.Random(seed)
    world.seal(at("2:00"))
    world.add()
    world.machines.lag = MINUTE
    schedule = schedule_for(world.policy.power.machines[0], "Europe/Berlin", days_off(world.policy.power))
    luck, wanted, checked = Luck(world, chance), None, Counter[bool]()
    while world.clock.now() < at("0:00", 9):
        if chance.random() < 0.008:
            text = chance.choice(["up for 90m", "off for 3h", "up for 10h", "auto", "off for 20m"])
            power.place_order(world.job(), "", text, by="ana")
        now = luck.step()
        up = desired_state(schedule, for_machine(world.job().inventory.orders.all(), "rocketchat"), now).up
        if up is not wanted or world.machines._failures:
            luck.disturbed, wanted = now, up
        if now - luck.disturbed > CALM:
            checked[up] += 1
            assert world.power is (PowerState.RUNNING if up else PowerState.DEALLOCATED), (now, world.record)
    assert min(checked[True], checked[False]) > 200
    assert max(luck.acts.values()) <= 3  # more than one only where the one before had failed


def test_without_faults_there_is_one_start_and_one_stop_for_each_decision(make_world, at) -> None:
    world, chance = make_world(), random.Random(7)
    world.seal(at("2:00"))
    world.add()
    world.machines.lag = MINUTE
    luck = Luck(world, chance)
    while world.clock.now() < at("0:00", 9):
        luck.storm_until = world.clock.now()
        if chance.random() < 0.015:
            power.place_order(world.job(), "", chance.choice(["up for 90m", "off for 3h", "auto"]), by="ana")
        luck.step()
    assert set(luck.acts.values()) == {1}
    assert len(luck.acts) >= 20
