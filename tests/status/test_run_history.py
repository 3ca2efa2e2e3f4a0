"""A year of runs is in a few blobs: nothing is lost by two writers, by a kill, or by a blob that went bad."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from shared.kernel.errors import Unavailable
from shared.records.rollup import DayTotals, RunEntry, build_entry
from shared.records.run_history import RunHistory, keep_history, rebuild_history
from shared.records.run_record import RunRecord
from shared.records.runs import Runs
from shared.records.timer_runs import run_recorded

DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def blobs(clock) -> MemoryBlobs:
    return MemoryBlobs(clock)


def run(number: int, state: str = "done", **changes: object) -> RunRecord:
    started = NOW + number * MINUTE
    fields = {"summary": f"run {number}", "error": "no disk" if state == "failed" else ""} | changes
    return RunRecord("backup", f"r{number}", state, started, started + MINUTE, **fields)  # type: ignore[arg-type]


def test_a_run_is_rolled_up_when_its_record_says_that_it_has_ended(blobs, clock) -> None:
    progress = Runs(blobs, clock).begin_run("backup", "20261123T090000Z", "nightly")
    assert RunHistory(blobs).load_day(DAY) == []
    clock.advance(3 * MINUTE)
    progress.finish("done", "sealed it", stored_bytes=7)
    (entry,) = RunHistory(blobs).load_day(DAY)
    assert (entry.job, entry.state, entry.summary, entry.seconds) == ("backup", "done", "sealed it", 180)
    totals = RunHistory(blobs).load_totals()
    assert totals.days["2026-11-23"]["backup"] == DayTotals(1, 0, 0, 180, 180, 7)
    assert totals.newest["backup"].run == totals.newest["backup"].success == entry
    assert totals.newest["backup"].failure is None


def test_a_part_of_a_run_is_no_run(blobs, clock) -> None:
    Runs(blobs, clock).begin_run("backup", "20261123T090000Z.part-0001", "").finish("failed", "", "lost")
    assert RunHistory(blobs).load_day(DAY) == []


def test_rolling_up_again_changes_nothing_and_a_new_end_takes_the_place_of_the_old(blobs, clock) -> None:
    for _ in range(2):
        Runs(blobs, clock).save(run(1, "failed"))
    before = {blob.name: blob.etag for blob in blobs.list("rollups/")}
    Runs(blobs, clock).save(run(1, "failed"))
    assert {blob.name: blob.etag for blob in blobs.list("rollups/")} == before
    Runs(blobs, clock).save(run(1, "done"))
    assert [one.state for one in RunHistory(blobs).load_day(DAY)] == ["done"]
    assert RunHistory(blobs).load_totals().days["2026-11-23"]["backup"].failed == 0


def test_runs_that_end_alike_in_a_row_are_counted_and_not_listed(blobs, clock) -> None:
    for outcome in ["nothing to do"] * 3 + ["took one"] + ["nothing to do"] * 2:
        run_recorded(blobs, clock, "snapshot_cycle", lambda text=outcome: text)
        run_recorded(blobs, clock, "power_tick", lambda: "")
        clock.advance(5 * MINUTE)
    day = [one for one in RunHistory(blobs).load_day(DAY) if one.job == "snapshot_cycle"]
    assert [(one.summary, one.count) for one in day] == [
        ("nothing to do", 3),
        ("took one", 1),
        ("nothing to do", 2),
    ]
    assert (day[0].started, day[0].ended) == (NOW, NOW + 10 * MINUTE)
    assert RunHistory(blobs).load_totals().days["2026-11-23"]["snapshot_cycle"].done == 6


def test_the_newest_runs_stand_in_the_totals_whatever_their_day(blobs, clock) -> None:
    history = RunHistory(blobs)
    for hours in range(50):
        history.add(_ended_at(NOW + hours * 60 * MINUTE, f"h{hours}"))
    recent = history.load_totals().recent
    assert [one.id for one in recent] == [f"h{hours}" for hours in range(10, 50)]
    history.add(_ended_at(NOW + 49 * 60 * MINUTE + MINUTE, "again", summary="h49"))  # counted up, not listed
    assert [(one.id, one.count) for one in history.load_totals().recent[-2:]] == [("h48", 1), ("h49", 2)]
    history.add(_ended_at(NOW - MINUTE, "older"))
    assert history.load_recent(history.load_totals(), DAY) == history.load_totals().recent
    assert len(history.load_totals().recent) == 40
    assert history.load_totals().recent[0].id == "h10"


def test_totals_of_an_old_version_show_two_days_and_get_the_newest_runs_with_the_next_one(blobs) -> None:
    history = RunHistory(blobs)
    for days in (2, 1, 0):
        history.add(_ended_at(NOW - timedelta(days=days), f"d{days}"))
    name = "rollups/runs/totals.json"
    fields = json.loads(blobs.read(name)[0])
    del fields["recent"]
    blobs.replace(name, json.dumps(fields).encode(), etag=None)
    totals = history.load_totals()
    assert totals.recent is None
    assert [one.id for one in history.load_recent(totals, DAY)] == ["d1", "d0"]
    history.add(_ended_at(NOW + timedelta(days=1), "next"))
    assert [one.id for one in history.load_totals().recent] == [
        "d0",
        "next",
    ]  # of the last two days on record


def _ended_at(at: datetime, run_id: str, summary: str = "") -> RunEntry:
    return build_entry("power_tick", run_id, "done", at, at, summary or run_id, "")


def test_what_stored_something_is_listed_by_itself(blobs) -> None:
    alike = {"summary": "sealed", "details": {"stored_bytes": 5}}
    Runs(blobs, ManualClock(NOW)).save(run(1, **alike))
    Runs(blobs, ManualClock(NOW)).save(run(2, **alike))
    assert [one.count for one in RunHistory(blobs).load_day(DAY)] == [1, 1]
    assert RunHistory(blobs).load_totals().days["2026-11-23"]["backup"].stored_bytes == 10


def test_the_newest_failure_stays_known_after_a_success(blobs, clock) -> None:
    for number, state in enumerate(["done", "failed", "skipped"]):
        Runs(blobs, clock).save(run(number, state))
    newest = RunHistory(blobs).load_totals().newest["backup"]
    assert (newest.success.id, newest.failure.id, newest.run.id) == ("r0", "r1", "r2")
    assert newest.failure.error == "no disk"


def test_what_failed_is_on_record_with_its_reason_and_still_raised(blobs, clock) -> None:
    def fail() -> str:
        raise Unavailable("the API does not answer", value="https://me:hunter22@example.org")

    with pytest.raises(Unavailable):
        run_recorded(blobs, clock, "drift_check", fail)
    (entry,) = RunHistory(blobs).load_day(DAY)
    assert (entry.job, entry.state) == ("drift_check", "failed")
    assert "the API does not answer" in entry.error
    assert "hunter22" not in entry.error


def test_a_storage_that_refuses_the_roll_up_fails_no_run(blobs, clock) -> None:
    plan = FaultPlan(Fault(Unavailable("down"), operation="state.create", times=9))
    assert run_recorded(with_faults(blobs, plan, "state"), clock, "power_tick", lambda: "off") == "off"


def test_writers_at_the_same_time_lose_nothing(blobs) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 10):
            RunHistory(blobs).add(build_entry("deploy", f"r{number}", "done", NOW, NOW, f"run {number}", ""))

    threads = [threading.Thread(target=write, args=(10 * first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.id for one in RunHistory(blobs).load_day(DAY)} == {f"r{number}" for number in range(40)}
    assert RunHistory(blobs).load_totals().days["2026-11-23"]["deploy"].done == 40


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_the_next_run_of_the_day_mends_it(clock, when) -> None:
    steps = FaultPlan()
    Runs(with_faults(MemoryBlobs(clock), steps, "state"), clock).save(run(1))
    for step in range(len(steps.steps)):
        blobs = MemoryBlobs(clock)
        with pytest.raises(Killed):
            Runs(with_faults(blobs, FaultPlan(Fault(Killed(), step, when=when)), "state"), clock).save(run(1))
        Runs(blobs, clock).save(run(1))
        Runs(blobs, clock).save(run(2))
        assert RunHistory(blobs).load_totals().days["2026-11-23"]["backup"].done == 2


def test_the_roll_ups_are_made_anew_from_the_records(blobs, clock) -> None:
    for number, state in enumerate(["done", "failed", "skipped", "running"]):
        Runs(blobs, clock).save(run(number, state))
    kept = {blob.name: blobs.read(blob.name)[0] for blob in blobs.list("rollups/")}
    for name in kept:
        blobs.delete(name)
    assert rebuild_history(blobs, NOW - MINUTE) == 3
    assert {name: json.loads(blobs.read(name)[0]) for name in kept} == {
        name: json.loads(data) for name, data in kept.items()
    }
    assert rebuild_history(blobs, clock.now() + MINUTE) == 0


@pytest.mark.parametrize(
    "bad", [b"", b"[]", b'{"runs": 5}', b'{"days": 5, "newest": {}}', b'{"runs": [{"job": "x"}]}']
)
def test_a_roll_up_that_went_bad_is_made_anew(blobs, clock, bad) -> None:
    for days in range(3):
        clock.set(NOW + days * 1440 * MINUTE)
        run_recorded(blobs, clock, "power_tick", lambda: "")
    for name in ("rollups/runs/totals.json", "rollups/runs/2026-11-25.json"):
        blobs.replace(name, bad, etag=None)
    run_recorded(blobs, clock, "power_tick", lambda: "")
    totals = RunHistory(blobs).load_totals()
    assert {day: jobs["power_tick"].done for day, jobs in totals.days.items()} == {
        "2026-11-23": 1, "2026-11-24": 1, "2026-11-25": 1,
    }  # fmt: skip


def test_days_that_are_too_old_are_deleted_and_their_totals_stay(blobs, clock) -> None:
    run_recorded(blobs, clock, "power_tick", lambda: "")
    assert RunHistory(blobs).delete_before(DAY) == 0
    assert RunHistory(blobs).delete_before(DAY + timedelta(days=1)) == 1
    assert "2026-11-23" in RunHistory(blobs).load_totals().days


def test_once_a_day_what_was_not_rolled_up_is_and_old_days_go(blobs, clock) -> None:
    run_recorded(blobs, clock, "power_tick", lambda: "")
    Runs(blobs, clock).save(run(1))
    for name in [blob.name for blob in blobs.list("rollups/runs/")]:
        blobs.delete(name)
    assert keep_history(blobs, clock.now()) == "1 runs are rolled up, 0 days deleted"
    assert [one.id for one in RunHistory(blobs).load_day(DAY)] == ["r1"]
    assert "nothing to do" in keep_history(blobs, clock.now() + timedelta(hours=23))
    assert keep_history(blobs, clock.now() + timedelta(days=402)) == "1 runs are rolled up, 1 days deleted"
    assert RunHistory(blobs).list_days() == []
