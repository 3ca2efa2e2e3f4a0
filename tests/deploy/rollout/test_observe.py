"""What a deploy sees of its release: whose operation is in progress, what started, the schema of the data."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.rollout.observe import SCHEMA_UNKNOWN_AFTER, ReleaseObserver
from shared.deploy.rollout.session import DeploySession
from shared.kernel.errors import NotFound, Refused, Unavailable

SECOND = timedelta(seconds=1)
NEW = "registry.example/rocket.chat:8.3.0"


@pytest.fixture
def begun(world, files):
    """A world in which the deploy of 8.3.0 was left right when Helm was to start; with its commit."""
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    world.state.holders_died()
    return world, sha


def observer(world, sha: str, lease, **changes: object) -> ReleaseObserver:
    record = replace(world.record(sha), **changes)
    return ReleaseObserver(DeploySession(world.deps(), record, lease))


def test_the_watermark_is_set_before_helm_is_started(begun) -> None:
    world, sha = begun
    watermark = world.deps().watermarks.read()
    assert (watermark.version, watermark.previous_version, watermark.deploy) == (
        "8.3.0",
        "8.2.0",
        world.record(sha).progress.key,
    )
    assert len(world.releases.history()) == 1


def test_the_watermark_of_a_first_release_is_set_before_helm_is_started(world, files) -> None:
    world.schema = None
    world.merge(files("8.2.0"))
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    assert world.deps().watermarks.read().version == "8.2.0"


@pytest.mark.parametrize(
    ("started", "age", "foreign"),
    [
        pytest.param(timedelta(), timedelta(), False, id="in the moment of our start"),
        pytest.param(-SECOND, timedelta(), False, id="within the skew of the clocks"),
        pytest.param(-2 * SECOND, timedelta(), True, id="before we started"),
        pytest.param(timedelta(minutes=2), timedelta(), False, id="as late as Helm writes it down"),
        pytest.param(timedelta(minutes=2, seconds=1), timedelta(), True, id="later than Helm would"),
        pytest.param(None, timedelta(), True, id="while we never started"),
        pytest.param(None, timedelta(days=1), False, id="so old that it was interrupted"),
    ],
)
def test_a_pending_revision_is_ours_only_if_it_began_when_we_did(begun, started, age, foreign) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    pending: datetime = world.releases.status().at
    applied_at = None if started is None else pending - started
    world.clock.advance(age)
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease, applied_at=applied_at).observe().external is foreign


def pod(name: str, *, started: bool, image: str = NEW) -> dict:
    state = {"running": {}} if started else {"waiting": {"reason": "ContainerCreating"}}
    return {
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"image": image}]},
        "status": {"containerStatuses": [{"name": "rocketchat", "state": state}]},
    }


@pytest.mark.parametrize(
    ("pods", "started"),
    [
        pytest.param([], None, id="no pod of the new version"),
        pytest.param([pod("a", started=True, image="x:8.2.0")], None, id="only one of the old version"),
        pytest.param([pod("a", started=False), pod("b", started=False)], False, id="none ever ran"),
        pytest.param([pod("a", started=False), pod("b", started=True)], True, id="one of two ran"),
    ],
)
def test_one_pod_that_ran_is_enough(begun, pods, started) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.cluster.show = lambda kind, items: pods if kind == "Pod" else items
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).observe().new_version_started is started


def test_a_schema_that_cannot_be_read_is_waited_for_and_then_unknown(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        watching = observer(world, sha, lease)
        for wait in (timedelta(), SCHEMA_UNKNOWN_AFTER - SECOND):
            world.clock.advance(wait)
            world.database_failures = [Unavailable("no primary")]
            with pytest.raises(Unavailable):
                watching.observe()
        world.clock.advance(SECOND)
        world.database_failures = [Unavailable("no primary")]
        assert watching.observe().schema is None
        assert watching.observe().schema == 300, "it answers again"
        world.database_failures = [Unavailable("no primary")]
        with pytest.raises(Unavailable):
            watching.observe()


def test_a_schema_that_may_not_be_read_is_unknown_at_once(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.database_failures = [Refused("not authorized")]
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).observe().schema is None


@pytest.mark.parametrize(
    ("after", "watermark"),
    [pytest.param(300, "8.2.0", id="it left data"), pytest.param(None, "", id="it left none")],
)
def test_a_first_release_that_failed_keeps_its_watermark_where_it_left_data(world, after, watermark) -> None:
    world.schema = None
    world.readings = [None, after]  # at the gates, after Helm uninstalled it
    world.merge(world.broken("8.2.0"))
    world.work()
    assert world.releases.status() is None, "uninstalled by Helm"
    assert world.readings == []
    found = world.deps().watermarks.read()
    assert (found.version if found else "") == watermark


def test_a_revision_that_is_pending_is_never_taken_for_unchanged(begun) -> None:
    """Somebody is at work on it, or was killed at it, whatever was noted as the newest one before."""
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease, newest_revision_before=2).observe()
    assert (observed.revision, observed.pending) == (2, True)


def test_another_client_is_waited_for_as_long_as_its_operation_can_take(begun) -> None:
    """A hook, the wait, a hook, the rollback: four times the timeout, and not a second more."""
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        watching = observer(world, sha, lease, applied_at=None)
        world.clock.advance(4 * world.deps().policy.helm_timeout - SECOND)
        assert watching.observe().external
        world.clock.advance(SECOND)
        assert not watching.observe().external


def test_the_workloads_of_the_very_first_revision_are_looked_at_too(begun) -> None:
    world, sha = begun
    world.cluster.show = lambda _kind, items: [{**one, "status": {}} for one in items]
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).unhealthy_workloads(1)


def test_what_somebody_else_has_finished_is_not_waited_for(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.releases.repair()
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease, applied_at=None).observe()
    assert (observed.revision, observed.status, observed.external) == (2, "failed", False)


def test_a_pending_revision_without_a_time_is_a_leftover_to_repair(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    world.releases.forget_time()
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease, applied_at=None).observe()
    assert (observed.pending, observed.external) == (True, False)


def test_within_one_version_neither_the_database_nor_the_pods_are_asked(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    progress = world.record(sha).progress
    same = replace(progress, version_before=progress.version_after)
    world.database_failures = [Unavailable("no primary")]
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease, progress=same).observe()
    assert (observed.revision, observed.schema, observed.new_version_started) == (2, None, None)
    assert world.database_failures, "nobody asked"


def test_the_database_may_be_away_for_a_quarter_of_an_hour() -> None:
    assert timedelta(minutes=15) == SCHEMA_UNKNOWN_AFTER


def remade(item: dict[str, Any], created: str | None = None, **changes: Any) -> dict[str, Any]:
    """The object with another time of its making, and with other parts."""
    made = {**item["metadata"], "creationTimestamp": created} if created else item["metadata"]
    return {**item, "metadata": made, **changes}


OLD_POD, LATE_POD = "2026-11-23T08:00:00Z", "2030-01-01T00:00:00Z"
RUNS_NEW = {"containers": [{"image": "sidecar:1"}, {"image": NEW}]}


@pytest.mark.parametrize(
    ("pods", "untouched"),
    [
        pytest.param(lambda pod: [remade(pod, OLD_POD)], True, id="one from before"),
        pytest.param(lambda pod: [remade(pod, OLD_POD), remade(pod, LATE_POD)], False, id="one came later"),
        pytest.param(lambda pod: [remade(pod, LATE_POD), remade(pod, OLD_POD)], False, id="one came first"),
        pytest.param(lambda pod: [remade(pod, OLD_POD), remade(pod, "?")], False, id="one of unknown age"),
        pytest.param(lambda _pod: [], False, id="none"),
        pytest.param(lambda pod: [remade(pod, OLD_POD, status={})], False, id="none that ran"),
        pytest.param(
            lambda pod: [remade(pod, OLD_POD, status={}), remade(pod, OLD_POD)], True, id="one of two ran"
        ),
        pytest.param(
            lambda pod: [remade(pod, OLD_POD), remade(pod, OLD_POD, spec=RUNS_NEW)], False, id="of the new"
        ),
    ],
)
def test_only_pods_that_have_run_since_before_show_that_nothing_was_applied(begun, pods, untouched) -> None:
    world, sha = begun
    world.cluster.show = lambda kind, items: (
        [one for pod in items for one in pods(pod)] if kind == "Pod" else items
    )
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease).observe()
    assert (observed.revision, observed.status) == (1, "deployed")
    assert observed.untouched is untouched


@pytest.mark.parametrize(("seconds", "untouched"), [(1, False), (2, True)])
def test_a_pod_of_the_second_before_may_be_of_this_deploy(begun, seconds: int, untouched: bool) -> None:
    world, sha = begun
    first = world.record(sha).first_applied_at
    assert first is not None
    at = (first - seconds * SECOND).isoformat()
    world.cluster.show = lambda kind, items: [remade(one, at) for one in items] if kind == "Pod" else items
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).observe().untouched is untouched


def test_a_workload_of_the_new_version_shows_that_something_was_applied(begun) -> None:
    world, sha = begun

    def show(kind: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if kind == "Pod":
            return [remade(one, OLD_POD) for one in items]
        return [{**one, "spec": {**one["spec"], "template": {"spec": RUNS_NEW}}} for one in items]

    world.cluster.show = lambda kind, items: show(kind, items) if items else items
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).observe().untouched is False


def test_what_was_never_applied_needs_no_proof(begun) -> None:
    world, sha = begun
    world.database_failures = [Unavailable("no primary")]
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease, first_applied_at=None).observe()
    assert (observed.revision, observed.schema) == (1, None)
    assert world.database_failures, "nobody asked"


def test_one_image_of_several_makes_a_pod_one_of_the_new_version(begun) -> None:
    world, sha = begun
    world.releases.leave_pending(fetch_chart(world.deps(), sha).package)
    mixed = pod("a", started=True)
    mixed["spec"]["containers"].insert(0, {"image": "sidecar:1"})
    world.cluster.show = lambda kind, items: [mixed] if kind == "Pod" else items
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        assert observer(world, sha, lease).observe().new_version_started is True


def test_each_revision_is_looked_at_by_its_own_manifests(begun) -> None:
    world, sha = begun
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        watching = observer(world, sha, lease)
        assert watching.unhealthy_workloads(1) == watching.unhealthy_workloads(1) == []
        with pytest.raises(NotFound):
            watching.unhealthy_workloads(2)


def test_a_release_that_is_not_there_is_observed_as_none(world, files) -> None:
    _, sha = world.merge(files("8.2.0"))
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    world.state.holders_died()
    with world.state.lease("x", duration=timedelta(seconds=30)) as lease:
        observed = observer(world, sha, lease).observe()
    assert (observed.revision, observed.status, observed.external) == (0, "", False)
