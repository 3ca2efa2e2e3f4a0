"""Records and messages that earlier versions wrote are read: their keys had other names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.deploy.progress import DeployState
from shared.deploy.records.deployed import DeployedLedger
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.requests import parse_request
from shared.deploy.records.watermarks import WatermarkStore
from shared.kernel.errors import Corrupt

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SHA = "a" * 40
KEY = f"8741c9f1f5cfba15-{SHA}"
REQUEST = {"repository": "acme/chat", "sha": SHA, "environment": "production", "pull": 7}
DETAILS = {
    "request": {**REQUEST, "delivery": "", "again": "20261123T090000Z", "turn": 0},
    "record": {
        "key": KEY, "sha": SHA, "environment": "production", "state": "rolled_back", "pull": 7,
        "version_before": "8.2.0", "version_after": "8.3.0",
        "revision_before": 3, "revision_version": "8.1.0",
        "ways_back": 2, "clean": True, "unclear": True, "reason": "it failed",
    },
    "since": "2026-11-23T09:00:01+00:00", "by": "ada", "title": "Change", "merged_at": None,
    "unwell": "2026-11-23T09:00:02+00:00", "blind": "2026-11-23T09:00:03+00:00", "newest_before": 4,
    "applied": "2026-11-23T09:00:04+00:00", "backup_begun": "manual/x", "proposal": "", "turn": 5, "slips": 1,
    "told": True, "forge_told": True, "gates": ["passed  chart"], "plan": "", "log": ["one"],
}  # fmt: skip


def stored_deploy(details: dict[str, Any]) -> DeployStore:
    blobs, clock = MemoryBlobs(ManualClock(NOW)), ManualClock(NOW)
    run = {
        "job": "deploy", "id": KEY, "state": "failed",
        "started": NOW.isoformat(), "updated": NOW.isoformat(), "summary": "",
        "details": details,
    }  # fmt: skip
    blobs.create(f"runs/deploy/{KEY}.json", json.dumps(run).encode())
    return DeployStore(blobs, clock)


def test_the_record_of_a_deploy_is_read_under_its_old_keys() -> None:
    record = stored_deploy(DETAILS).load(KEY)
    assert record.state is DeployState.ROLLED_BACK
    assert (record.author, record.sequence, record.internal_errors) == ("ada", 5, 1)
    assert (record.notified, record.status_reported) == (True, True)
    times = record.state_since, record.unavailable_since, record.schema_unknown_since, record.applied_at
    assert [time.second for time in times if time] == [1, 2, 3, 4]
    assert (record.newest_revision_before, record.backup_reference) == (4, "manual/x")
    assert record.request.rerun == "20261123T090000Z"
    progress = record.progress
    assert (progress.rollback_version, progress.rollback_attempts) == ("8.1.0", 2)
    assert (progress.data_unchanged, progress.outcome_unknown) == (True, True)


def test_a_record_is_written_under_the_new_keys_and_read_back() -> None:
    store = stored_deploy(DETAILS)
    record = store.save(store.load(KEY))
    assert store.load(KEY) == record


@pytest.mark.parametrize(
    "broken", [{"record": None}, {"record": "x"}, {"request": 3}, {"log": None}], ids=str
)
def test_what_is_no_record_of_a_deploy_is_corrupt(broken: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="no record of a deploy"):
        stored_deploy({**DETAILS, **broken}).load(KEY)


def test_the_version_watermark_is_read_under_its_old_keys() -> None:
    blobs = MemoryBlobs(ManualClock(NOW))
    document = {
        "version": "8.3.0", "old": "8.2.0", "revision": 1, "backup": "manual/x", "schema": 300, "deploy": KEY,
        "at": NOW.isoformat(),
    }  # fmt: skip
    blobs.create("deploys/mark/chat-rocketchat.json", json.dumps(document).encode())
    store = WatermarkStore(blobs, "chat", "rocketchat")
    watermark = store.read()
    assert watermark is not None
    assert (watermark.previous_version, watermark.raised_at) == ("8.2.0", NOW)
    store.save(watermark)
    assert store.read() == watermark


def test_what_is_deployed_is_read_under_its_old_keys() -> None:
    blobs = MemoryBlobs(ManualClock(NOW))
    document = {"sha": SHA, "revision": 2, "version": "8.2.0", "went_back": True, "at": NOW.isoformat()}
    blobs.create("deploys/shipped/production.json", json.dumps({**document, "made": [[2, SHA]]}).encode())
    ledger = DeployedLedger(blobs)
    deployed = ledger.read("production")
    assert (deployed.rolled_back, deployed.since, deployed.history) == (True, NOW, ((2, SHA),))
    ledger.record_deploy("production", SHA, 3, "8.2.0", NOW.replace(hour=10))
    assert ledger.read("production").history == ((2, SHA), (3, SHA))


def test_a_message_that_waits_in_the_queue_is_read_under_its_old_keys() -> None:
    request = parse_request({**REQUEST, "delivery": "d-1", "again": "pull-7", "turn": 3})
    assert (request.rerun, request.sequence) == ("pull-7", 3)
    assert parse_request(json.loads(request.to_message())) == request
