"""The worker may be killed at any step: a second one finishes the deploy, or undoes it, and says which.

Among the longest of the unit tests, since each story is played again from every world that a death leaves:
which of them a deploy does not get out of cannot be told beforehand. Equal worlds are played once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TypeVar

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.progress import DeployState
from shared.kernel.errors import Unavailable
from tests.support.deploy_world import World

T = TypeVar("T")
ENDS = {
    "same version": DeployState.DONE,
    "new version": DeployState.DONE,
    "never healthy": DeployState.ROLLED_BACK,
    "migrated, then failed": DeployState.RESTORE_PROPOSED,
    "failed before it started": DeployState.ROLLED_BACK,
}


@functools.cache
def first_release() -> World:
    """A world in which 8.2.0 runs, made once; take copies."""
    world = World()
    world.deployed_first("8.2.0")
    return world


def begin(files, story: str) -> tuple[World, str]:
    """A world in which a release runs and a change was merged; returns it with the commit."""
    world = first_release().copy()
    if story == "new version":
        return world, world.merge(files("8.3.0"))[1]
    if story == "same version":
        return world, world.merge(files(host="new.example.org"))[1]
    if story == "migrated, then failed":
        world.migrates = {"8.2.0": 300, "8.3.0": 301}
    version = "8.2.0" if story == "never healthy" else "8.3.0"
    return world, world.merge(world.broken(version))[1]


class WorldHistory(FaultPlan):
    """No faults: copies the world before the first step and after each one that changed it.

    A worker that is killed at any point leaves one of these worlds behind: killed after a step and killed
    before the next one are the same, and so are two points between which nothing was written.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.worlds: dict[bytes, tuple[str, World]] = {}
        self._remember("before the first step")

    def run(self, operation: str, act: Callable[[], T]) -> T:
        try:
            return super().run(operation, act)
        finally:
            self._remember(f"after step {len(self.steps)}: {operation}")

    def _remember(self, where: str) -> None:
        self.worlds.setdefault(self._world.fingerprint(), (where, self._world.copy()))


def check(world, sha: str, story: str, where: str) -> None:
    """Ended as it should, told, and nothing left behind."""
    record = world.record(sha)
    assert record.state is ENDS[story], f"{where}: {record}"
    assert record.notified, where
    assert world.deps().holds.list_in_force() == (), where
    assert world.deps().deploys.list_open() == [], where
    told = {
        DeployState.DONE: "success",
        DeployState.ROLLED_BACK: "failure",
        DeployState.RESTORE_PROPOSED: "error",
    }
    assert world.statuses(sha)[-1] == told[record.state], where
    assert len(world.people.told) == 1, where
    watermark = world.deps().watermarks.read()
    if story == "migrated, then failed":
        assert world.runs.endswith(":8.3.0"), where
        assert (watermark.version, watermark.previous_version, watermark.revision, watermark.schema) == (
            "8.3.0",
            "8.2.0",
            1,
            300,
        ), where
        assert world.backups[watermark.backup] == "sealed", where
        return
    assert watermark is None, where
    assert world.releases.status().status == "deployed", where
    assert "never-pulls" not in world.runs, where
    if story == "new version":
        assert world.runs.endswith(":8.3.0"), where
        assert world.backups[record.progress.backup] == "sealed", where


@pytest.mark.parametrize("story", ENDS)
def test_killed_at_every_step_a_second_worker_finishes_or_undoes_it(files, story: str) -> None:
    world, sha = begin(files, story)
    history = WorldHistory(world)
    world.work(history)
    assert len(history.steps) > 60, "a deploy takes more steps than this, or the faults do not see them"
    assert len(history.worlds) > 30, "a deploy writes more often than this"
    for where, left in history.worlds.values():
        left.die()
        left.finish_backups()
        left.work()
        check(left, sha, story, f"killed {where}")


def test_no_handler_takes_the_death_of_the_process_for_a_failure(files) -> None:
    world, _ = begin(files, "same version")
    plan = FaultPlan()
    world.copy().work(plan)
    for number, name in enumerate(plan.steps):
        where = f"killed before step {number}: {name}"
        with pytest.raises(Killed):
            world.copy().work(FaultPlan(Fault(Killed(), step=number)))
            pytest.fail(f"survived: {where}")


def test_killed_in_the_middle_of_an_upgrade_the_release_is_repaired_and_applied_again(
    files,
) -> None:
    world, sha = begin(files, "same version")
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.die()
    world.work()
    check(world, sha, "same version", "in the middle of the upgrade")
    assert world.record(sha).progress.attempts == 2


def test_killed_in_the_middle_of_the_way_back_the_heir_goes_back_and_does_not_try_again(
    files,
) -> None:
    world, sha = begin(files, "same version")
    world.login = lambda: False  # well for Helm, but not for people: so it is not Helm that goes back
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.rollback")))
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.die()
    world.work()
    record = world.record(sha)
    assert (record.state, record.progress.attempts) == (DeployState.ROLLED_BACK, 1)
    assert world.releases.status().description == "Rollback to 1"
    assert not any(revision.pending for revision in world.releases.history()), "the interrupted one is marked"


@pytest.mark.parametrize("story", ["new version", "migrated, then failed"])
def test_an_outside_system_that_fails_once_at_any_step_costs_at_most_time(files, story: str) -> None:
    begun, sha = begin(files, story)
    counted = FaultPlan()
    begun.copy().work(counted)
    for number, name in enumerate(counted.steps):
        world = begun.copy()
        plan = FaultPlan(Fault(Unavailable("it does not answer"), step=number))
        for _ in range(5):  # the queue's own retries
            with contextlib.suppress(Unavailable):
                world.work(plan)
            world.die()  # a lease whose release failed ends by itself
        check(world, sha, story, f"failed at step {number}: {name}")
