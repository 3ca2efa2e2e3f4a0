"""A merge accepted while the settings of deploys are wrong is on record, and begins once they are right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.deploy import sweep
from shared.deploy.progress import DeployState
from shared.deploy.records.requests import DeployRequest
from shared.deploy.unstarted import record_unstarted
from shared.kernel.errors import UsageError
from shared.settings.environment import BadSettings

ERROR = BadSettings(["GROUNDCREW_GITHUB_APP_KEY is no PEM file: hush", "GROUNDCREW_KUBECONFIG is not set"])


def _message(world, sha: str, pull: int = 0) -> list[dict[str, object]]:
    return [{"repository": world.deps().repository, "sha": sha, "environment": "production", "pull": pull}]


def test_it_is_recorded_with_its_reason_and_taken_up_when_the_settings_are_right(world, files) -> None:
    _, sha = world.merge(files(host="one.example.org"))
    world.queues.take("deploys")  # the worker that could not begin it
    store = world.deps().deploys
    done = record_unstarted(store, _message(world, sha), ERROR)
    assert sha[:7] in done
    (record,) = store.list_open()
    assert record.state is DeployState.QUEUED
    assert "GROUNDCREW_GITHUB_APP_KEY" in record.progress.reason
    assert "hush" not in record.progress.reason  # the page shows it
    world.clock.advance(sweep.STALE_AFTER + timedelta(minutes=1))
    sweep.sweep_deploys(world.deps())
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_one_that_has_begun_keeps_its_state_and_reason(world) -> None:
    store = world.deps().deploys
    request = DeployRequest(world.deps().repository, "a" * 40, "production")
    record = store.create_or_load(request)
    progress = replace(record.progress, state=DeployState.APPLYING, reason="Helm runs")
    record = store.save(replace(record, progress=progress))
    record_unstarted(store, _message(world, "a" * 40), ERROR)
    assert store.load(record.progress.key).progress == record.progress


def test_what_is_no_request_is_refused(world) -> None:
    with pytest.raises(UsageError, match="invalid queue message"):
        record_unstarted(world.deps().deploys, [{"sha": "x"}], ERROR)
