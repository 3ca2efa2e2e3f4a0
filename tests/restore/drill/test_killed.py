"""The drill may die at any step: the next one drops what was left, and proves the set."""

from __future__ import annotations

import contextlib

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from local.fakes.reporter import ListReporter
from shared.formats.proofs import PROVEN
from shared.kernel.errors import Refused, Unavailable
from shared.restore.drill.job import run_drill
from tests.support.drill_world import DrillWorld


def make_drills() -> DrillWorld:
    drills = DrillWorld()
    drills.world.seed(collections=1, documents=1)
    drills.seal()
    return drills


def count_steps() -> int:
    plan = FaultPlan()
    run_drill(make_drills().deps(plan), ListReporter())
    return len(plan.steps)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_the_next_drill_cleans_up_and_proves(when) -> None:
    steps = count_steps()
    assert steps > 40, "the drill takes more steps than this, or the faults do not see them"
    for step in range(steps):
        drills, plan = make_drills(), FaultPlan(Fault(Killed(), step=step, when=when))
        with contextlib.suppress(Killed):
            run_drill(drills.deps(plan), ListReporter())
            pytest.fail(f"survived {when} step {step}: {plan.steps[step]}")
        drills.world.die()
        proof = run_drill(drills.deps(), ListReporter())
        assert proof.outcome == PROVEN, f"{when} step {step}: {plan.steps[step]}: {proof.problem}"
        assert drills.scratch.contents() == {}, f"{when} step {step}: {plan.steps[step]}"
        assert drills.records.ignored == ()


def test_whatever_fails_once_leaves_nothing_behind_that_the_next_drill_does_not_remove() -> None:
    for step in range(count_steps()):
        drills = make_drills()
        with contextlib.suppress(Unavailable, Refused):
            run_drill(drills.deps(FaultPlan(Fault(Unavailable("no answer"), step=step))), ListReporter())
        drills.world.die()
        assert run_drill(drills.deps(), ListReporter()).outcome == PROVEN
        assert drills.scratch.contents() == {}
