"""The steps of a deploy that touch the release, each with what it needs to see before it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.deps import RequeueAfter
from shared.deploy.progress import DeployState, ObservedRelease
from shared.deploy.rollout.observe import ReleaseObserver
from shared.deploy.rollout.session import DeploySession
from shared.deploy.rollout.steps import POLL_INTERVAL, READINESS_GRACE, ReleaseSteps, StepFailed
from shared.health.ports import Health
from tests.support.deploy_world import World

SECOND = timedelta(seconds=1)
APPLIED = ObservedRelease(2, "deployed", "Upgrade complete")


@pytest.fixture
def begun(world: World, files) -> Iterator[tuple[World, DeploySession, ReleaseSteps]]:
    """A deploy of 8.3.0 that is about to start Helm, and its steps."""
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    world.state.holders_died()
    with world.state.lease("x", duration=timedelta(seconds=60)) as lease:
        session = DeploySession(world.deps(), world.record(sha), lease)
        yield world, session, ReleaseSteps(session, ReleaseObserver(session))


def test_what_was_left_pending_is_repaired_before_the_rollback_and_nothing_else_is(begun) -> None:
    world, session, steps = begun
    world.releases.leave_pending(fetch_chart(world.deps(), session.progress.sha).package)
    observed = ReleaseObserver(session).observe()
    assert observed.pending
    result = steps.roll_back("it did not become healthy", observed)
    assert isinstance(result, StepFailed)
    assert (result.observed.status, result.reason) == ("deployed", "it did not become healthy")
    newest = world.releases.history()[-1]
    assert (newest.status, newest.description) == ("deployed", "Rollback to 1")
    repaired = [one for one in world.releases.history() if one.status.startswith("pending")]
    assert repaired == [], "no revision stays pending"


def test_a_release_that_is_not_pending_is_rolled_back_as_it_is(begun) -> None:
    world, session, steps = begun
    before = len(world.releases.history())
    steps.roll_back("first reason", APPLIED)
    assert len(world.releases.history()) == before + 1
    assert session.progress.rollback_attempts == 1
    assert session.progress.data_unchanged
    steps.roll_back("that of the second attempt", APPLIED)
    assert (session.progress.rollback_attempts, session.progress.reason) == (2, "first reason")


def test_a_workload_that_is_not_ready_is_given_its_time_and_no_more(begun) -> None:
    world, session, steps = begun
    session.transition(DeployState.WATCHING, "helm succeeded")
    world.cluster.show = lambda _kind, items: [{**one, "status": {}} for one in items]
    first = ObservedRelease(1, "deployed")
    waited = steps.watch("helm succeeded", first)
    assert isinstance(waited, RequeueAfter)
    assert (waited.delay, session.state) == (POLL_INTERVAL, DeployState.WATCHING)
    world.clock.advance(READINESS_GRACE - SECOND)
    assert isinstance(steps.watch("again", first), RequeueAfter)
    world.clock.advance(SECOND)
    failed = steps.watch("again", first)
    assert isinstance(failed, StepFailed)
    assert failed.observed == first
    assert failed.reason.startswith("unhealthy: ")
    assert "rocketchat-rocketchat" in failed.reason


def test_an_outage_takes_none_of_a_releases_time(begun) -> None:
    world, session, steps = begun
    session.transition(DeployState.WATCHING, "helm succeeded")
    session.record = replace(session.record, unavailable_since=world.clock.now())
    world.cluster.show = lambda _kind, items: [{**one, "status": {}} for one in items]
    world.clock.advance(READINESS_GRACE)
    assert isinstance(steps.watch("again", ObservedRelease(1, "deployed")), RequeueAfter)


def test_once_all_is_ready_the_smoke_test_is_next(begun) -> None:
    _, session, steps = begun
    session.transition(DeployState.WATCHING, "helm succeeded")
    assert steps.watch("helm succeeded", ObservedRelease(1, "deployed")) is None
    assert (session.state, session.progress.reason) == (DeployState.SMOKE, "all workloads are ready")


def test_a_server_that_does_not_answer_is_given_its_time_and_no_more(begun) -> None:
    world, session, steps = begun
    session.transition(DeployState.WATCHING, "helm succeeded")
    session.transition(DeployState.SMOKE, "all workloads are ready")
    asked: list[str] = []

    def answer(version: str) -> Health:
        asked.append(version)
        return Health(False, "503 from the login page")

    world.smoke = answer
    waited = steps.smoke_test(APPLIED)
    assert isinstance(waited, RequeueAfter)
    assert (waited.delay, waited.reason) == (POLL_INTERVAL, "503 from the login page")
    world.clock.advance(READINESS_GRACE)
    failed = steps.smoke_test(APPLIED)
    assert failed == StepFailed(APPLIED, "smoke test failed: 503 from the login page")
    world.smoke = lambda _version: Health(True, "8.3.0 serves")
    assert steps.smoke_test(APPLIED) is None
    assert (session.state, session.progress.reason) == (DeployState.DONE, "8.3.0 serves; revision 2")
    assert set(asked) == {"8.3.0"}


@pytest.mark.parametrize(
    ("data_of", "returns_to", "starts", "raises"),
    [
        pytest.param("8.2.0", "8.2.0", "8.2.0", False, id="one version throughout"),
        pytest.param("8.2.0", "8.2.0", "8.3.0", True, id="a new version"),
        # The deploy before this one failed, maybe after it had migrated the data.
        pytest.param("8.3.0", "8.2.0", "8.2.0", True, id="the data may be newer than what is returned to"),
    ],
)
def test_before_helm_starts_the_watermark_is_raised_wherever_a_version_could_meet_newer_data(
    begun, data_of: str, returns_to: str, starts: str, raises: bool
) -> None:
    world, session, steps = begun
    watermarks = world.deps().watermarks
    watermarks.clear()
    versions = {"version_before": data_of, "rollback_version": returns_to, "version_after": starts}
    session.record = replace(session.record, progress=replace(session.progress, **versions))
    steps.apply("the gates are open")
    watermark = watermarks.read()
    assert (watermark is not None) is raises
    if watermark is not None:
        assert (watermark.deploy, watermark.version) == (session.progress.key, starts)
