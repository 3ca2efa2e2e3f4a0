"""Whether Groundcrew can do its work now: a report over checks that is quick whatever hangs.

The report names what failed but never a value: no host, no account, no key.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime, timedelta
from typing import Any

from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Clock

log = logging.getLogger(__name__)

Check = Callable[[], str]
"""Returns a short text about what it found, or raises."""

ANSWER_TIMEOUT = timedelta(seconds=2.5)  # the answer is to be there within 3 s
LIFETIME = timedelta(seconds=10)  # so long a report serves everybody who asks


class HealthMonitor:
    """Runs checks side by side, each at most once at a time, and keeps the report for a moment.

    `list_checks` is called for each new report; what it raises is a failed check of its own.
    """

    def __init__(
        self,
        list_checks: Callable[[], Mapping[str, Check]],
        clock: Clock,
        *,
        timeout: timedelta = ANSWER_TIMEOUT,
    ) -> None:
        self._list_checks, self._clock, self._timeout = list_checks, clock, timeout
        self._lock = threading.Lock()
        self._running: dict[str, Future[dict[str, Any]]] = {}
        self._report: dict[str, Any] = {}
        self._reported_at: datetime | None = None

    def report(self) -> dict[str, Any]:
        """`{"status": "ok" | "failing", "at": …, "checks": {name: {ok, message, milliseconds}}}`.

        One failure hides no other. A check that hangs fails, and is not started again while it does.
        """
        with self._lock:  # those who ask meanwhile get the report that is being made
            now = self._clock.now()
            if self._reported_at is None or now - self._reported_at >= LIFETIME:
                self._report = self._make_report()
                self._reported_at = now
            return self._report

    def _make_report(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout.total_seconds()
        try:
            checks: Mapping[str, Check] = self._list_checks()
        except GroundcrewError as error:
            checks = {"settings": _raising(error)}
        started = {name: self._start(name, check) for name, check in checks.items()}
        results = {name: self._wait(name, future, deadline) for name, future in started.items()}
        is_healthy = all(result["ok"] for result in results.values())
        return {
            "status": "ok" if is_healthy else "failing",
            "at": self._clock.now().isoformat(),
            "checks": results,
        }

    def _start(self, name: str, check: Check) -> Future[dict[str, Any]]:
        future = self._running.get(name)
        if future is None:
            future = self._running[name] = Future()
            # A daemon, since nobody can stop a thread: one that hangs must not keep the process alive.
            thread = threading.Thread(
                target=_run_check, args=(name, check, future), name=f"health:{name}", daemon=True
            )
            thread.start()
        return future

    def _wait(self, name: str, future: Future[dict[str, Any]], deadline: float) -> dict[str, Any]:
        try:
            result = future.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeoutError:
            message = f"no answer within {format_duration(self._timeout)}"
            return {"ok": False, "message": message, "milliseconds": None}
        del self._running[name]
        return result


def _raising(error: GroundcrewError) -> Check:
    def check() -> str:
        raise error

    return check


def log_unexpected(check: str, error: Exception) -> None:
    """A bug of ours, by its class and place: its text may hold an address or a key."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    facts = {"check": check, "error": type(error).__name__, "at": at}
    log.error("health.check_failed_unexpectedly", extra=facts)


def _run_check(name: str, check: Check, future: Future[dict[str, Any]]) -> None:
    started = time.monotonic()
    try:
        ok, message = True, check()
    except GroundcrewError as error:
        ok, message = False, error.public
    except Exception as error:  # noqa: BLE001 - a health check must answer; the class says enough in public
        ok, message = False, f"failed unexpectedly ({type(error).__name__})"
        log_unexpected(name, error)
    milliseconds = round((time.monotonic() - started) * 1000)
    future.set_result({"ok": ok, "message": message, "milliseconds": milliseconds})
