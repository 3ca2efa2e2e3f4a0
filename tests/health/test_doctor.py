"""The doctor names each job that cannot run, with the cure, and tries everything side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.health.doctor import (
    EVERY_JOB,
    SETTINGS,
    JobCheck,
    blocked_jobs,
    build_doctor_report,
    diagnose,
    select_checks,
)
from shared.kernel.errors import Refused, UsageError

SECRET = "hunter2"


def fail() -> str:
    raise Refused("MongoDB refused", value=SECRET, hint="Grant the role.")


def surprise() -> str:
    raise KeyError(SECRET)


def fine() -> str:
    return "fine"


def check(job: str, look: Callable[[], str] = fine, *, needed: bool = True) -> JobCheck:
    return JobCheck(job, "what", look, "do this", needed)


def test_a_failure_comes_with_value_hint_and_command_and_hides_no_other() -> None:
    found = diagnose([check("backup", fail), check("backup"), check("power", surprise)])
    assert [(one.job, one.status, one.message) for one in found] == [
        ("backup", "failed", f"MongoDB refused: {SECRET}"),
        ("backup", "ok", "fine"),
        ("power", "failed", "failed unexpectedly (KeyError)"),
    ]
    assert (found[0].hint, found[0].command) == ("Grant the role.", "do this")
    assert blocked_jobs(found) == ["backup", "power"]


def test_what_a_job_can_run_without_is_a_warning_and_blocks_nothing() -> None:
    found = diagnose([check("backup", fail, needed=False)])
    assert [one.status for one in found] == ["warning"]
    assert blocked_jobs(found) == []


def test_in_public_there_is_no_value_and_no_hint() -> None:
    body, healthy = build_doctor_report([check("backup", fail), check("power", surprise)], "")
    assert (healthy, body["status"], body["blocked"]) == (False, "failing", ["backup", "power"])
    assert SECRET not in str(body)
    assert "Grant" not in str(body)


def test_a_check_that_hangs_is_a_failure_and_holds_up_no_answer() -> None:
    over = threading.Event()

    def hang() -> str:
        over.wait(30)
        return "late"

    found = diagnose([check("backup", hang), check("power")], timeout=timedelta(milliseconds=200))
    assert not over.is_set()
    assert [one.status for one in found] == ["failed", "ok"]
    assert found[0].message.startswith("no answer within")
    over.set()


CHECKS = [check(EVERY_JOB), check("backup"), check("deploys"), check("backup")]


@pytest.mark.parametrize(
    ("only", "jobs"),
    [
        ((), [EVERY_JOB, "backup", "deploys", "backup"]),
        (("backup",), [EVERY_JOB, "backup", "backup"]),
        (("deploys", "backup"), [EVERY_JOB, "backup", "deploys", "backup"]),
    ],
)
def test_only_some_jobs_are_looked_at_with_what_every_job_needs(
    only: tuple[str, ...], jobs: list[str]
) -> None:
    assert [one.job for one in select_checks(CHECKS, only)] == jobs


@pytest.mark.parametrize("name", ["power", EVERY_JOB])
def test_a_job_that_is_off_is_not_called_healthy(name: str) -> None:
    with pytest.raises(UsageError, match="On by policy and settings are: backup, deploys"):
        select_checks(CHECKS, (name,))
    body, healthy = build_doctor_report(CHECKS, name)
    assert not healthy
    assert name in body["error"]


def test_the_report_says_that_all_could_run() -> None:
    body, healthy = build_doctor_report(CHECKS, "backup,deploys")
    assert (healthy, body["status"], len(body["checks"])) == (True, "ok", 4)


def test_a_setting_that_is_missing_is_not_mended_by_a_role() -> None:
    def unset() -> str:
        raise UsageError("MONGODB_URI is not set")

    role = JobCheck("backup", "rights", unset, "grant a role")
    settings = JobCheck("backup", SETTINGS, unset, "groundcrew init")
    assert [one.command for one in diagnose([role, settings])] == ["", "groundcrew init"]


def test_what_every_job_lacks_is_said_once() -> None:
    found = diagnose([check("backup", fail), check(EVERY_JOB, fail)])
    assert blocked_jobs(found) == [EVERY_JOB]
