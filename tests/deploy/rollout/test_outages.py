"""What goes wrong around a deploy: lost and doubled messages, outages, other hands, our own mistakes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.deploy import job as deploy
from shared.deploy import sweep
from shared.deploy.progress import DeployState
from shared.deploy.rollout.session import DeploySession
from shared.kernel.errors import Locked, Refused, Unavailable, UsageError

MINUTE = timedelta(minutes=1)


def waiting(world) -> int:
    return world.queues.length(deploy.QUEUE)


# --- messages ---


def test_however_often_a_waiting_deploy_is_asked_for_one_message_goes_on(world, files) -> None:
    pull = world.propose(files(host="one.example.org"))
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "test", None)
    sha = world.repository.merge(pull, by="grace")
    for number in range(5):
        world.send(sha, pull.number, delivery=f"d-{number}")
    world.work(most=12)
    assert waiting(world) == 1


def test_catch_up_asks_for_no_deploy_that_still_goes_on(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.backups[next(iter(world.backups))] = "open"
    for _ in range(4):
        world.clock.advance(5 * MINUTE)
        world.work(most=1)
        world.backups[next(iter(world.backups))] = "open"
        assert sweep.sweep_deploys(world.deps()) == "no deploy was overdue"
    assert waiting(world) == 1
    assert world.record(sha).state is DeployState.BACKING_UP


def test_an_older_message_that_comes_back_is_dropped(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.clock.advance(MINUTE)
    old = json.loads(world.queues.take(deploy.QUEUE))
    world.queues.send(deploy.QUEUE, json.dumps(old))
    world.backups[next(iter(world.backups))] = "open"
    world.work(most=1)
    world.queues.send(deploy.QUEUE, json.dumps(old))
    assert any("later message" in done for done in world.work())
    assert world.record(sha).state is DeployState.DONE


def test_a_merge_of_which_no_webhook_told_is_made_up_for(world, files) -> None:
    world.deployed_first()
    pull, sha = world.merge(files(host="silent.example.org"))
    world.queues.take(deploy.QUEUE)
    assert "no deploy" in sweep.sweep_deploys(world.deps()), "its webhook may be on its way"
    world.clock.advance(sweep.STALE_AFTER + MINUTE)
    pull.merged_at = world.clock.now() - sweep.STALE_AFTER - MINUTE
    assert "its webhook was missed" in sweep.sweep_deploys(world.deps())
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert "no deploy" in sweep.sweep_deploys(world.deps())


def test_a_record_that_cannot_be_read_keeps_no_other_from_being_deployed(world, files) -> None:
    world.deployed_first()
    for name in ("runs/deploy/x.json", "deploys/open/x.json"):
        world.state.create(name, b"no json")
    _, sha = world.merge(files(host="two.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert len(world.deps().deploys.list_recent()) == 2


def test_a_deploy_that_ended_is_open_no_longer(world) -> None:
    world.deployed_first()
    assert world.deps().deploys.list_open() == []
    assert list(world.state.list("deploys/open/")) == []


def test_a_push_that_came_first_is_helped_by_the_event_that_names_its_pull_request(world, files) -> None:
    pull = world.propose(files(host="one.example.org"))
    world.repository.review(pull, "grace")
    sha = world.repository.merge(pull, by="grace")
    world.deps().deploys.create_or_load(deploy.parse_request(world.send(sha)))
    world.queues.take(deploy.QUEUE)
    world.send(sha, pull.number, delivery="d-2")
    world.work()
    assert world.record(sha).request.pull == pull.number
    assert world.record(sha).state is DeployState.DONE


# --- outages ---


@pytest.mark.parametrize("error", [Unavailable("the storage does not answer"), UsageError("too long")])
def test_progress_that_cannot_be_noted_does_not_stop_helm(world, files, error) -> None:
    sha = world.deployed_first()
    deps = world.deps(FaultPlan(Fault(error, operation="state.replace", times=99)))
    with world.state.lease(deps.lease_name, duration=timedelta(seconds=30)) as lease:
        DeploySession(deps, world.record(sha), lease).report_progress("Deployment rocketchat: InProgress")


def test_whoever_lost_the_lease_stops_helm_even_if_there_is_nothing_to_say(world) -> None:
    sha = world.deployed_first()
    deps = world.deps(FaultPlan(Fault(Locked("the lease is lost"), operation="state.lease.check", step=1)))
    with deps.state.lease(deps.lease_name, duration=timedelta(seconds=30)) as lease:
        session = DeploySession(deps, world.record(sha), lease)
        session.report_progress("")
        with pytest.raises(Locked):
            session.report_progress("")


def test_the_machine_is_held_up_for_as_long_as_helm_takes(world) -> None:
    sha = world.deployed_first()
    with world.state.lease(world.deps().lease_name, duration=timedelta(seconds=30)) as lease:
        session = DeploySession(world.deps(), world.record(sha), lease)
        assert world.deps().holds.list_in_force() == ()
        world.clock.advance(5 * MINUTE)
        session.report_progress("")
        assert world.deps().holds.list_in_force() == (), "it is renewed every ten minutes only"
        world.clock.advance(6 * MINUTE)
        session.report_progress("")
        (hold,) = world.deps().holds.list_in_force()
        assert (hold.needs_up, hold.until - world.clock.now()) == (True, timedelta(hours=2))


def test_an_outage_does_not_count_as_time_in_which_the_release_should_have_got_well(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.login = lambda: False  # its pods need a minute
    world.work(most=2)
    assert world.record(sha).state is DeployState.SMOKE
    world.releases.failures = [Unavailable("the API does not answer")] * 60
    world.work(most=61)
    world.work(most=2)
    assert world.record(sha).state is DeployState.SMOKE, world.record(sha)
    world.login = lambda: True
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_an_api_server_that_refuses_while_it_starts_is_waited_for(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.login = lambda: False
    world.work(most=2)
    world.releases.failures = [Refused("the cluster does not accept the kubeconfig")] * 5
    world.work(most=6)
    world.login = lambda: True
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_rights_that_are_gone_for_good_after_it_was_applied_end_in_a_proposal(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.login = lambda: False
    world.work(most=2)
    world.releases.failures = [Refused("the cluster does not allow it")] * 500
    world.work(most=120)
    assert world.record(sha).state is DeployState.RESTORE_PROPOSED
    assert world.deps().watermarks.read().version == "8.3.0"


def test_people_who_can_never_be_told_do_not_keep_a_deploy_open(world, files) -> None:
    world.people.failure = UsageError("the route has no address")
    _, sha = world.merge(files(host="one.example.org"))
    world.work()
    record = world.record(sha)
    assert (record.state, record.notified) == (DeployState.DONE, True)
    assert any("could not deliver" in line for line in record.log)
    assert waiting(world) == 0


def test_the_forge_is_told_once_while_people_cannot_be(world, files) -> None:
    world.people.down = True
    _, sha = world.merge(files(host="one.example.org"))
    world.work(most=8)
    (made,) = [one for one in world.repository.deployments if one.sha == sha]
    assert [one.state for one in made.statuses].count("success") == 1


# --- other hands, and our own mistakes ---


def test_what_else_runs_in_the_namespace_is_no_reason_to_go_back(world, files) -> None:
    world.deployed_first()
    stuck = {"reason": "CrashLoopBackOff"}
    world.cluster.add(
        {"kind": "Deployment", "metadata": {"name": "other"}, "spec": {"replicas": 1}, "status": {}},
        {
            "kind": "Pod",
            "metadata": {"name": "other-1", "labels": {"app": "other"}},
            "spec": {"containers": [{"image": "x"}]},
            "status": {"containerStatuses": [{"name": "x", "state": {"waiting": stuck}}]},
        },
    )
    _, sha = world.merge(files(host="two.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_revision_that_somebody_made_meanwhile_is_not_taken_for_ones_own(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    package = deploy.preview_deploy(world.deps(), sha, "production").results.chart.chart.package
    world.releases.upgrade_install(
        package, timeout=MINUTE, rollback_on_failure=False, on_progress=lambda _line: None
    )
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.FAILED
    assert "another client made revision 2" in record.progress.reason


def test_a_mistake_of_ours_ends_one_deploy_and_is_told(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    plan = FaultPlan(Fault(RuntimeError("a mistake"), operation="forge.get_branch_tip", times=50))
    world.work(plan)
    record = world.record(sha)
    assert (record.state, record.notified) == (DeployState.FAILED, True)
    assert world.deps().holds.list_in_force() == ()
    _, later = world.merge(files(host="three.example.org"))
    world.work()
    assert world.record(later).state is DeployState.DONE


def test_an_environments_timer_may_take_longer_than_checks_may(world, files) -> None:
    world.repository.environment("production", wait_minutes=90)
    pull, sha = world.merge(files(host="two.example.org"))
    pull.merged_at = world.clock.now()
    world.work(most=15)
    assert world.record(sha).state is DeployState.GATING
    world.clock.advance(60 * MINUTE)
    world.work()
    assert world.record(sha).state is DeployState.DONE


# --- overriding ---


def test_two_people_may_override_a_closed_gate_for_one_commit(world, files) -> None:
    from shared.deploy.gates import evaluate
    from tests.support.approvals import make_approvals

    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"), approved=False)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    approvals = make_approvals(world.state, world.clock)
    gates = deploy.preview_deploy(world.deps(), sha, "production").results.report.gates
    (gate,) = [one for one in gates if one.name == "approvals"]
    arguments = evaluate.override_arguments(sha, "production", gate)
    asked = approvals.request_approval(evaluate.OVERRIDE, arguments, by="ada", lasting=timedelta(hours=8))
    deploy.request_deploy(world.deps(), sha, "production")
    world.work()
    assert world.record(sha).state is DeployState.FAILED, "asking is not enough"
    approvals.approve(asked.id, by="grace")
    world.clock.advance(MINUTE)
    deploy.request_deploy(world.deps(), sha, "production")
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert any("overridden by ada and grace" in line for line in record.gates)


def test_no_override_starts_an_older_version(world, files) -> None:
    from shared.deploy.gates import evaluate
    from tests.support.approvals import make_approvals

    world.deployed_first("8.3.0")
    _, sha = world.merge(files("8.2.0"))
    approvals = make_approvals(world.state, world.clock)
    gates = deploy.preview_deploy(world.deps(), sha, "production").results.report.gates
    (gate,) = [one for one in gates if one.name == "version"]
    arguments = evaluate.override_arguments(sha, "production", gate)
    asked = approvals.request_approval(evaluate.OVERRIDE, arguments, by="ada", lasting=timedelta(hours=8))
    approvals.approve(asked.id, by="grace")
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.runs.endswith(":8.3.0")
