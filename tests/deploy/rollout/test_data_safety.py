"""The data are never given to an older version: whatever failed before, whoever asks, whatever is unseen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.deploy import job as deploy
from shared.deploy.progress import DeployState
from shared.deploy.rollout.rollback import plan_rollback, rollback
from shared.kernel.errors import Locked, NotFound, Refused, Unavailable
from shared.notifications.ports import Severity
from tests.support.approvals import make_approvals

MIGRATES = {"8.2.0": 300, "8.3.0": 301, "8.3.1": 301, "8.4.0": 302}


def quiet(_line: str) -> None:
    """Takes what Helm says."""


@pytest.fixture
def failed(world) -> str:
    """8.2.0 ran well; 8.3.0 started, migrated, and never got ready: Helm calls 8.2.0 the good one."""
    world.migrates = MIGRATES
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.work()
    record = world.record(sha)
    assert (record.state, world.schema) == (DeployState.RESTORE_PROPOSED, 301)
    world.people.told.clear()
    return sha


def test_a_revert_by_pull_request_is_refused(world, files, failed) -> None:
    _, sha = world.merge(files("8.2.0", host="revert.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.FAILED
    assert any(line.startswith("closed  version: goes back from 8.3.0 to 8.2.0") for line in record.gates)
    assert world.runs.endswith(":8.3.0")


def test_going_back_by_hand_needs_the_restore_and_another_person(world, files, failed) -> None:
    way = plan_rollback(world.deps(), 1)
    assert (way.changes_version, way.version_now, way.version_then) == (True, "8.3.0", "8.2.0")
    with pytest.raises(Refused, match=r"8\.2\.0 is not started on data that 8\.3\.0 may have migrated"):
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert world.runs.endswith(":8.3.0")


def test_a_fix_that_fails_as_well_proposes_the_first_backup_with_the_first_revision(
    world, files, failed
) -> None:
    first = world.record(failed).progress
    _, sha = world.merge(world.broken("8.3.1"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED, record
    assert record.progress.backup not in ("", first.backup), "it had a backup of its own, of migrated data"
    assert f"groundcrew deploy rollback 1 --restored {first.backup}" in record.proposal
    assert world.runs.endswith(":8.3.1")
    assert world.deps().watermarks.read().version == "8.3.1"


def test_a_fix_of_the_same_version_that_fails_does_not_go_back_either(world, files, failed) -> None:
    _, sha = world.merge(world.broken("8.3.0", host="again.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.RESTORE_PROPOSED
    assert world.runs.endswith(":8.3.0")


def test_a_fix_that_gets_well_takes_the_mark_away(world, files, failed) -> None:
    _, sha = world.merge(files("8.3.1"))
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert world.deps().watermarks.read() is None
    assert not plan_rollback(world.deps(), world.releases.status().number).changes_version


def test_a_fix_that_helm_refuses_leaves_the_mark_as_it_was(world, files, failed) -> None:
    before = world.deps().watermarks.read()
    _, sha = world.merge(files("8.3.1"))
    world.work(most=1)
    world.releases.failures = [Refused("Helm may not do that")] * 200
    world.work(most=100)
    assert "nothing was applied" in world.record(sha).progress.reason
    assert world.deps().watermarks.read() == before


def test_after_the_restore_two_people_start_the_old_version_again(world, files, failed) -> None:
    backup = world.record(failed).progress.backup
    way = plan_rollback(world.deps(), 1, restored=backup)
    with pytest.raises(Refused, match="not that of"):
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    world.migrates, world.schema = {}, 300  # the restore
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    make_approvals(world.state, world.clock).approve(str(asked.value.value), by="grace")
    assert "approved by grace" in rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert world.runs.endswith(":8.2.0")
    assert world.deps().watermarks.read() is None
    _, sha = world.merge(files("8.2.0", host="after.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE, "8.2.0 may be deployed again"


@pytest.mark.parametrize("state", ["open", "failed"])
def test_a_backup_that_is_not_sealed_is_none_to_go_back_with(world, failed, state) -> None:
    world.backups["manual/20261123T120000Z"] = state
    with pytest.raises(Refused, match="not a sealed backup"):
        plan_rollback(world.deps(), 1, restored="manual/20261123T120000Z")


def test_an_approval_is_not_spent_on_a_release_that_is_busy_or_has_changed(world, files) -> None:
    world.deployed_first("8.2.0")
    world.merge(files("8.3.0"))
    world.work()
    backup = next(iter(world.backups))
    deps = world.deps()
    way = plan_rollback(deps, 1, restored=backup)
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(deps, way, by="ada", on_progress=quiet)
    make_approvals(world.state, world.clock).approve(str(asked.value.value), by="grace")
    with (
        world.state.lease(deps.lease_name, duration=timedelta(seconds=30)),
        pytest.raises(Locked),
    ):
        rollback(deps, way, by="ada", on_progress=quiet)
    assert "approved by grace" in rollback(deps, way, by="ada", on_progress=quiet)


def test_a_way_back_that_was_planned_before_another_deploy_is_refused(world, files) -> None:
    world.deployed_first("8.2.0")
    world.merge(files("8.2.0", host="b.example.org"))
    world.work()
    way = plan_rollback(world.deps(), 1)
    assert not way.changes_version
    world.merge(files("8.3.0"))
    world.work()
    with pytest.raises(Refused, match="changed since the plan"):
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert world.runs.endswith(":8.3.0")


def test_nobody_goes_back_in_the_middle_of_a_deploy(world, files) -> None:
    world.deployed_first()
    world.login = lambda: False
    world.merge(files(host="b.example.org"))
    world.work(most=1)
    with pytest.raises(Locked, match="is smoke"):
        rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)


def test_after_going_back_the_forge_and_the_record_say_so_and_the_commit_can_be_deployed_again(
    world, files
) -> None:
    first = world.deployed_first()
    _, second = world.merge(files(host="b.example.org"))
    world.work()
    rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)
    assert world.statuses(second)[-1] == "inactive"
    assert world.deps().ledger.read("production").sha == first
    assert world.deps().holds.list_in_force() == ()
    deploy.request_deploy(world.deps(), second, "production")
    world.work()
    assert world.record(second).state is DeployState.DONE
    assert len(world.releases.history()) == 4


def test_a_migration_that_begins_while_helm_goes_back_is_seen_after_it(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.readings = [300, 300, 301]  # before it was applied, when it failed, after the way back
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED, record
    assert "changed from 300 to 301" in record.progress.reason
    assert world.people.told[-1].severity is Severity.CRITICAL


def test_a_database_that_cannot_be_asked_for_long_counts_as_migrated(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.work(most=1)
    world.finish_backups()
    world.database_failures = [Unavailable("MongoDB does not answer")] * 400
    world.database_failures.insert(0, Unavailable("not even the schema before"))
    world.work(most=400)
    assert world.record(sha).state is not DeployState.FAILED
    world.database_failures = []
    world.work()
    assert world.record(sha).state in (DeployState.RESTORE_PROPOSED, DeployState.ROLLED_BACK)


def test_a_first_release_on_data_that_are_there_is_preceded_by_a_backup(world, files) -> None:
    world.schema = 290
    _, sha = world.merge(files("8.2.0", host="first.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert world.backups[record.progress.backup] == "sealed"


def test_a_first_release_that_migrates_and_fails_proposes_the_restore_without_starting_anything(
    world, files
) -> None:
    world.schema, world.migrates = 290, MIGRATES
    _, sha = world.merge(world.broken("8.2.0"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED
    assert f"groundcrew deploy rollback 0 --restored {record.progress.backup}" in record.proposal
    world.migrates, world.schema = {}, 290
    way = plan_rollback(world.deps(), 0, restored=record.progress.backup)
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    make_approvals(world.state, world.clock).approve(str(asked.value.value), by="grace")
    revisions = len(world.releases.history())
    rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert len(world.releases.history()) == revisions
    assert world.deps().watermarks.read() is None


def test_revision_0_means_nothing_where_something_was_deployed(world) -> None:
    world.deployed_first()
    with pytest.raises(NotFound):
        plan_rollback(world.deps(), 0)
