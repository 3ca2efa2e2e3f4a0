"""What was done about a machine, and when it may be done again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.power.attempts import (
    NO_CAPACITY,
    Act,
    Attempt,
    append_attempt,
    last_attempt,
    reconcile_history,
    retry_verdict,
)

NOW, MINUTE, SECOND = datetime(2026, 3, 2, 7, tzinfo=UTC), timedelta(minutes=1), timedelta(seconds=1)
SETTLE, ID = 15 * MINUTE, "up@2026-03-02T06:00:00Z"
START = Attempt(Act.START, ID, NOW)
FAILED = replace(START, outcome="failed", error="Conflict")
DONE = replace(START, outcome="done")
UNDONE = replace(START, outcome="undone", error="stopped by Azure (Spot eviction)")


def test_what_was_never_tried_or_only_cancelled_may_be_done() -> None:
    cancelled = replace(START, outcome="cancelled")
    for history in ((), (cancelled,), (replace(DONE, decision="up@x"),), (replace(DONE, act=Act.STOP),)):
        verdict = retry_verdict(history, Act.START, ID, SETTLE, NOW)
        assert (verdict.allowed, verdict.reason, verdict.failures) == (True, "", 0)


def test_what_was_refused_or_undone_by_others_is_not_repeated() -> None:
    refused = replace(START, outcome="refused", error="ScopeLocked")
    verdict = retry_verdict((FAILED, refused), Act.START, ID, SETTLE, NOW + timedelta(days=9))
    assert (verdict.allowed, verdict.not_before, verdict.failures) == (False, None, 1)
    assert verdict.reason == (
        "start failed: refused at 2026-03-02 07:00Z, last error: ScopeLocked; "
        "not repeated until the next change or order"
    )
    verdict = retry_verdict((FAILED, DONE), Act.START, ID, SETTLE, NOW + timedelta(days=9))
    assert (verdict.allowed, verdict.not_before, verdict.failures) == (False, None, 0)
    assert "then undone by somebody else" in verdict.reason


@pytest.mark.parametrize(
    ("times", "pause"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (11, 60), (12, 60), (40, 60)]
)
def test_after_each_failure_it_pauses_twice_as_long_up_to_an_hour(times: int, pause: int) -> None:
    history = (FAILED,) * times
    again = NOW + pause * MINUTE
    early = retry_verdict(history, Act.START, ID, SETTLE, again - SECOND)
    assert (early.allowed, early.not_before, early.failures) == (False, again, times)
    due = retry_verdict(history, Act.START, ID, SETTLE, again)
    assert (due.allowed, due.not_before, due.failures) == (True, None, times)
    count = "once" if times == 1 else f"{times} times"
    assert early.reason == due.reason == f"start failed {count}, last error: Conflict"


def test_an_attempt_without_effect_counts_as_failed_once_it_should_have_settled() -> None:
    early = retry_verdict((START,), Act.START, ID, SETTLE, NOW + SETTLE - SECOND)
    assert (early.allowed, early.not_before, early.failures) == (False, NOW + SETTLE, 0)
    assert early.reason == "start requested at 2026-03-02 07:00Z, no effect yet"
    failed = retry_verdict((START,), Act.START, ID, SETTLE, NOW + SETTLE)
    assert (failed.allowed, failed.not_before, failed.failures) == (False, NOW + SETTLE + 5 * MINUTE, 1)
    assert failed.reason == "start failed once, last error: no effect within 0:15:00"
    assert retry_verdict((START,), Act.START, ID, SETTLE, NOW + SETTLE + 5 * MINUTE).allowed


@pytest.mark.parametrize("code", [*NO_CAPACITY, "Conflict", ""])
def test_a_lack_of_capacity_is_known_by_azures_code(code: str) -> None:
    history = (replace(FAILED, error=f"{code}: no"),)
    for now in (NOW, NOW + timedelta(hours=1)):
        assert retry_verdict(history, Act.START, ID, SETTLE, now).no_capacity is (code in NO_CAPACITY)
    # Only the newest error says what is wrong now.
    older = (replace(FAILED, error="AllocationFailed"), FAILED)
    assert not retry_verdict(older, Act.START, ID, SETTLE, NOW).no_capacity


@pytest.mark.parametrize(("times", "pause"), [(1, 5), (2, 10), (5, 60), (40, 60)])
def test_what_azure_took_back_is_started_again_with_growing_pauses(times: int, pause: int) -> None:
    # Failures in between are no evictions.
    history = (FAILED, *(UNDONE,) * times)
    again = NOW + pause * MINUTE
    early = retry_verdict(history, Act.START, ID, SETTLE, again - SECOND)
    assert (early.allowed, early.not_before, early.reason) == (False, again, UNDONE.error)
    due = retry_verdict(history, Act.START, ID, SETTLE, again)
    assert (due.allowed, due.not_before) == (True, None)


def test_the_newest_attempt_at_an_act_is_found_whatever_became_of_it() -> None:
    stop = Attempt(Act.STOP, "off@x", NOW)
    later = replace(FAILED, at=NOW + MINUTE)
    assert last_attempt((START, later, stop), Act.START) is later
    assert last_attempt((stop,), Act.START) is None


@pytest.mark.parametrize(
    ("history", "running", "deallocated", "outcomes"),
    [
        ((START,), True, False, ["done"]),
        ((START,), False, False, ["issued"]),
        ((START,), False, True, ["issued"]),
        ((FAILED,), True, False, ["failed"]),
        ((START, replace(START, act=Act.STOP)), False, True, ["issued", "done"]),
        ((START, replace(START, act=Act.STOP)), True, False, ["issued", "issued"]),
        ((START, replace(FAILED, act=Act.STOP)), True, False, ["issued", "failed"]),
        ((START, replace(START, act=Act.WARN)), True, False, ["done", "issued"]),
        ((replace(START, act=Act.WARN),), True, True, ["issued"]),
        ((), True, False, []),
    ],
)
def test_the_view_closes_the_newest_start_or_stop_and_no_other(
    history: tuple[Attempt, ...], running: bool, deallocated: bool, outcomes: list[str]
) -> None:
    found = reconcile_history(history, running=running, deallocated=deallocated)
    assert [one.outcome for one in found] == outcomes


def test_the_record_keeps_the_newest_thirty() -> None:
    history: tuple[Attempt, ...] = ()
    for number in range(40):
        history = append_attempt(history, replace(START, at=NOW + number * MINUTE))
    assert (len(history), history[0].at, history[-1].at) == (30, NOW + 10 * MINUTE, NOW + 39 * MINUTE)
