"""The process may die at any step: nothing incomplete is ever listed, and a second run finishes."""

from __future__ import annotations

import contextlib

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from local.fakes.mongodb import MemoryDatabase
from shared.backup import job as backup
from shared.kernel.errors import Unavailable
from tests.support.deaths import WatchedSteps

SIZES = [pytest.param(1 << 20, id="one part"), pytest.param(800, id="many parts")]


def run_all(world, plan: FaultPlan) -> None:
    job = world.job(plan)
    backup.run_nightly(job)
    world.work(job)


def count_steps(make_world, part_bytes: int) -> int:
    world, plan = make_world(part_bytes), FaultPlan()
    world.seed()
    run_all(world, plan)
    return len(plan.steps)


def list_deaths(make_world, part_bytes: int) -> list[Fault]:
    """Those after which the world is another, which are few: most steps read."""
    world = make_world(part_bytes)
    world.seed()
    watched = WatchedSteps(world)
    run_all(world, watched)
    assert len(watched.steps) > 40, "a backup takes more steps than this, or the faults do not see them"
    return watched.list_deaths()


@pytest.mark.parametrize("part_bytes", SIZES)
def test_killed_at_every_step_nothing_incomplete_is_listed_and_a_second_run_finishes(
    make_world, part_bytes: int
) -> None:
    deaths = list_deaths(make_world, part_bytes)
    assert len(deaths) > 15, "a backup writes more often than this"
    for death in deaths:
        world = make_world(part_bytes)
        world.seed()
        plan, where = FaultPlan(death), f"{death.when} step {death.step}"
        with pytest.raises(Killed):
            run_all(world, plan)
            pytest.fail(f"survived {where}: {plan.steps[death.step]}")
        world.die()
        world.verify()
        begun_before = len(world.sealed())
        # What is left on the queue comes back first; then the timer, or catch_up, sees to the rest.
        world.work(world.job())
        backup.run_nightly(world.job())
        world.work(world.job())
        world.verify()
        assert len(world.sealed()) == 1, f"killed {where}: {begun_before} sealed before"
        target = MemoryDatabase("target:27017")
        assert world.restore(target).proven
        assert target.contents() == world.database.contents()


@pytest.mark.parametrize("when", ["before", "after"])
def test_no_handler_takes_the_death_of_the_process_for_a_failure(make_world, when) -> None:
    for step in range(count_steps(make_world, 1 << 20)):
        world = make_world(1 << 20)
        world.seed()
        plan = FaultPlan(Fault(Killed(), step=step, when=when))
        with pytest.raises(Killed):
            run_all(world, plan)
            pytest.fail(f"survived {when} step {step}: {plan.steps[step]}")


@pytest.mark.parametrize("part_bytes", SIZES)
def test_an_outside_system_that_fails_once_at_any_step_costs_at_most_a_retry(
    make_world, part_bytes: int
) -> None:
    for step in range(count_steps(make_world, part_bytes)):
        world = make_world(part_bytes)
        world.seed()
        with contextlib.suppress(Unavailable):
            run_all(world, FaultPlan(Fault(Unavailable("storage does not answer"), step=step)))
        world.verify()
        world.die()
        for _ in range(3):  # the queue's own retries
            with contextlib.suppress(Unavailable):
                world.work(world.job())
        backup.run_nightly(world.job())
        world.work(world.job())
        world.verify()
        assert len(world.sealed()) == 1
