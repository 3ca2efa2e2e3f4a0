"""Ways in which all went by the rules and the wrong thing happened: each one stays closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy import drift_job as drift
from shared.deploy import job as deploy
from shared.deploy import sweep
from shared.deploy.gates import evaluate
from shared.deploy.progress import DeployState
from shared.deploy.records.requests import DeployRequest
from shared.deploy.rollout.reconcile import OUTAGE_TIMEOUT
from shared.deploy.rollout.rollback import plan_rollback, rollback
from shared.kernel.errors import Locked, NotFound, Refused, Unavailable
from tests.support.approvals import make_approvals

MIGRATES = {"8.2.0": 300, "8.3.0": 301, "8.3.1": 301}
MINUTE = timedelta(minutes=1)


def quiet(_line: str) -> None:
    """Takes what Helm says."""


@pytest.fixture
def failed(world) -> str:
    """8.3.0 migrated and failed: a restore of the first backup with revision 1 is proposed."""
    world.migrates = MIGRATES
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.work()
    assert world.record(sha).state is DeployState.RESTORE_PROPOSED
    return sha


# --- the pair ---


def fix_forward(make_world, files):
    """The fix of a version that had migrated and failed is about to be applied."""
    world = make_world(migrates=dict(MIGRATES))
    world.deployed_first("8.2.0")
    _, bad = world.merge(world.broken("8.3.0"))
    world.work()
    _, sha = world.merge(files("8.3.1"))
    world.work(most=1)
    return world, world.record(bad).progress.backup, sha


def test_killed_at_every_step_of_a_fix_and_ill_afterwards_the_first_pair_is_proposed(
    make_world, files
) -> None:
    world, _, _ = fix_forward(make_world, files)
    plan = FaultPlan()
    world.work(plan)
    assert len(plan.steps) > 30
    for number, name in enumerate(plan.steps):
        world, first, sha = fix_forward(make_world, files)
        with pytest.raises(Killed):
            world.work(FaultPlan(Fault(Killed(), step=number, when="after")))
            pytest.fail(f"survived {name}")
        world.die()
        world.login = lambda: False
        world.work()
        record, watermark = world.record(sha), world.deps().watermarks.read()
        where = f"killed after step {number}: {name}"
        if record.state is DeployState.DONE:
            assert watermark is None, where
            continue
        assert record.state is DeployState.RESTORE_PROPOSED, f"{where}: {record}"
        assert (watermark.backup, watermark.revision, watermark.schema) == (first, 1, 300), where
        assert f"rollback 1 --restored {first}" in record.proposal, where


def test_without_the_mark_no_backup_is_paired_with_an_older_revision(make_world, files) -> None:
    world = make_world(migrates=dict(MIGRATES))
    world.deployed_first("8.2.0")
    world.merge(world.broken("8.3.0"))
    world.work()
    _, sha = world.merge(world.broken("8.3.1"))
    world.work(most=1)
    world.finish_backups()
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install", when="after")))
    world.die()
    world.deps().watermarks.clear()  # by hand
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED
    assert "--restored" not in record.proposal
    assert "restore-after-a-deploy.md" in record.proposal


def test_only_the_backup_of_before_is_taken_for_the_restored_one(world, failed) -> None:
    world.backups["manual/20261123T120000Z"] = "sealed"  # made after the migration, as the runbook says
    with pytest.raises(Refused, match="does not belong to this rollback"):
        plan_rollback(world.deps(), 1, restored="manual/20261123T120000Z")


@pytest.mark.parametrize("schema", [301, None], ids=["migrated", "unknown or locked"])
def test_data_that_are_not_those_of_before_are_refused(world, failed, schema) -> None:
    way = plan_rollback(world.deps(), 1, restored=world.record(failed).progress.backup)
    world.migrates, world.schema = {}, schema
    with pytest.raises(Refused, match="is not that of"):
        rollback(world.deps(), way, by="ada", on_progress=quiet)


def test_revision_0_does_not_take_the_mark_of_another_pair_away(world, failed) -> None:
    with pytest.raises(NotFound):
        plan_rollback(world.deps(), 0, restored=world.record(failed).progress.backup)


def test_the_way_back_starts_from_the_newest_version_that_ran(world, files, failed) -> None:
    _, sha = world.merge(files("8.3.1"))
    world.work()
    assert world.record(sha).state is DeployState.DONE
    watermark = replace(_mark(world), version="8.3.0")
    world.deps().watermarks.save(watermark)
    assert plan_rollback(world.deps(), 2).version_now == "8.3.1"


def _mark(world):
    from shared.deploy.watermark import VersionWatermark

    return VersionWatermark("8.3.0", "8.2.0", 1, "manual/x", 300, "k", world.clock.now())


# --- the data outlive the release ---


def test_an_older_version_is_not_installed_anew_where_a_newer_one_ran_well(world, files) -> None:
    world.deployed_first("8.3.0")
    world.releases.uninstall()
    _, sha = world.merge(files("8.2.0"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.FAILED
    assert any(line.startswith("closed  version: goes back from 8.3.0") for line in record.gates)


def test_a_first_release_that_never_came_that_far_keeps_nothing_out(world, files) -> None:
    world.schema = None
    _, sha = world.merge(world.broken("8.3.0"))
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.deps().watermarks.read() is None


# --- what people decided ---


def test_a_way_back_by_hand_is_not_undone_by_catch_up(world, files) -> None:
    world.deployed_first("8.2.0")
    pull, sha = world.merge(files("8.2.0", host="two.example.org"))
    world.queues.take(deploy.QUEUE)
    deploy.request_deploy(world.deps(), sha, "production")
    world.work()
    assert world.record(sha).state is DeployState.DONE
    rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)
    pull.merged_at = world.clock.now() - timedelta(hours=1)
    assert sweep.sweep_deploys(world.deps()) == "no deploy was overdue"


def test_catch_up_asks_for_nothing_while_a_restore_is_proposed(world, files, failed) -> None:
    pull, _ = world.merge(files("8.3.1"))
    world.queues.take(deploy.QUEUE)
    pull.merged_at = world.clock.now() - timedelta(hours=1)
    assert "no webhook" not in sweep.sweep_deploys(world.deps())


def test_drift_corrects_nothing_while_a_restore_is_proposed_or_a_deploy_is_in_the_middle(
    world, files, failed
) -> None:
    with pytest.raises(Locked, match="restore is proposed"):
        drift.correct_drift(world.deps(), by="ada")


# --- waits ---


def test_what_fails_again_and_again_after_a_good_look_is_not_tried_for_ever(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    plan = FaultPlan(
        Fault(Unavailable("the forge has no archive"), operation="forge.download_tarball", step=1, times=9999)
    )
    began = world.clock.now()
    world.work(plan, most=400, between=timedelta(minutes=5))
    record = world.record(sha)
    assert record.state.final, record
    assert world.clock.now() - began < 2 * OUTAGE_TIMEOUT
    assert world.deps().holds.list_in_force() == ()


def test_a_backup_that_never_ends_is_not_waited_for_for_ever(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    name = next(iter(world.backups))
    for _ in range(3000):
        world.backups[name] = "open"
        if not world.work(most=1, between=timedelta(minutes=5)):
            break
    record = world.record(sha)
    assert record.state is DeployState.FAILED
    assert world.runs.endswith(":8.2.0")
    assert any("stuck" in title for title in world.people.titles)


def test_a_mark_that_cannot_be_read_closes_a_gate_and_is_told(world, files) -> None:
    world.deployed_first()
    world.state.create("deploys/mark/rocketchat-rocketchat.json", b"no json")
    _, sha = world.merge(files(host="two.example.org"))
    world.work()
    record = world.record(sha)
    assert (record.state, record.notified) == (DeployState.FAILED, True)
    assert any(line.startswith("closed  record") for line in record.gates)
    assert world.deps().holds.list_in_force() == ()


# --- gates that were not asked ---


def test_overriding_one_gate_opens_none_that_it_kept_from_being_asked(world, files) -> None:
    world.deployed_first()
    world.repository.commit(files(host="pushed.example.org"), author="mallory")
    direct = world.repository.branches["main"]
    world.clock.advance(timedelta(minutes=5))
    world.send(direct)
    world.work()
    closed = {
        line.split("  ")[1].split(":")[0] for line in world.record(direct).gates if "closed" in line[:6]
    }
    assert {"pull request", "approvals", "checks", "environment", "paths"} <= closed
    _override(world, direct, "pull request")
    deploy.request_deploy(world.deps(), direct, "production")
    world.work()
    assert world.record(direct).state is DeployState.FAILED


def test_an_override_does_not_hold_for_another_reason(world, files) -> None:
    world.deployed_first()
    pull = world.propose(files(host="two.example.org"))
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "test", None)
    sha = world.repository.merge(pull, by="grace")
    _override(world, sha, "checks")
    world.repository.check(pull.head_sha, "test", "failure")
    world.send(sha, pull.number)
    world.work()
    assert world.record(sha).state is DeployState.FAILED


def _override(world, sha: str, name: str) -> None:
    gates = deploy.preview_deploy(world.deps(), sha, "production").results.report.gates
    (gate,) = [one for one in gates if one.name == name and not one.passed]
    approvals = make_approvals(world.state, world.clock)
    bound = evaluate.override_arguments(sha, "production", gate)
    asked = approvals.request_approval(evaluate.OVERRIDE, bound, by="ada", lasting=timedelta(hours=8))
    approvals.approve(asked.id, by="grace")
    world.clock.advance(MINUTE)


def test_an_approval_that_cannot_be_read_keeps_no_deploy_from_being_judged(world, files) -> None:
    world.deployed_first()
    world.state.create("approvals/0123456789abcdef.json", b"{}")
    _, sha = world.merge(files(host="two.example.org"), approved=False)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert any(line.startswith("closed  approvals") for line in world.record(sha).gates)


def test_somebody_elses_deployment_on_the_forge_is_not_taken_for_ours(world, files) -> None:
    _, sha = world.merge(files(host="one.example.org"))
    made = world.forge.create_deployment(sha, "production", "an action's environment")
    world.forge.set_deployment_status(made, "success", "")
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert len(world.releases.history()) == 1


def test_what_a_hand_made_merge_adds_is_not_vouched_for_by_its_pull_request(world, files) -> None:
    world.deployed_first()
    pull = world.propose({"docs/a.md": b"hello"})
    world.repository.review(pull, "grace")
    evil = files(host="evil.example.org")
    sha = world.repository.merge(pull, by="mallory", also=evil)
    world.send(sha, pull.number)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert any("but in no pull request" in line for line in world.record(sha).gates)


def test_values_are_watched_whatever_the_paths_say(world, files) -> None:
    paths = {"paths": ("templates/**",), "values": ("values.yaml",)}
    world.policy = world.policy.model_copy(update=paths)
    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_an_event_that_names_the_pull_request_goes_on_where_its_push_was_refused(world, files) -> None:
    world.deployed_first()
    pull, sha = world.merge(files(host="two.example.org"))
    world.queues.take(deploy.QUEUE)
    world.repository.unindexed.add(sha)
    world.clock.advance(timedelta(minutes=10))
    world.send(sha)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    world.repository.unindexed.clear()
    world.send(sha, pull.number, delivery="d-2")
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_after_an_unknown_revision_the_order_is_not_taken_for_granted(world, files) -> None:
    world.deployed_first()
    world.deps().ledger.record_rollback("production", 77, 78, "8.2.0", world.clock.now() + MINUTE)
    _, sha = world.merge(files(host="two.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.FAILED
    assert any(line.startswith("closed  order: revision 78 is deployed") for line in record.gates)
    assert any(line.startswith("closed  history") for line in record.gates)


def test_what_helm_undid_by_itself_is_on_record_as_what_runs(world, files) -> None:
    first = world.deployed_first()
    _, sha = world.merge(world.broken("8.2.0"))
    world.work()
    assert world.record(sha).state is DeployState.ROLLED_BACK
    shipped = world.deps().ledger.read("production")
    assert (shipped.sha, shipped.revision) == (first, world.releases.status().number)


def test_a_foreign_helm_is_not_marked_as_failed_by_going_back(world, files) -> None:
    world.deployed_first()
    world.merge(files(host="two.example.org"))
    world.work()
    way = plan_rollback(world.deps(), 1)
    found = deploy.preview_deploy(world.deps(), world.repository.branches["main"], "production").results
    world.releases.leave_pending(found.chart.chart.package)
    with pytest.raises((Locked, Refused)):
        rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert world.releases.status().pending


def test_a_killed_worker_right_after_the_end_leaves_it_settled_for_the_next(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.finish_backups()
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="people.notify", when="before")))
    world.die()
    request = DeployRequest("acme/chat", sha, "production")
    assert world.deps().deploys.load(request.key).state is DeployState.DONE
    _, later = world.merge(files("8.3.0", host="later.example.org"))
    world.work()
    assert world.record(later).state is DeployState.DONE
    assert world.deps().watermarks.read() is None
