"""The process may die at any step of a day: one start, one stop, people warned, and it ends well."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.cloud.machines import PowerState
from shared.kernel.errors import Unavailable
from shared.power import job as power

TICK = timedelta(minutes=5)


def count_steps(make_world, at) -> int:
    plan = FaultPlan()
    world = through_the_day(make_world, at, plan)
    assert world.power is PowerState.DEALLOCATED
    return len(plan.steps)


def through_the_day(make_world, at, plan: FaultPlan, survive: type[BaseException] = Killed):
    """Tick by tick; after a death or a failure the next tick is a new process's."""
    world = make_world()
    world.seal(at("2:00"))
    world.add()
    struck = False
    moment = at("7:00")
    while moment <= at("20:00"):
        world.clock.set(max(moment, world.clock.now()))
        if struck:
            world.tick()
        else:
            try:
                world.tick(plan)
            except survive:
                struck = True
                world.die()
        world.state.holders_died()  # a lease that could not be given back ends by itself
        if moment == at("7:40"):
            assert world.power is PowerState.RUNNING, plan.steps
            moment = at("18:35")
        moment += TICK
    return world


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_of_a_day_nothing_is_done_twice_and_nothing_is_left_undone(
    make_world, at, when
) -> None:
    steps = count_steps(make_world, at)
    assert steps > 100, "a day takes more steps than this, or the faults do not see them"
    for step in range(steps):
        plan = FaultPlan(Fault(Killed(), step=step, when=when))
        world = through_the_day(make_world, at, plan, Killed)
        told = f"killed {when} step {step}: {plan.steps[step]}"
        assert plan.dead, told
        assert world.power is PowerState.DEALLOCATED, told
        calls = world.machines.calls
        assert (calls["begin_start"], calls["begin_deallocate"]) == (1, 1), told
        warned = sum("stops at" in title for title in world.notifications.titles)
        assert warned in (1, 2), told
        assert sum("rocketchat is up" in title for title in world.notifications.titles) == 1, told


def test_an_outside_system_that_fails_once_at_any_step_costs_at_most_a_retry(make_world, at) -> None:
    for step in range(count_steps(make_world, at)):
        plan = FaultPlan(Fault(Unavailable("it does not answer"), step=step))
        world = through_the_day(make_world, at, plan, Unavailable)
        told = f"failed at step {step}: {plan.steps[step]}"
        assert world.power is PowerState.DEALLOCATED, told
        calls = world.machines.calls
        assert (calls["begin_start"], calls["begin_deallocate"]) == (1, 1), told


def test_killed_between_the_graceful_stop_and_the_deallocation_an_order_brings_the_services_back(
    make_world, at
) -> None:
    world = make_world()
    world.seal(at("2:00"))
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.tick()
    world.clock.set(at("19:00"))
    with contextlib.suppress(Killed):
        world.tick(FaultPlan(Fault(Killed(), operation="machines.begin_deallocate")))
    world.die()
    assert not world.serves()
    power.place_order(world.job(), "", "up for 2h", by="ana")
    world.run(at("19:40"))
    assert world.serves()
    assert world.scripts == ["stop", "start"]
    assert world.machines.calls["begin_deallocate"] == 0
