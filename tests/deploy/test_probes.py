"""After a deploy people's ways are probed: what fails is told, and undoes only what policy lets it undo."""

from __future__ import annotations

import pytest

from shared.deploy.progress import DeployState
from shared.deploy.rollout.steps import READINESS_GRACE
from shared.probes.model import ProbeReport

TEXT = "1 of 5 probes failed: message: stored, and did not arrive over the realtime stream"


def probe_with(world, *regressed: str, undoes: bool = False) -> list[bool]:
    """Each look of the deploys from now on comes to this; returns whether each was the last try."""
    tries: list[bool] = []

    def run_probes(_sha: str, last_try: bool) -> ProbeReport:
        tries.append(last_try)
        return ProbeReport(TEXT if regressed else "5 probes ok", regressed, undoes)

    world.run_probes = run_probes
    return tries


def test_the_record_says_what_was_probed(world, files) -> None:
    tries = probe_with(world)
    _, sha = world.merge(files(host="chat.example.net"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert "lets people in; 5 probes ok; revision 1" in record.progress.reason
    assert tries == [False]


def test_a_probe_that_fails_has_its_time_and_then_the_deploy_is_done_and_says_so(world, files) -> None:
    world.deployed_first()
    tries = probe_with(world, "message")
    begun = world.clock.now()
    _, sha = world.merge(files(host="other.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert TEXT in record.progress.reason
    assert tries[:-1] == [False] * (len(tries) - 1)
    assert tries[-1]
    assert world.clock.now() - begun >= READINESS_GRACE


def test_it_rolls_back_a_deploy_of_the_same_version_if_policy_says_so(world, files) -> None:
    world.deployed_first()
    probe_with(world, "message", undoes=True)
    _, sha = world.merge(files(host="other.example.org"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.ROLLED_BACK
    assert TEXT in record.progress.reason


@pytest.mark.parametrize("migrates", [True, False], ids=["migrated", "same schema"])
def test_it_never_undoes_another_version(world, files, migrates: bool) -> None:
    world.deployed_first("8.2.0")
    if migrates:
        world.migrates["8.3.0"] = 99
    probe_with(world, "sign-in", undoes=True)
    _, sha = world.merge(files("8.3.0"))
    world.work()
    record = world.record(sha)
    assert record.state is DeployState.DONE
    assert TEXT in record.progress.reason
    assert world.runs.endswith(":8.3.0")


def test_what_failed_before_keeps_no_deploy_waiting(world, files) -> None:
    world.deployed_first()
    tries: list[bool] = []
    world.run_probes = lambda _sha, last_try: (tries.append(last_try), ProbeReport(TEXT, (), True))[1]
    _, sha = world.merge(files(host="other.example.org"))
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert tries == [False]
