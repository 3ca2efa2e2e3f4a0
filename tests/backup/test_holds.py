"""A backup on its way keeps the machine from being stopped, for a finite time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from shared.backup import job as backup
from shared.backup.deps import QUEUE
from shared.records.holds import Holds


def test_the_machine_is_held_from_the_plan_until_the_set_is_sealed(world) -> None:
    holds = Holds(world.state, world.clock)
    backup.run_nightly(world.job())
    (hold,) = holds.list_in_force()
    assert hold.what.startswith("backup ")
    assert world.clock.now() < hold.until <= world.clock.now() + timedelta(hours=12)
    world.work(world.job())
    assert len(world.sealed()) == 1
    assert holds.list_in_force() == ()


def test_each_part_renews_the_hold(make_world) -> None:
    world = make_world(400)
    world.seed()
    holds = Holds(world.state, world.clock)
    backup.run_nightly(world.job())
    untils = []

    def meanwhile() -> None:
        untils.extend(hold.until for hold in holds.list_in_force())
        world.clock.advance(timedelta(hours=1))

    world.work(world.job(), between=meanwhile)
    assert len(untils) >= 3
    assert all(later > earlier for earlier, later in pairwise(untils))


def test_a_set_that_is_given_up_lets_go(world) -> None:
    backup.run_nightly(world.job())
    world.queues.take(QUEUE)
    world.clock.advance(timedelta(hours=21))
    backup.run_nightly(world.job())
    world.work(world.job())
    assert Holds(world.state, world.clock).list_in_force() == ()


def test_a_message_that_comes_again_after_the_sealing_takes_a_forgotten_hold_away(world) -> None:
    backup.run_nightly(world.job())
    world.work(world.job())
    info = world.sealed()[0]
    world.job().place_hold(info.id)
    backup.run_part(world.job(), info.folder, 0)
    assert Holds(world.state, world.clock).list_in_force() == ()
