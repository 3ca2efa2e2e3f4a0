"""Raising the feature compatibility version: two people, one step, read back, safe to be killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.features import MemoryFeatures
from local.fakes.notifications import MemoryNotifications
from shared.alerts.model import Alert, KnownAlert
from shared.alerts.records import AlertRecords, Heartbeat
from shared.deploy.deps import LEASE_DURATION, lease_name
from shared.deploy.features import job
from shared.deploy.features.decide import SealedBackup
from shared.deploy.features.deps import FeatureDeps
from shared.deploy.records.watermarks import WatermarkStore
from shared.deploy.watermark import VersionWatermark
from shared.health.ports import Health
from shared.kernel.errors import Locked, Refused, Unavailable
from shared.notifications.model import Severity
from shared.records.audit import AuditTrail
from tests.support.approvals import make_approvals

LEASE = lease_name("rocketchat", "rocketchat")


@dataclass
class FeatureWorld:
    """A server in 8.2 with the features of 8.0, well for three days."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 11, 28, 9, tzinfo=UTC)))
    server: MemoryFeatures = field(default_factory=MemoryFeatures)
    health: Health = field(default_factory=lambda: Health(True, "ready"))
    compatible: tuple[str, ...] | None = ("8.0",)

    def __post_init__(self) -> None:
        self.state, self.people = MemoryBlobs(self.clock), MemoryNotifications(self.clock)
        now = self.clock.now()
        self.backups = [
            SealedBackup(f"daily/{days}", now - timedelta(days=days), "8.2.11") for days in range(4)
        ]
        AlertRecords(self.state).save_heartbeat(Heartbeat(now, now))

    def deps(self, plan: FaultPlan | None = None) -> FeatureDeps:
        plan = plan or FaultPlan()
        return FeatureDeps(
            server=with_faults(self.server, plan, "server"),
            state=with_faults(self.state, plan, "state"),
            clock=self.clock,
            notifications=with_faults(self.people, plan, "people"),
            approvals=lambda: make_approvals(self.state, self.clock),
            approval_timeout=timedelta(hours=8),
            lease_name=LEASE,
            watermarks=WatermarkStore(self.state, "rocketchat", "rocketchat"),
            backups=lambda: self.backups,
            chat_version=lambda: "8.6.1",
            chat_health=lambda version: self.health if version == "8.6.1" else Health(False, version),
            compatible_mongodb=lambda _version: self.compatible,
        )

    def raise_features(self, plan: FaultPlan | None = None, by: str = "ana") -> str:
        deps = self.deps(plan)
        return job.raise_features(deps, job.plan_features(deps), by=by)

    def approve(self, by: str = "bea") -> None:
        approvals = make_approvals(self.state, self.clock)
        (pending,) = approvals.pending()
        approvals.approve(pending.id, by=by)

    def alert(self, severity: Severity = Severity.CRITICAL, *, firing: bool = True, **known: object) -> None:
        now = self.clock.now()
        alert = Alert("f", firing, "MongoDBDown", severity, "", "", "", now, "Alertmanager")
        seen_at = known.pop("seen_at", now)
        records = AlertRecords(self.state)
        assert records.save({"f": KnownAlert(alert, seen_at, **known)}, records.load()[1])

    def audit(self) -> list[tuple[str, str]]:
        return [(entry.actor, entry.outcome) for entry in AuditTrail(self.state, self.clock).verify()]


@pytest.fixture
def place() -> FeatureWorld:
    return FeatureWorld()


def test_one_person_asks_and_nothing_happens_until_another_one_approves(place: FeatureWorld) -> None:
    with pytest.raises(Refused, match="needs the approval of a second person") as raised:
        place.raise_features()
    (request,) = make_approvals(place.state, place.clock).pending()
    assert f"groundcrew deploy approve {request.id}" in raised.value.hint
    assert dict(request.arguments) == {"server": "8.2.11", "from": "8.0", "to": "8.2"}
    assert place.server.features == "8.0"
    with pytest.raises(Refused, match="different people"):
        place.approve(by="ana")
    place.approve()
    done = place.raise_features()
    assert done == (
        "MongoDB: raised feature compatibility version 8.0 to 8.2 (MongoDB 8.2.11), by ana, approved by bea"
    )
    assert place.server.features == "8.2"
    assert place.audit() == [("ana", "begins, approved by bea"), ("ana", "done")]
    assert "raised feature compatibility version 8.0 to 8.2" in place.people.told[-1].title
    assert not make_approvals(place.state, place.clock).pending(), "an approval is good for one raise"
    assert "already" in place.raise_features()


HINDRANCES: dict[str, Callable[[FeatureWorld], object]] = {
    "a restore is proposed": lambda place: WatermarkStore(place.state, "rocketchat", "rocketchat").save(
        VersionWatermark("8.7.0", "8.6.1", 4, "manual/x", 300, "deploy", place.clock.now())
    ),
    "not well": lambda place: setattr(place, "health", Health(False, "/readyz answers 503")),
    "not 8.2.11": lambda place: setattr(place, "compatible", ("7.0",)),
    "MongoDBDown": lambda place: place.alert(),
    "no good backup": lambda place: place.backups.clear(),
}


@pytest.mark.parametrize("reason", HINDRANCES)
def test_what_is_in_the_way_is_asked_again_after_the_approval(place: FeatureWorld, reason: str) -> None:
    with pytest.raises(Refused):
        place.raise_features()
    place.approve()
    HINDRANCES[reason](place)
    with pytest.raises(Refused, match="not raised yet") as raised:
        place.raise_features()
    assert reason in str(raised.value.value)
    assert place.server.features == "8.0"
    assert place.audit() == []


def test_alerts_that_are_over_less_urgent_or_planned_are_not_in_the_way(place: FeatureWorld) -> None:
    place.alert(Severity.WARNING)
    assert job.plan_features(place.deps()).problems == ()
    place.state.delete("alerts/known.json")
    place.alert(firing=False, seen_at=place.clock.now() - timedelta(days=2))
    assert job.plan_features(place.deps()).problems == ()
    place.state.delete("alerts/known.json")
    place.alert(firing=False, seen_at=place.clock.now() - timedelta(days=2) + timedelta(seconds=1))
    assert job.plan_features(place.deps()).problems
    place.state.delete("alerts/known.json")
    place.alert(muted="the machine is off by its schedule")
    assert job.plan_features(place.deps()).problems == ()


def test_where_no_alertmanager_reported_of_late_that_is_said(place: FeatureWorld) -> None:
    assert job.plan_features(place.deps()).warnings == ()
    AlertRecords(place.state).save_heartbeat(Heartbeat(place.clock.now() - timedelta(days=2)))
    assert "alerts are unknown" in job.plan_features(place.deps()).warnings[0]
    place.state.delete("alerts/known.json")
    assert "alerts are unknown" in job.plan_features(place.deps()).warnings[0]


def test_a_server_that_was_upgraded_since_the_approval_needs_another_one(place: FeatureWorld) -> None:
    deps = place.deps()
    plan = job.plan_features(deps)
    place.server.server = "8.2.12"
    with pytest.raises(Refused, match="MongoDB changed since the plan"):
        job.raise_features(deps, plan, by="ana")
    with pytest.raises(Refused, match="second person"):
        place.raise_features()
    place.approve()
    place.server.server = "8.2.13"
    with pytest.raises(Refused, match="second person"):
        place.raise_features()
    assert place.server.features == "8.0"


def test_while_a_deploy_holds_the_release_nothing_is_raised(place: FeatureWorld) -> None:
    with place.state.lease(LEASE, duration=LEASE_DURATION), pytest.raises(Locked):
        place.raise_features()
    assert place.server.features == "8.0"


def test_a_change_that_the_server_did_not_finish_is_said_and_finished_by_the_next_run(
    place: FeatureWorld,
) -> None:
    with pytest.raises(Refused):
        place.raise_features()
    place.approve()
    place.server.stuck = True
    with pytest.raises(Unavailable):
        place.raise_features()
    assert job.plan_features(place.deps()).done is False
    place.raise_features()
    assert (place.server.features, place.server.target) == ("8.2", "")


@pytest.mark.parametrize("after", [False, True], ids=["before the command", "after the command"])
def test_killed_at_the_command_it_is_on_record_and_runs_again(place: FeatureWorld, after: bool) -> None:
    with pytest.raises(Refused):
        place.raise_features()
    place.approve()
    when = "after" if after else "before"
    with pytest.raises(Killed):
        place.raise_features(FaultPlan(Fault(Killed(), operation="server.raise_to", when=when)))
    assert place.audit() == [("ana", "begins, approved by bea")]
    place.state.holders_died()
    place.clock.advance(LEASE_DURATION)
    place.raise_features()
    assert place.server.features == "8.2"


def test_a_message_that_fails_does_not_make_a_raise_fail(place: FeatureWorld) -> None:
    with pytest.raises(Refused):
        place.raise_features()
    place.approve()
    fault = Fault(Unavailable("the chat is away"), operation="people.notify")
    assert "raised" in place.raise_features(FaultPlan(fault))
    assert place.server.features == "8.2"
