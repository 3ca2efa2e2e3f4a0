"""Going back by hand, and drift: who may, what is told, what is done."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.deploy import drift_job as drift
from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.ports.releases import ChartPackage, Revision
from shared.deploy.records.drift import load_drift_check
from shared.deploy.rollout.rollback import ACTION, RollbackPlan, plan_rollback, rollback
from shared.kernel.errors import Corrupt, Locked, NotFound, Refused, Unavailable
from shared.status.readers import read_deploy
from tests.support.approvals import make_approvals

HOUR = timedelta(hours=1)


def quiet(_line: str) -> None:
    """Takes what Helm says."""


def test_going_back_within_a_version_needs_nobody_else(world, files) -> None:
    world.deployed_first()
    world.merge(files(host="two.example.org"))
    world.work()
    way = plan_rollback(world.deps(), 1)
    assert not way.changes_version
    told = rollback(world.deps(), way, by="ada", on_progress=quiet)
    assert "by ada" in told
    assert world.releases.status().description == "Rollback to 1"
    assert any("rolled back to revision 1" in title for title in world.people.titles)


def test_going_back_to_another_version_needs_a_restore_and_another_person(world, files) -> None:
    world.deployed_first("8.2.0")
    world.merge(files("8.3.0"))
    world.work()
    world.backups["manual/20261122T090000Z"] = "sealed"
    deps = world.deps()
    with pytest.raises(Refused, match="Restore the backup"):
        rollback(deps, plan_rollback(deps, 1), by="ada", on_progress=quiet)
    way = plan_rollback(deps, 1, restored="manual/20261123T090000Z")
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(deps, way, by="ada", on_progress=quiet)
    approvals = make_approvals(world.state, world.clock)
    with pytest.raises(Refused, match="must be different people"):
        approvals.approve(str(asked.value.value), by="ada")
    approvals.approve(str(asked.value.value), by="grace")
    other = plan_rollback(deps, 1, restored="manual/20261122T090000Z")
    with pytest.raises(Refused, match="a second person"):
        rollback(deps, other, by="ada", on_progress=quiet)
    assert world.runs.endswith(":8.3.0")
    assert "approved by grace" in rollback(deps, way, by="ada", on_progress=quiet)
    assert world.runs.endswith(":8.2.0")
    with pytest.raises(Refused, match="changed since the plan"):
        rollback(deps, way, by="ada", on_progress=quiet)


def test_a_revision_there_is_not_is_named(world) -> None:
    world.deployed_first()
    with pytest.raises(NotFound, match="7"):
        plan_rollback(world.deps(), 7)


REVISION = Revision(3, "superseded", "chart-1", "8.2.0", "")


@pytest.mark.parametrize(
    ("now", "then", "changes"),
    [("8.2.0", "8.2.0", False), ("8.3.0", "8.2.0", True), ("8.2.0", "", True), ("", "", True)],
)
def test_a_version_that_is_not_known_counts_as_another(now: str, then: str, changes: bool) -> None:
    assert RollbackPlan(REVISION, now, then).changes_version is changes


def test_an_approval_is_bound_to_all_that_a_way_back_depends_on() -> None:
    way = RollbackPlan(REVISION, "8.3.0", "8.2.0", "manual/x", 300, 4)
    assert way.arguments == {
        "revision": "3", "current": "4", "from": "8.3.0", "to": "8.2.0", "restored": "manual/x",
    }  # fmt: skip
    assert str(way) == "rolled back to revision 3, Rocket.Chat 8.2.0"
    assert str(replace(way, version_then="")) == "rolled back to revision 3, Rocket.Chat (unknown version)"
    assert RollbackPlan(REVISION, "8.3.0", "8.2.0").arguments["current"] == "0"
    nothing = replace(way, target=None)
    assert (nothing.number, str(nothing)) == (0, "the data are those of manual/x")


def test_revision_0_is_none_where_a_proposal_names_a_revision(world, files) -> None:
    world.migrates = {"8.2.0": 300, "8.3.0": 301}
    world.deployed_first("8.2.0")
    world.merge(world.broken("8.3.0"))
    world.work()
    assert world.deps().watermarks.read().revision == 1
    with pytest.raises(NotFound, match="no such revision") as missing:
        plan_rollback(world.deps(), 0)
    assert missing.value.value == 0


def test_what_is_deployed_no_longer_is_called_inactive_and_its_approval_is_used_up(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.work()
    deps = world.deps()
    way = plan_rollback(deps, 1, restored=next(iter(world.backups)))
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(deps, way, by="ada", on_progress=quiet)
    approvals = make_approvals(world.state, world.clock)
    approvals.approve(str(asked.value.value), by="grace")
    assert approvals.find_granted(ACTION, way.arguments) is not None
    rollback(deps, way, by="ada", on_progress=quiet)
    assert approvals.find_granted(ACTION, way.arguments) is None
    assert world.statuses(sha)[-1] == "inactive"


def test_where_nothing_was_ever_deployed_there_is_nothing_to_go_back_from(world) -> None:
    with pytest.raises(NotFound, match="nothing is deployed"):
        plan_rollback(world.deps(), 1)
    with pytest.raises(NotFound, match="no such revision"):
        plan_rollback(world.deps(), 0)


def test_after_a_success_the_schema_of_before_is_that_of_its_own_record(world, files) -> None:
    world.migrates = {"8.2.0": 300, "8.3.0": 301}
    world.deployed_first("8.2.0")
    world.merge(files("8.3.0"))
    world.work()
    assert world.deps().watermarks.read() is None
    way = plan_rollback(world.deps(), 1)
    assert (way.schema, way.version_now, way.current) == (300, "8.3.0", 2)
    world.merge(files("8.3.0", host="two.example.org"))
    world.work()
    assert plan_rollback(world.deps(), 1).schema == 300, "a deploy within the version says nothing of it"


def test_only_the_backup_that_belongs_to_a_proposal_is_taken(world, files) -> None:
    world.migrates = {"8.2.0": 300, "8.3.0": 301}
    world.deployed_first("8.2.0")
    _, sha = world.merge(world.broken("8.3.0"))
    world.work()
    own = world.record(sha).progress.backup
    world.backups["manual/20261122T090000Z"] = "sealed"
    with pytest.raises(Refused, match="does not belong to this rollback") as refused:
        plan_rollback(world.deps(), 1, restored="manual/20261122T090000Z")
    assert refused.value.hint == f"The backup that belongs to it is {own}."
    assert plan_rollback(world.deps(), 1, restored=own).restored == own


def test_somebody_elses_helm_is_waited_for_and_what_was_left_is_repaired(world, files) -> None:
    world.deployed_first()
    world.merge(files(host="two.example.org"))
    world.work()
    world.releases.leave_pending(fetch_chart(world.deps(), world.repository.branches["main"]).package)
    timeout = 4 * world.deps().policy.helm_timeout
    world.clock.advance(timeout - timedelta(seconds=1))
    with pytest.raises(Locked, match="revision 3 is pending-upgrade"):
        rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)
    assert world.deps().holds.list_in_force() == (), "the machine is not kept up by it"
    world.clock.advance(timedelta(seconds=1))
    lines: list[str] = []
    rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=lines.append)
    assert [one.status for one in world.releases.history()][-2:] == ["failed", "deployed"]
    assert lines and "" not in lines


def test_a_pending_revision_without_a_time_is_waited_for(world, files) -> None:
    world.deployed_first()
    world.merge(files(host="two.example.org"))
    world.work()
    world.releases.leave_pending(fetch_chart(world.deps(), world.repository.branches["main"]).package)
    world.releases.forget_time()
    with pytest.raises(Locked, match="is pending-upgrade"):
        rollback(world.deps(), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)


def test_a_way_back_that_fails_is_on_record_and_spends_no_approval(world, files) -> None:
    world.deployed_first("8.2.0")
    world.merge(files("8.3.0"))
    world.work()
    deps = world.deps(FaultPlan(Fault(Unavailable("helm timed out"), operation="releases.rollback")))
    way = plan_rollback(deps, 1, restored=next(iter(world.backups)))
    with pytest.raises(Refused, match="a second person") as asked:
        rollback(deps, way, by="ada", on_progress=quiet)
    make_approvals(world.state, world.clock).approve(str(asked.value.value), by="grace")
    with pytest.raises(Unavailable, match="helm timed out"):
        rollback(deps, way, by="ada", on_progress=quiet)
    assert deps.holds.list_in_force() == ()
    assert "approved by grace" in rollback(deps, way, by="ada", on_progress=quiet)
    with pytest.raises(Refused):
        rollback(deps, way, by="ada", on_progress=quiet)


def test_a_way_back_is_done_though_nobody_can_be_told_of_it(world, files) -> None:
    first = world.deployed_first()
    world.merge(files(host="two.example.org"))
    world.work()
    deaf = FaultPlan(
        Fault(Unavailable("no mail"), operation="people.notify"),
        Fault(Unavailable("no GitHub"), operation="forge.list_deployments"),
    )
    told = rollback(world.deps(deaf), plan_rollback(world.deps(), 1), by="ada", on_progress=quiet)
    assert told.endswith("by ada")
    assert "approved" not in told
    assert world.deps().ledger.read("production").sha == first


def test_an_approval_ends_and_cannot_be_changed(world) -> None:
    approvals = make_approvals(world.state, world.clock)
    asked = approvals.request_approval("x", {"a": "1"}, by="ada", lasting=HOUR)
    assert approvals.request_approval("x", {"a": "1"}, by="ada", lasting=HOUR) == asked
    name = f"approvals/{asked.id}.json"
    data = world.state.read(name)[0]
    world.state.replace(name, data.replace(b'"1"', b'"2"'), etag=None)
    with pytest.raises(Corrupt, match="changed"):
        approvals.approve(asked.id, by="grace")
    world.state.replace(name, data, etag=None)
    world.clock.advance(HOUR)
    with pytest.raises(Refused, match="expired"):
        approvals.approve(asked.id, by="grace")
    assert approvals.consume_approval("x", {"a": "1"}) is None
    with pytest.raises(NotFound):
        approvals.approve("../holds/x", by="grace")


def by_hand(world) -> None:
    """Somebody changes the image with kubectl."""
    world.cluster.get_live_objects([])  # what runs is shown from here on
    (live,) = world.releases.live
    changed = json.loads(json.dumps(live))
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/rocket.chat:9.9.9"
    fields = {
        "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"rocketchat"}': {"f:image": {}}}}}}
    }
    changed["metadata"]["managedFields"] = [
        {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-23T08:00:00Z", "fieldsV1": fields}
    ]
    world.cluster.add(changed)


def test_drift_is_told_with_who_did_it_and_not_every_day_anew(world) -> None:
    world.deployed_first()
    assert drift.run_daily_check(world.deps()) == "revision 1: 0 fields differ from what was deployed"
    by_hand(world)
    assert "1 fields" in drift.run_daily_check(world.deps())
    assert "1 fields" in drift.run_daily_check(world.deps())
    (told,) = world.people.told
    assert "kubectl-edit" in told.text
    assert "9.9.9" in told.text
    world.clock.advance(timedelta(days=1))
    drift.run_daily_check(world.deps())
    assert len(world.people.told) == 2


def test_drift_is_corrected_on_demand(world) -> None:
    world.deployed_first()
    by_hand(world)
    found = drift.correct_drift(world.deps(), by="ada")
    assert found.corrected == "corrected"
    assert world.releases.status().description == "Rollback to 1"
    assert drift.compare_release(world.deps()).drifts == ()


def wants_correction(world) -> None:
    world.policy = world.policy.model_copy(update={"correct_drift": True})


def test_where_policy_wants_it_drift_is_taken_back_and_told_with_whose_change_it_was(world) -> None:
    world.deployed_first()
    wants_correction(world)
    for day in (1, 2):
        by_hand(world)
        assert (
            drift.run_daily_check(world.deps())
            == f"revision {day}: 1 fields differ from what was deployed; corrected"
        )
        assert world.people.told[-1].title == "rocketchat was changed by hand: 1 fields were undone"
        assert "kubectl-edit" in world.people.told[-1].text
        world.clock.advance(timedelta(days=1))
    assert drift.run_daily_check(world.deps()) == "revision 3: 0 fields differ from what was deployed"
    assert len(world.people.told) == 2
    audited = b"".join(world.state.read(one.name)[0] for one in world.state.list("audit/"))
    assert audited.count(b"deploy.drift") == 2


def test_what_cannot_be_taken_back_is_told_and_not_tried_each_day_anew(world) -> None:
    world.deployed_first()
    wants_correction(world)
    world.cluster.kept_away.add("rocketchat-rocketchat")
    said = drift.run_daily_check(world.deps())
    assert "corrected except 1 of 1 fields" in said
    assert "Not undone" in world.people.told[-1].text
    world.clock.advance(timedelta(days=1))
    assert drift.run_daily_check(world.deps()) == "revision 2: 1 fields differ from what was deployed"
    assert world.releases.status().number == 2
    assert "drifted: " in world.people.told[-1].title


def test_a_release_that_failed_is_not_compared_and_not_applied_again(world, files) -> None:
    world.deployed_first()
    wants_correction(world)
    broken = files("8.2.0")
    template = broken["templates/deployment.yaml"].replace(b"registry.example", b"never-pulls.example")
    package = ChartPackage({**broken, "templates/deployment.yaml": template})
    world.releases.upgrade_install(package, timeout=HOUR, rollback_on_failure=False, on_progress=quiet)
    by_hand(world)
    assert drift.run_daily_check(world.deps()) == "revision 2 is failed: not compared"
    assert drift.correct_drift(world.deps(), by="ada").skipped
    assert world.releases.status().number == 2
    assert world.people.told == []


def test_a_correction_that_loses_its_lease_ends_there(world) -> None:
    world.deployed_first()
    by_hand(world)
    plan = FaultPlan(Fault(Locked("the lease is lost"), operation="state.lease.check"))
    with pytest.raises(Locked):
        drift.correct_drift(world.deps(plan), by="ada")
    assert world.releases.status().status == "pending-rollback"


def test_where_nothing_may_be_read_the_check_fails_instead_of_finding_nothing(world) -> None:
    world.deployed_first()
    plan = FaultPlan(Fault(Refused("the cluster does not allow it"), operation="cluster.get_live_objects"))
    with pytest.raises(Refused):
        drift.compare_release(world.deps(plan))


def test_no_drift_is_looked_for_in_the_middle_of_a_deploy(world) -> None:
    world.deployed_first()
    with world.state.lease(world.deps().lease_name, duration=timedelta(seconds=30)):
        assert "a deploy is in progress" in drift.run_daily_check(world.deps())
    assert world.people.told == []


def test_a_drift_check_is_on_record_by_objects_and_made_up_for_when_it_was_missed(world) -> None:
    world.deployed_first()
    assert load_drift_check(world.state, "rocketchat", "rocketchat") is None
    drift.run_overdue_check(world.deps())
    assert load_drift_check(world.state, "rocketchat", "rocketchat").objects == 0
    by_hand(world)
    world.clock.advance(timedelta(hours=24))
    assert "less than a day ago" in drift.run_overdue_check(world.deps())
    world.clock.advance(timedelta(hours=1))
    assert "1 fields differ" in drift.run_overdue_check(world.deps())
    check = load_drift_check(world.state, "rocketchat", "rocketchat")
    assert (check.objects, check.at, check.skipped) == (1, world.clock.now(), "")
    facts = read_deploy(world.state, world.clock, world.deps().policy)
    assert (facts.drifted, facts.drift_at) == (1, world.clock.now())
    assert facts.succeeded_at is None or facts.succeeded_at <= world.clock.now()


def test_what_was_not_compared_has_no_number_of_drifted_objects(world) -> None:
    assert "there is no release" in drift.run_daily_check(world.deps())
    check = load_drift_check(world.state, "rocketchat", "rocketchat")
    assert (check.objects, check.skipped) == (None, "there is no release")
