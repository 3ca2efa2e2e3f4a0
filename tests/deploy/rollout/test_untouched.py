"""Helm refused before it changed anything: that is said, nothing is proposed, and the next merge deploys."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy.progress import DeployState
from shared.kernel.errors import Unavailable

WIDGET = b"apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {}\n"
MIGRATES = {"8.2.0": 300, "8.3.0": 301}


@pytest.fixture
def running(world):
    """A world in which 8.2.0 has been running for a while, and the cluster does not know the kind Widget."""
    world.migrates = dict(MIGRATES)
    world.releases.unknown_kinds = {"Widget"}
    world.deployed_first("8.2.0")
    return world


def refused(world, files, version: str = "8.3.0"):
    """Merge a version beside a kind that the cluster does not know; the record of its deploy."""
    _, sha = world.merge({**files(version), "templates/widget.yaml": WIDGET})
    world.work()
    return world.record(sha)


@pytest.mark.parametrize("schema", [300, None], ids=["the schema is known", "the schema was never known"])
def test_a_new_version_that_helm_refused_at_once_proposes_no_restore(running, files, schema) -> None:
    running.schema, running.migrates = schema, {}
    record = refused(running, files)
    assert record.state is DeployState.FAILED, record
    assert record.progress.reason.endswith("; nothing was changed")
    assert "no matches for kind" in record.progress.reason
    assert record.progress.attempts == 1
    assert running.deps().watermarks.read() is None
    assert len(running.releases.history()) == 1
    assert "Nothing was changed" in running.people.told[-1].hint
    assert running.runs.endswith(":8.2.0")


def test_after_it_a_revert_is_deployed_and_so_is_the_version_once_it_is_fixed(running, files) -> None:
    refused(running, files)
    _, reverted = running.merge({**files("8.2.0"), "templates/widget.yaml": None})
    running.work()
    assert running.record(reverted).state is DeployState.DONE
    _, fixed = running.merge(files("8.3.0"))
    running.work()
    assert running.record(fixed).state is DeployState.DONE
    assert running.runs.endswith(":8.3.0")


def test_a_schema_that_another_hand_changed_meanwhile_is_still_taken_for_migrated(running, files) -> None:
    running.readings = [300, 300, 301]  # at the gates, when the backup was sealed, after Helm refused
    record = refused(running, files)
    assert record.state is DeployState.RESTORE_PROPOSED, record


def test_a_database_that_cannot_be_asked_is_waited_for_before_anything_is_said(running, files) -> None:
    _, sha = running.merge({**files("8.3.0"), "templates/widget.yaml": WIDGET})
    # Asked by the gates, when the backup is sealed, and after Helm refused.
    running.work(FaultPlan(Fault(Unavailable("no primary"), operation="server", step=2)))
    record = running.record(sha)
    assert "waiting: no primary" in record.log
    assert record.state is DeployState.FAILED, record
    assert record.progress.reason.endswith("; nothing was changed")


def changed(pod, *path: str, to: object):
    """The pod with another value at the path."""
    copied = copy.deepcopy(pod)
    place = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return copied


CREATED = ("metadata", "creationTimestamp")
NEW_SPEC = {"containers": [{"image": "chat:8.3.0"}]}
RAN = {"phase": "Running", "containerStatuses": [{"name": "rocketchat", "state": {"running": {}}}]}
EARLY = "2026-11-23T08:00:00Z"
TRACES = {
    "a newer pod": lambda pod: [
        pod,
        changed(pod, "metadata", "creationTimestamp", to="2026-11-23T10:00:00Z"),
    ],
    "a pod of unknown age": lambda pod: [pod, changed(pod, "metadata", "creationTimestamp", to=None)],
    "no pods": lambda _pod: [],
    "a pod of the new version": lambda pod: [
        pod,
        changed(pod, "spec", "containers", to=[{"image": "c:8.3.0"}]),
    ],
    "no pod that ever ran": lambda pod: [changed(pod, "status", "containerStatuses", to=[])],
}


def show_pods(world, trace) -> None:
    """Let the cluster show other pods than there are."""
    world.cluster.show = lambda kind, items: (
        [shown for pod in items for shown in trace(pod)] if kind == "Pod" else items
    )


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES.keys())
def test_where_pods_do_not_show_that_nothing_started_an_unknown_schema_proposes_the_restore(
    running, files, trace
) -> None:
    running.schema, running.migrates = None, {}
    show_pods(running, trace)
    record = refused(running, files)
    assert record.state is DeployState.RESTORE_PROPOSED, record
    assert running.deps().watermarks.read().version == "8.3.0"


def test_a_workload_of_the_new_version_shows_that_something_was_applied(running, files) -> None:
    running.schema, running.migrates = None, {}
    template = {"spec": NEW_SPEC}
    running.cluster.show = lambda kind, items: [
        changed(item, "spec", "template", to=template) if kind == "Deployment" else item for item in items
    ]
    assert refused(running, files).state is DeployState.RESTORE_PROPOSED


def test_pods_that_came_between_two_attempts_prove_nothing(running, files) -> None:
    running.schema, running.migrates = None, {}
    _, sha = running.merge({**files("8.3.0"), "templates/widget.yaml": WIDGET})
    with pytest.raises(Killed):
        running.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    came = running.clock.now() + timedelta(minutes=1)
    show_pods(running, lambda pod: [pod, changed(pod, *CREATED, to=came.isoformat())])
    running.die()
    running.work()
    record = running.record(sha)
    assert record.progress.attempts == 2
    assert record.state is DeployState.RESTORE_PROPOSED, record


def test_without_another_version_the_database_need_not_be_asked(running, files) -> None:
    _, sha = running.merge({**files(host="new.example.org"), "templates/widget.yaml": WIDGET})
    running.work(FaultPlan(Fault(Unavailable("no primary"), operation="server", step=1, times=99)))
    record = running.record(sha)
    assert record.state is DeployState.FAILED, record
    assert record.progress.reason.endswith("; nothing was changed")
    assert record.duration < timedelta(minutes=1)


def test_while_a_restore_is_proposed_a_newer_version_that_helm_refused_changes_nothing_of_it(
    running, files
) -> None:
    running.login = lambda: False
    _, failed = running.merge(files("8.3.0"))
    running.work()
    before = running.deps().watermarks.read()
    assert running.record(failed).state is DeployState.RESTORE_PROPOSED
    record = refused(running, files, "8.3.1")
    assert record.state is DeployState.FAILED, record
    assert record.progress.reason.endswith("; nothing was changed")
    after = running.deps().watermarks.read()
    assert (after.version, after.backup, after.revision) == ("8.3.0", before.backup, before.revision)


def test_the_same_version_again_after_a_failure_is_refused_without_another_proposal(running, files) -> None:
    _, failed = running.merge(running.broken("8.3.0"))
    running.work()
    assert running.record(failed).state is DeployState.RESTORE_PROPOSED
    running.clock.advance(timedelta(minutes=1))
    # A pod of the old version never left, since none of the new ones got ready.
    show_pods(running, lambda pod: [pod, changed(pod, "status", to=RAN), changed(pod, *CREATED, to=EARLY)])
    record = refused(running, files, "8.3.0")
    assert record.state is DeployState.FAILED, record
    assert running.deps().watermarks.read().version == "8.3.0"
