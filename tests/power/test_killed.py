"""The process may die at any step of a day: one start, one stop, people warned, and it ends well."""

from __future__ import annotations

import contextlib
import copy
from datetime import timedelta

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.cloud.machines import PowerState
from shared.kernel.errors import Unavailable
from shared.power import job as power
from tests.support.deaths import WatchedSteps

TICK = timedelta(minutes=5)


def begin_day(make_world, at):
    world = make_world()
    world.seal(at("2:00"))
    world.add()
    return world


def watch_day(make_world, at) -> WatchedSteps:
    """The steps of a day on which nothing goes wrong."""
    world = begin_day(make_world, at)
    watched = WatchedSteps(world)
    go_through_day(world, at, watched)
    assert world.power is PowerState.DEALLOCATED
    assert len(watched.steps) > 100, "a day takes more steps than this, or the faults do not see them"
    return watched


def go_through_day(
    world, at, plan: FaultPlan, survive: type[BaseException] = Killed, *, since=None, before_tick=None
) -> None:
    """Tick by tick from `since` on; after a death or a failure the next tick is a new process's."""
    struck = False
    moment = since or at("7:00")
    while moment <= at("20:00"):
        if before_tick:
            before_tick(moment)
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


def test_killed_at_every_step_of_a_day_nothing_is_done_twice_and_nothing_is_left_undone(
    make_world, at
) -> None:
    deaths = watch_day(make_world, at).list_deaths()
    assert len(deaths) > 40, "a day writes more often than this"
    for death in deaths:
        plan, world = FaultPlan(death), begin_day(make_world, at)
        go_through_day(world, at, plan, Killed)
        told = f"killed {death.when} step {death.step}: {plan.steps[death.step]}"
        assert plan.is_dead, told
        assert world.power is PowerState.DEALLOCATED, told
        calls = world.machines.calls
        assert (calls["begin_start"], calls["begin_deallocate"]) == (1, 1), told
        warned = sum("stops at" in title for title in world.notifications.titles)
        assert warned in (1, 2), told
        assert sum("rocketchat is up" in title for title in world.notifications.titles) == 1, told


def test_an_outside_system_that_fails_once_at_any_step_costs_at_most_a_retry(make_world, at) -> None:
    # What was before the tick that fails is the same each time: each day goes on from there.
    begun, counted, ticks = begin_day(make_world, at), FaultPlan(), []

    def keep(moment) -> None:
        ticks.append((len(counted.steps), moment, copy.deepcopy(begun)))

    go_through_day(begun, at, counted, before_tick=keep)
    assert len(counted.steps) > 100
    for step, operation in enumerate(counted.steps):
        first, moment, earlier = next(tick for tick in reversed(ticks) if tick[0] <= step)
        plan = FaultPlan(Fault(Unavailable("it does not answer"), step=step - first))
        world = copy.deepcopy(earlier)
        go_through_day(world, at, plan, Unavailable, since=moment)
        told = f"failed at step {step}: {operation}"
        assert plan.steps[step - first] == operation, told
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
