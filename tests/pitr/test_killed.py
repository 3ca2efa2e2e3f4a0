"""The capture may die at any step: what is stored restores every moment that was captured, and no other."""

from __future__ import annotations

import contextlib

import bson
import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import Unavailable
from shared.mongodb.model import Timestamp
from shared.pitr.capture import capture_oplog
from tests.support.capture_world import CaptureWorld


def make_captures() -> tuple[CaptureWorld, list[Timestamp]]:
    """A captured slice, and writes that are not captured yet."""
    captures, moments = CaptureWorld(), []
    captures.world.seed(collections=1, documents=1)
    captures.seal()
    for value in range(3):
        captures.database.write("rocketchat", "c0", {"_id": 1, "v": value})
        moments.append(captures.database.newest())
        if value == 0:
            captures.capture()
    captures.sync()
    return captures, moments


def count_steps() -> int:
    captures, _ = make_captures()
    plan = FaultPlan()
    capture_oplog(captures.deps(plan))
    return len(plan.steps)


@pytest.mark.parametrize("error", [Killed(), Unavailable("no answer")], ids=["killed", "failed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_or_failed_at_every_step_the_next_run_captures_all_without_a_gap(error, when) -> None:
    steps = count_steps()
    assert steps >= 10, "the capture takes more steps than this, or the faults do not see them"
    for step in range(steps):
        captures, moments = make_captures()
        plan = FaultPlan(Fault(error, step=step, when=when))
        with contextlib.suppress(Killed, Unavailable):
            capture_oplog(captures.deps(plan))
        captures.world.die()
        capture_oplog(captures.deps())
        assert captures.state.gap == "", f"{when} step {step}: {plan.steps[step]}"
        assert captures.begun == []
        for value, moment in enumerate(moments):
            result, target = captures.restore(moment)
            assert result.proven, f"{when} step {step}: {plan.steps[step]}"
            (kept,) = [d for d in target.contents()["rocketchat.c0"] if bson.decode(d)["_id"] == 1]
            assert bson.decode(kept)["v"] == value
