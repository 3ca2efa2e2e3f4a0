"""What keeps each job from running tonight, with the cure: the checks of health and deeper ones, by job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from shared.health.job import Check, log_unexpected
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, UsageError

EVERY_JOB = "every job"
SETTINGS = "settings"  # the check of a job that says which of them are missing
ANSWER_TIMEOUT = timedelta(seconds=60)  # for all checks together; a proxy cuts an HTTP answer after 230 s


@dataclass(frozen=True, slots=True)
class JobCheck:
    """Something that a job needs, tried without changing anything."""

    job: str
    name: str
    check: Check = field(repr=False)
    command: str = ""  # what mends it, or shows more
    needed: bool = True  # whether the job cannot run without


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one check found. `status` is `ok`, `warning` or `failed`."""

    job: str
    name: str
    status: str
    message: str
    hint: str = ""
    command: str = ""


def select_checks(checks: Iterable[JobCheck], only: Sequence[str]) -> list[JobCheck]:
    """The checks of the jobs that are named, after those that every job needs. Raises UsageError."""
    ordered = sorted(checks, key=lambda check: check.job != EVERY_JOB)
    jobs = dict.fromkeys(check.job for check in ordered if check.job != EVERY_JOB)
    for name in only:
        if name not in jobs:
            hint = f"On by policy and settings are: {', '.join(jobs)}."
            raise UsageError("no such job, or it is off", value=name, hint=hint)
    return [check for check in ordered if not only or check.job in (*only, EVERY_JOB)]


def diagnose(
    checks: Sequence[JobCheck], *, timeout: timedelta = ANSWER_TIMEOUT, public: bool = False
) -> list[Diagnosis]:
    """Run the checks side by side; what gives no answer in time is a failure. `public` leaves values out."""
    if not checks:
        return []
    pool = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="doctor")
    started = [pool.submit(_try_check, check, public) for check in checks]
    wait(started, timeout=timeout.total_seconds())
    # Nobody can stop a thread; the answer does not wait for one that hangs.
    pool.shutdown(wait=False, cancel_futures=True)
    return [_result_or_timeout(*pair, timeout) for pair in zip(checks, started, strict=True)]


def _result_or_timeout(check: JobCheck, future: Future[Diagnosis], timeout: timedelta) -> Diagnosis:
    if future.done() and not future.cancelled():
        return future.result()
    message = f"no answer within {format_duration(timeout)}"
    return Diagnosis(check.job, check.name, _fault(check), message, command=check.command)


def _try_check(check: JobCheck, public: bool) -> Diagnosis:
    try:
        return Diagnosis(check.job, check.name, "ok", check.check())
    except GroundcrewError as error:
        whole = error.message if error.value is None else f"{error.message}: {error.value}"
        message, hint = error.public if public else whole, "" if public else error.hint
        # A setting that is missing is not mended by giving a role.
        is_setting = isinstance(error, UsageError) and check.name != SETTINGS
        command = "" if is_setting else check.command
    except Exception as error:  # noqa: BLE001 - one check hides no other
        log_unexpected(check.name, error)
        message, hint, command = f"failed unexpectedly ({type(error).__name__})", "", check.command
    return Diagnosis(check.job, check.name, _fault(check), message, hint, command)


def _fault(check: JobCheck) -> str:
    return "failed" if check.needed else "warning"


def blocked_jobs(diagnoses: Iterable[Diagnosis]) -> list[str]:
    """The jobs that cannot run, each once; only `EVERY_JOB` if that is so."""
    blocked = list(dict.fromkeys(one.job for one in diagnoses if one.status == "failed"))
    return [EVERY_JOB] if EVERY_JOB in blocked else blocked


def build_doctor_report(checks: Iterable[JobCheck], only: str) -> tuple[dict[str, Any], bool]:
    """For `/api/doctor`: the body, and whether all jobs could run. `only` is a list separated by commas."""
    try:
        selected = select_checks(checks, tuple(filter(None, only.split(","))))
    except UsageError as error:
        return {"status": "failing", "error": str(error)}, False
    diagnoses = diagnose(selected, public=True)
    blocked = blocked_jobs(diagnoses)
    rows = [asdict(one) for one in diagnoses]
    return {"status": "failing" if blocked else "ok", "blocked": blocked, "checks": rows}, not blocked
