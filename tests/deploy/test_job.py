"""From a merge to a healthy release, and what happens when it does not get well."""

from __future__ import annotations

from datetime import timedelta

from shared.deploy import sweep
from shared.deploy.job import request_deploy
from shared.deploy.progress import DeployState
from shared.deploy.records.last_webhook import describe_last_webhook
from shared.kernel.errors import Unavailable
from shared.notifications.ports import Severity


def test_a_merge_is_deployed_and_told_with_who_what_and_how_long(world, files) -> None:
    _, sha = world.merge(files(host="chat.example.net"))
    world.work()
    record = world.record(sha)
    assert (record.state, record.notified) == (DeployState.DONE, True)
    assert world.runs.endswith(":8.2.0")
    assert world.statuses(sha) == ["in_progress", "success"]
    (told,) = world.people.told
    assert told.severity is Severity.INFO
    assert all(word in told.text for word in ("ada", "Change 1", "8.2.0", sha[:7], "It took"))
    assert list(world.state.list("holds/")) == []


def test_the_machine_is_held_up_while_a_deploy_waits_and_let_go_at_its_end(world, files) -> None:
    world.cluster.failures = [Unavailable("the API does not answer")] * 3
    world.merge(files(host="chat.example.net"))
    world.work(most=1)
    (hold,) = world.deps().holds.list_in_force()
    assert hold.needs_up
    world.work()
    assert world.deps().holds.list_in_force() == ()


def test_closed_gates_are_reported_together_and_nothing_is_changed(world, files) -> None:
    sha = world.deployed_first()
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    bad = {"production.yaml": b"extraEnvFrom: []\nhost: x\nimage: {tag: latest}\n"}
    _, worse = world.merge(bad, approved=False)
    world.work()
    record = world.record(worse)
    assert record.state is DeployState.FAILED
    closed = {line.split("  ")[1].split(":")[0] for line in record.gates if not line.startswith("passed")}
    assert {"approvals", "values"} <= closed
    assert world.record(sha).state is DeployState.DONE
    assert len(world.releases.history()) == 1
    assert world.statuses(worse)[-1] == "failure"
    (told,) = world.people.told
    assert "extraEnvFrom" in told.hint
    assert "approve" in told.hint


def test_a_change_of_version_is_preceded_by_a_backup(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    assert world.record(sha).state is DeployState.BACKING_UP
    assert world.runs.endswith(":8.2.0"), "nothing may start before the backup is sealed"
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert record.progress.backup in world.backups
    assert world.runs.endswith(":8.3.0")


def test_a_backup_that_fails_ends_the_deploy_before_anything_is_changed(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.finish_backups("failed")
    deps = world.deps()
    world.work(most=0)
    from shared.deploy import job as deploy

    message = world.send(sha, delivery="d-2")
    deploy.handle_request(deps, message)
    world.finish_backups("failed")
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.runs.endswith(":8.2.0")


def test_the_same_version_that_does_not_get_well_is_rolled_back(world, files) -> None:
    world.deployed_first()
    broken = files(host="bad.example.org")
    broken["templates/deployment.yaml"] = broken["templates/deployment.yaml"].replace(
        b"registry.example", b"never-pulls.example"
    )
    _, sha = world.merge(broken)
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.ROLLED_BACK
    assert "never-pulls" not in world.runs
    assert world.statuses(sha)[-1] == "failure"
    (told,) = world.people.told
    assert "rolled back" in told.title
    assert any(
        "rolled back" in comment["body"] for comment in world.repository.comments[record.progress.pull]
    )


def test_a_failed_smoke_test_rolls_back_what_helm_called_healthy(world, files) -> None:
    world.deployed_first()
    before = len(world.releases.history())
    world.login = lambda: (
        len(world.releases.history()) == before or world.releases.status().description.startswith("Rollback")
    )
    _, sha = world.merge(files(host="other.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.ROLLED_BACK
    assert "no login page" in record.progress.reason
    assert world.releases.status().description.startswith("Rollback to ")


def test_where_a_migration_may_have_run_no_old_version_is_started_and_a_restore_is_proposed(
    world, files
) -> None:
    world.deployed_first("8.2.0")
    world.login = lambda: False
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.schema = None  # it migrates, and locks
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.RESTORE_PROPOSED
    assert world.runs.endswith(":8.3.0"), "the old version must not start on new data"
    assert not any(one.description.startswith("Rollback") for one in world.releases.history())
    (told,) = world.people.told
    assert told.severity is Severity.CRITICAL
    assert f"groundcrew restore {record.progress.backup}" in told.hint
    assert world.statuses(sha)[-1] == "error"


def test_a_release_left_pending_by_a_killed_worker_is_repaired_first(world, files) -> None:
    from shared.deploy.chart.fetch import fetch_chart

    world.deployed_first()
    _, sha = world.merge(files(host="new.example.org"))
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.work(most=2)
    assert "another Helm operation" in world.work(most=1)[0], "it may be a person's, at work this very moment"
    world.clock.advance(4 * world.policy.helm_timeout)
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert world.releases.status().status == "deployed"
    assert any("left pending" in line for line in world.record(sha).log)


def test_an_earlier_failure_of_another_deploy_is_not_taken_for_ones_own(world, files) -> None:
    world.deployed_first()
    broken = files(host="bad.example.org")
    broken["templates/deployment.yaml"] = (
        b"apiVersion: v1\nkind: Job\nmetadata: {name: x, annotations: {helm.sh/hook: pre-upgrade}}\nspec: {template: {spec: {containers: [{image: i, command: [sh, -c, exit 1]}]}}}\n"  # noqa: E501
    )
    _, first = world.merge(broken)
    world.work()
    _, sha = world.merge(files(host="good.example.org"))
    world.work()
    assert world.record(first).state in (DeployState.ROLLED_BACK, DeployState.FAILED)
    assert world.record(sha).state is DeployState.DONE, world.record(sha)


def test_two_merges_at_once_the_later_is_deployed_and_the_earlier_is_in_it(world, files) -> None:
    world.deployed_first()
    _, earlier = world.merge(files(host="one.example.org"))
    _, later = world.merge(files(host="two.example.org"))
    # Both are known before either has had its turn.
    for sha in (earlier, later):
        world.deps().deploys.create_or_load(_request(world, sha))
    world.work()
    assert world.record(later).state is DeployState.DONE
    assert world.record(earlier).state is DeployState.SUPERSEDED
    assert len(world.releases.history()) == 2
    assert world.statuses(earlier) == ["in_progress", "inactive"]


def test_a_later_merge_that_is_refused_does_not_keep_the_earlier_one_from_being_deployed(
    world, files
) -> None:
    world.deployed_first()
    _, earlier = world.merge(files(host="one.example.org"))
    _, later = world.merge(files(host="two.example.org"), approved=False)
    for sha in (earlier, later):
        world.deps().deploys.create_or_load(_request(world, sha))
    world.work()
    assert world.record(later).state is DeployState.FAILED
    assert world.record(earlier).state is DeployState.DONE


def _request(world, sha):
    from shared.deploy.records.requests import DeployRequest

    pull = next(one.number for one in world.repository.pulls.values() if one.merge_commit_sha == sha)
    return DeployRequest("acme/chat", sha, "production", pull, f"d-{sha[:12]}")


def test_a_push_is_mapped_to_its_pull_request_and_refused_without_one(world, files) -> None:
    _, merged = world.merge(files(host="one.example.org"))
    world.queues.take("deploys")
    world.send(merged)
    world.work()
    assert world.record(merged).state is DeployState.DONE
    direct = world.repository.commit(files(host="two.example.org"))
    world.send(direct)
    world.work()
    assert world.record(direct).state is DeployState.FAILED
    assert any("without a pull request" in line for line in world.record(direct).gates)


def test_a_replayed_delivery_and_another_event_of_the_same_merge_do_nothing(world, files) -> None:
    pull, sha = world.merge(files(host="one.example.org"))
    world.work()
    world.send(sha, pull.number)
    world.send(sha, 0, delivery="the-push-of-it")
    done = world.work()
    assert "is completed" in done[0]
    assert "is already done" in done[1]
    assert len(world.releases.history()) == 1
    assert len(world.people.told) == 1


def test_requests_that_came_together_are_each_deployed(world, files) -> None:
    import json

    from shared.deploy import job as deploy

    one = world.merge(files(host="one.example.org"))
    two = world.merge(files(host="two.example.org"))
    both = [json.loads(world.queues.take(deploy.QUEUE))[0] for _ in (one, two)]
    world.queues.send(deploy.QUEUE, json.dumps(both))
    world.work()
    assert {world.record(one[1]).state, world.record(two[1]).state} <= {
        DeployState.DONE,
        DeployState.SUPERSEDED,
    }
    assert world.record(two[1]).state is DeployState.DONE


def test_a_commit_that_was_forced_away_is_refused(world, files) -> None:
    _, sha = world.merge(files(host="one.example.org"))
    world.repository.move("main", world.repository.history.add((), {"README.md": b"x"}, "eve", "rewrite"))
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert any("branch" in line and line.startswith("closed") for line in world.record(sha).gates)


def test_a_commit_that_is_gone_fails_with_a_reason(world, files) -> None:
    _, sha = world.merge(files(host="one.example.org"))
    world.repository.forget(sha)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.people.titles


def test_checks_that_still_run_are_waited_for_and_then_it_goes_on(world, files) -> None:
    pull = world.propose(files(host="one.example.org"))
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "test", None)
    sha = world.repository.merge(pull, by="grace")
    world.send(sha, pull.number)
    world.work(most=2)
    assert world.record(sha).state is DeployState.GATING
    world.repository.check(pull.head_sha, "test", "success")
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_checks_that_never_end_are_not_waited_for_for_ever(world, files) -> None:
    pull = world.propose(files(host="one.example.org"))
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "test", None)
    sha = world.repository.merge(pull, by="grace")
    world.send(sha, pull.number)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert world.record(sha).duration >= world.policy.checks_timeout


def test_github_down_for_a_while_is_waited_out(world, files) -> None:
    world.forge.failures = [Unavailable("GitHub does not answer")] * 5
    _, sha = world.merge(files(host="one.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_people_are_told_once_when_an_outage_in_the_middle_lasts(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files(host="one.example.org"))
    world.releases.failures = [Unavailable("no such host")] * 250
    world.work(most=250)
    assert [title for title in world.people.titles if "stuck" in title]
    world.releases.failures = []
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_deploy_nobody_could_be_told_of_is_told_later(world, files) -> None:
    world.people.down = True
    _, sha = world.merge(files(host="one.example.org"))
    world.work(most=3)
    record = world.record(sha)
    assert (record.state, record.notified) == (DeployState.DONE, False)
    world.people.down = False
    world.work()
    assert world.record(sha).notified
    assert len(world.people.told) == 1


def test_a_deploy_that_lost_its_message_is_taken_up_again(world, files) -> None:
    from shared.deploy import job as deploy

    _, sha = world.merge(files(host="one.example.org"))
    world.deps().deploys.create_or_load(_request(world, sha))
    world.queues.take(deploy.QUEUE)
    assert "no deploy" in sweep.sweep_deploys(world.deps())
    world.clock.advance(sweep.STALE_AFTER + timedelta(seconds=1))
    sweep.sweep_deploys(world.deps())
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_merge_whose_webhook_was_missed_is_found_before_anything_was_deployed(world, files) -> None:
    pull, sha = world.merge(files(host="one.example.org"))
    world.queues.take(sweep.QUEUE)
    assert "no deploy" in sweep.sweep_deploys(world.deps()), "its webhook may still come"
    world.clock.advance(sweep.STALE_AFTER + timedelta(seconds=1))
    assert f"queued merge #{pull.number}" in sweep.sweep_deploys(world.deps())
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_merge_from_long_before_the_first_deploy_is_left_alone(world, files) -> None:
    world.merge(files(host="one.example.org"))
    world.queues.take(sweep.QUEUE)
    world.clock.advance(sweep.FIRST_MERGE_WITHIN + timedelta(seconds=1))
    assert "no deploy" in sweep.sweep_deploys(world.deps())


def test_health_says_when_a_webhook_last_announced_a_merge(world, files) -> None:
    deps = world.deps()
    assert describe_last_webhook(deps.deploys, world.clock.now()) == "no merge was announced yet"
    world.merge(files(host="one.example.org"))
    world.work()
    world.clock.advance(timedelta(days=3))
    request_deploy(deps, world.repository.branches["main"], "production")  # by hand: no webhook
    world.work()
    assert describe_last_webhook(deps.deploys, world.clock.now()).startswith("last merge announced 3 d")
