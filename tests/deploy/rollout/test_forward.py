"""After a version that failed, a fix of the same version takes a backup of its own before it is applied."""

from __future__ import annotations

import pytest

from shared.deploy.progress import DeployState


@pytest.fixture
def proposed(world, files):
    """A world in which 8.3.0 migrated the data and never became healthy; returns it with the record."""
    world.migrates = {"8.2.0": 300, "8.3.0": 301}
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED, record
    return world, record


def test_a_fix_takes_its_own_backup_and_clears_the_watermark(proposed, files) -> None:
    world, failed = proposed
    _, sha = world.merge(files("8.3.0"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE, record
    assert world.backups[record.progress.backup] == "sealed"
    assert record.progress.backup != failed.progress.backup
    assert record.progress.schema_before == 301
    assert world.deps().watermarks.read() is None


def test_a_fix_that_fails_too_proposes_the_first_pair_and_names_its_own_backup(proposed, files) -> None:
    world, failed = proposed
    _, sha = world.merge(world.broken("8.3.0", host="other.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED, record
    assert f"deploy rollback 1 --restored {failed.progress.backup}" in record.proposal
    assert f"right before this deploy are in the backup {record.progress.backup}" in record.proposal
    assert "right before this deploy" not in failed.proposal, "its own backup is the pair"


def test_a_backup_that_fails_keeps_the_fix_from_being_applied(proposed, files) -> None:
    world, _ = proposed
    applied = world.releases.applied
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.finish_backups("failed")
    world.backups[world.record(sha).backup_reference] = "failed"
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.releases.applied == applied
    assert world.deps().watermarks.read().version == "8.3.0"
