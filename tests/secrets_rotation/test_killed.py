"""A rotation that is killed at every single step: nobody is locked out, and it ends all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from local.fakes.secrets import Way
from shared.kernel.errors import Refused
from shared.secrets_rotation import job
from shared.secrets_rotation.model import RotationStep
from tests.support.rotation_world import CHAT, FIRST, NAME, SECOND, World

WAYS: tuple[Way, ...] = ("turns", "made", "receiver")
Trouble = Literal["none", "proof", "reader"]


def troubled(way: Way, trouble: Trouble) -> World:
    world = World(way)
    if trouble == "proof":
        world.authority.proof = Refused("the credential is not valid")
    if trouble == "reader":
        world.readers.broken.add(CHAT)
    return world


def count_steps(way: Way, trouble: Trouble) -> int:
    plan = FaultPlan()
    job.rotate_secret(troubled(way, trouble).deps(plan), NAME, by="anna")
    return len(plan.steps)


@pytest.mark.parametrize("trouble", ["none", "proof", "reader"])
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_step_no_reader_is_locked_out_and_the_rotation_ends(
    way: Way, trouble: Trouble
) -> None:
    steps = count_steps(way, trouble)
    assert steps > 60
    # Killed after a step is killed before the next one.
    for step in range(steps):
        world = troubled(way, trouble)
        plan = FaultPlan(Fault(Killed(), step=step))
        with pytest.raises(Killed):
            job.rotate_secret(world.deps(plan), NAME, by="anna")
        assert world.lockouts() == [], (step, plan.steps[-1])
        finish(world)
        check_end(world, trouble, (step, plan.steps[-1]))


@pytest.mark.parametrize("which", range(4))
def test_one_that_is_resumed_hours_later_gives_readers_their_time(which: int) -> None:
    world = World("turns")
    restarts = [step for step, name in enumerate(count_names("turns")) if name == "readers.restart"]
    with pytest.raises(Killed):
        job.rotate_secret(world.deps(FaultPlan(Fault(Killed(), step=restarts[which]))), NAME, by="anna")
    world.state.holders_died()
    world.clock.advance(timedelta(hours=3))
    job.run_overdue(world.deps())
    check_end(world, "none", restarts[which])


def count_names(way: Way) -> list[str]:
    plan = FaultPlan()
    job.rotate_secret(World(way).deps(plan), NAME, by="anna")
    return plan.steps


def finish(world: World) -> None:
    """A new process goes on at the next tick; where nothing was begun, the person asks again."""
    world.state.holders_died()
    world.clock.advance(job._LEASE)
    deps = world.deps()
    last = deps.records().load(NAME)
    if last is None:
        job.rotate_secret(deps, NAME, by="anna")
    else:
        job.run_overdue(deps)


def check_end(world: World, trouble: Trouble, at: object) -> None:
    ended = world.deps().records().load(NAME)
    assert ended is not None
    assert ended.step is (RotationStep.DONE if trouble == "none" else RotationStep.UNDONE), at
    assert world.lockouts() == [], at
    first = world.authority.first.reveal()
    held = {world.homes.value(FIRST), world.homes.value(SECOND), *world.readers.running.values()}
    assert (held == {first}) is (trouble != "none"), at
    assert len(held) == 1, at
    # The one that is not in use is worth nothing any more, whichever it is.
    assert sum(value != "nobody-knows" for value in world.authority.valid.values()) == 1, at
    told = [entry.outcome for entry in world.audit()]
    assert told[-1].partition(":")[0] == ended.step, at
    assert b"password-" not in world.stored(), at
    assert b"made-" not in world.stored(), at
    assert ended.sealed == "", at
