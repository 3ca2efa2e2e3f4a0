"""The health report answers in time whatever hangs, is made once for many, and hides no failure."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from local.fakes.clock import ManualClock
from shared.health.job import LIFETIME, HealthMonitor
from shared.kernel.errors import Unavailable, UsageError

SOON = timedelta(seconds=0.3)


def fails() -> str:
    raise Unavailable("cannot reach MongoDB", value="10.0.0.4")


def crashes() -> str:
    raise KeyError("hush")


def monitor(checks: dict[str, Callable[[], str]], clock: ManualClock | None = None) -> HealthMonitor:
    return HealthMonitor(lambda: checks, clock or ManualClock(), timeout=SOON)


def test_each_check_answers_for_itself_and_no_value_is_shown() -> None:
    report = monitor({"policy": lambda: "read", "mongodb": fails, "helm": crashes}).report()
    results = {name: (found["ok"], found["message"]) for name, found in report["checks"].items()}
    assert results == {
        "policy": (True, "read"),
        "mongodb": (False, "cannot reach MongoDB"),
        "helm": (False, "failed unexpectedly (KeyError)"),
    }
    assert report["status"] == "failing"
    assert not any(secret in json.dumps(report) for secret in ("10.0.0.4", "hush"))
    assert monitor({"policy": lambda: "read"}).report()["status"] == "ok"


def test_checks_that_cannot_even_be_listed_are_a_failed_check() -> None:
    def list_checks() -> dict[str, Callable[[], str]]:
        raise UsageError("policy.yaml has 2 mistakes")

    report = HealthMonitor(list_checks, ManualClock(), timeout=SOON).report()
    assert report["checks"]["settings"]["message"] == "policy.yaml has 2 mistakes"


def test_a_check_that_hangs_delays_no_other_and_is_not_started_again_while_it_hangs() -> None:
    clock, release, calls = ManualClock(), threading.Event(), list[int]()

    def hangs() -> str:
        calls.append(1)
        release.wait(30)
        return "after all"

    watch = monitor({"mongodb": hangs, "policy": lambda: "read"}, clock)
    began = time.monotonic()
    for _ in range(3):
        clock.advance(LIFETIME)
        report = watch.report()
        assert report["checks"]["mongodb"]["message"] == "no answer within 0 s"
        assert report["checks"]["policy"]["ok"]
    assert time.monotonic() - began < 10
    assert len(calls) == 1
    release.set()
    deadline = time.monotonic() + 10
    while not watch.report()["checks"]["mongodb"]["ok"] and time.monotonic() < deadline:
        clock.advance(LIFETIME)
    assert watch.report()["checks"]["mongodb"]["message"] == "after all"
    clock.advance(LIFETIME)
    watch.report()
    assert len(calls) == 2


def test_many_who_ask_at_once_share_one_report() -> None:
    calls, clock, reports = list[int](), ManualClock(), list[object]()
    started = threading.Event()

    def slow() -> str:
        calls.append(1)
        started.wait(0.1)
        return "done"

    watch = monitor({"mongodb": slow}, clock)
    threads = [threading.Thread(target=lambda: reports.append(watch.report())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(calls), len(reports)) == (1, 12)
    clock.advance(LIFETIME - timedelta(seconds=1))
    watch.report()
    assert len(calls) == 1
    clock.advance(timedelta(seconds=1))
    watch.report()
    assert len(calls) == 2


@pytest.mark.parametrize("failing", ["first", "last"])
def test_one_failure_among_many_is_a_failure(failing: str) -> None:
    names = ["first", "second", "last"]
    checks = {name: fails if name == failing else (lambda: "ok") for name in names}
    assert monitor(checks).report()["status"] == "failing"
