"""How a deploy ends: which watermark goes, and which stays for the deploys that come after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.deploy.progress import DeployState, ObservedRelease
from shared.deploy.rollout.endings import end_deploy, record_success
from shared.deploy.rollout.session import DeploySession
from shared.deploy.state_machine import NextStep
from shared.kernel.errors import Refused
from tests.support.deploy_world import World

SECOND = timedelta(seconds=1)
GONE = NextStep("fail_first_release", DeployState.FAILED, "it was uninstalled again")


@pytest.fixture
def begun(world: World, files) -> Iterator[tuple[World, DeploySession]]:
    """A deploy of 8.3.0 over 8.2.0 that has raised the watermark and is about to start Helm."""
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    with pytest.raises(Killed):
        world.work(FaultPlan(Fault(Killed(), operation="releases.upgrade_install")))
    world.state.holders_died()
    with world.state.lease("x", duration=timedelta(seconds=60)) as lease:
        yield world, DeploySession(world.deps(), world.record(sha), lease)


def finish(session: DeploySession, *, attempts: int = 1) -> None:
    """As a deploy that is done."""
    for state in (DeployState.WATCHING, DeployState.SMOKE, DeployState.DONE):
        session.transition(state, "it went well", attempts=attempts, revision_after=2)


@pytest.mark.parametrize(
    ("owner", "age", "stays"),
    [
        pytest.param("own", -SECOND, False, id="its own, whenever it was raised"),
        pytest.param("another", timedelta(), False, id="another's from before it was done"),
        pytest.param("another", -SECOND, True, id="another's from after it was done"),
    ],
)
def test_a_success_clears_what_it_covers_and_no_later_watermark(begun, owner, age, stays) -> None:
    _, session = begun
    finish(session)
    watermark = replace(session.deps.watermarks.read(), raised_at=session.record.state_since - age)
    if owner == "another":
        watermark = replace(watermark, deploy="another deploy")
    session.deps.watermarks.save(watermark)
    record_success(session)
    assert (session.deps.watermarks.read() == watermark) is stays
    entry = session.deps.ledger.read("production")
    assert (entry.sha, entry.revision) == (session.progress.sha, 2)


def test_what_applied_nothing_or_is_not_done_records_nothing(begun) -> None:
    _, session = begun
    before = session.deps.ledger.read("production")
    record_success(session)
    finish(session, attempts=0)
    record_success(session)
    assert session.deps.ledger.read("production") == before
    assert session.deps.watermarks.read() is not None


@pytest.mark.parametrize(
    ("had_data", "stays"),
    [pytest.param(True, True, id="data were there before"), pytest.param(False, False, id="there were none")],
)
def test_where_the_database_cannot_be_asked_what_was_there_before_decides(begun, had_data, stays) -> None:
    """A first release is uninstalled again, but its volume may stay."""
    world, session = begun
    session.record = replace(session.record, progress=replace(session.progress, had_data=had_data))
    world.database_failures = [Refused("not authorized")]
    end_deploy(session, GONE, ObservedRelease())
    assert (session.deps.watermarks.read() is not None) is stays
    assert session.state is DeployState.FAILED


@pytest.mark.parametrize(("schema", "stays"), [(300, True), (0, True), (None, False)])
def test_a_first_release_leaves_its_watermark_with_data_of_its_version(begun, schema, stays) -> None:
    world, session = begun
    world.schema = schema
    world.readings = [schema]
    end_deploy(session, GONE, ObservedRelease())
    assert (session.deps.watermarks.read() is not None) is stays


def test_an_end_that_left_the_data_alone_leaves_another_deploys_watermark(begun) -> None:
    _, session = begun
    other = replace(session.deps.watermarks.read(), deploy="another deploy")
    session.deps.watermarks.save(other)
    end_deploy(session, NextStep("fail", DeployState.FAILED, "refused by Helm"), ObservedRelease())
    assert session.deps.watermarks.read() == other


def test_what_is_unknown_in_the_end_keeps_the_watermark(begun) -> None:
    _, session = begun
    watermark = session.deps.watermarks.read()
    end_deploy(session, NextStep("fail_unknown", DeployState.FAILED, "nobody knows"), ObservedRelease())
    assert session.deps.watermarks.read() == watermark
    assert session.progress.outcome_unknown
