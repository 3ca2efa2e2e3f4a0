"""While the database moves nothing is deployed, and afterwards what was merged meanwhile is."""

from __future__ import annotations

import pytest

from shared.deploy.progress import DeployState
from shared.records.deploy_freeze import (
    BLOB,
    DeployFreeze,
    freeze_deploys,
    read_deploy_freeze,
    unfreeze_deploys,
)

REASON = "the database moves to new:27017"


def test_a_merge_waits_while_deploys_are_frozen_and_is_deployed_afterwards(world, files) -> None:
    sha = world.deployed_first()
    freeze_deploys(world.state, DeployFreeze(REASON, "ana", world.clock.now()))
    _, merged = world.merge(files(host="moved.example.net"))
    world.work(most=3)
    assert world.record(merged).state is DeployState.QUEUED
    assert len(world.releases.history()) == 1
    assert world.deps().deploys.busy_reason() == f"deploys are frozen: {REASON}"
    assert world.deps().deploys.progress_reason() == ""
    unfreeze_deploys(world.state)
    world.work()
    assert world.record(merged).state is DeployState.DONE
    assert world.record(sha).state is DeployState.DONE


def test_a_deploy_past_its_gates_goes_on_to_its_end(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    assert world.record(sha).state is DeployState.BACKING_UP
    freeze_deploys(world.state, DeployFreeze(REASON, "ana", world.clock.now()))
    assert "is backing" in world.deps().deploys.progress_reason()
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_freeze_that_cannot_be_read_is_one(world) -> None:
    assert read_deploy_freeze(world.state) is None
    for data in (b"{", b"{}", b'{"reason": "x", "by": "y", "since": "never"}'):
        world.state.replace(BLOB, data, etag=None)
        freeze = read_deploy_freeze(world.state)
        assert freeze is not None
        assert BLOB in freeze.reason


@pytest.mark.parametrize("times", [1, 2])
def test_freezing_and_unfreezing_may_be_done_again(world, times) -> None:
    for _ in range(times):
        freeze_deploys(world.state, DeployFreeze(REASON, "ana", world.clock.now()))
    assert read_deploy_freeze(world.state) == DeployFreeze(REASON, "ana", world.clock.now())
    for _ in range(times):
        unfreeze_deploys(world.state)
    assert read_deploy_freeze(world.state) is None
