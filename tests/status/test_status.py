"""The status tells each section by itself, and what cannot be told says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Unavailable
from shared.records.holds import Holds
from shared.records.runs import Runs
from shared.status.job import build_status
from tests.support.signed_sets import catalogue_of, put_failed, put_sealed


def test_it_tells_backups_runs_holds_and_the_last_cost_report() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC))
    backups, state = MemoryBlobs(clock), MemoryBlobs(clock)
    catalogue = catalogue_of(backups, state, clock)
    put_sealed(backups, datetime(2026, 11, 23, 1, tzinfo=UTC))
    put_failed(backups, datetime(2026, 11, 22, 1, tzinfo=UTC))
    backups.create("sets/daily/20261123T020000Z/manifest.json", b"x")
    put_sealed(backups, datetime(2099, 1, 1, tzinfo=UTC))
    Runs(state, clock).begin_run("backup", "20261123T010000Z", "nightly").finish("done", "sealed it")
    Holds(state, clock).add_hold("deploy/1", "a deploy", timedelta(hours=1))
    state.create("cost/2026-11-09.txt", b"older")
    state.create("cost/2026-11-16.txt", "12,34 €".encode())
    found = build_status(lambda: catalogue, state, clock, {})
    assert found["backups"]["newest"] == "sets/daily/20261123T010000Z/"
    assert (found["backups"]["age_hours"], found["backups"]["sealed"]) == (8.0, 1)
    assert found["backups"]["foreign"] == ["sets/daily/20261123T020000Z/"]
    assert found["backups"]["misdated"] == ["sets/daily/20990101T000000Z/"]
    assert found["backups"]["failed"] == ["sets/daily/20261122T010000Z/"]
    assert found["runs"]["backup"][0]["message"] == "sealed it"
    assert len(found["holds"]) == 1
    assert found["cost"] == "12,34 €"
    assert json.dumps(found, default=str)


def test_a_section_that_cannot_be_told_says_why_and_hides_no_other() -> None:
    def fail() -> str:
        raise Unavailable("Azure does not answer")

    clock = ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC))
    catalogue = catalogue_of(MemoryBlobs(clock), MemoryBlobs(clock), clock)
    found = build_status(lambda: catalogue, MemoryBlobs(clock), clock, {"machines": fail})
    assert found["machines"] == {"error": "Azure does not answer"}
    assert found["backups"]["newest"] is None
