"""Heartbeats outward: an outside service is told that a job starts, succeeds or fails, so that it misses us.

What is down cannot say so. The service (healthchecks.io, or one of its kind) alarms when a ping stays away.
A ping is bounded in time and never makes a job fail.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_BODY = 10_000  # characters; healthchecks keeps 100 kB


class Signal(StrEnum):
    """What a ping says: https://healthchecks.io/docs/http_api/"""

    START = "start"
    SUCCESS = "success"
    FAIL = "fail"


class HeartbeatService(Protocol):
    """Where pings go."""

    def ping(self, job: str, signal: Signal, body: str) -> None:
        """Send one within seconds; a job without an address is left out. Failures are logged, not raised."""
        ...


@dataclass(frozen=True)
class Heartbeats:
    """Pings beside a job: the start is not waited for, the end only as long as `limit`."""

    service: HeartbeatService
    mask: Callable[[str], str]
    limit: timedelta = timedelta(seconds=5)

    def run(self, job: str, work: Callable[[], T]) -> T:
        """Do the work, with a ping before and after. Raises what the work raises."""
        started = self._begin(job, Signal.START, "", None)
        try:
            result = work()
        except Exception as error:
            self._end(job, Signal.FAIL, str(error) or type(error).__name__, started)
            raise
        self._end(job, Signal.SUCCESS, str(result), started)
        return result

    def send(self, job: str, signal: Signal, body: str) -> None:
        """One ping, waited for as long as the limit."""
        self._end(job, signal, body, None)

    def _end(self, job: str, signal: Signal, body: str, before: threading.Thread | None) -> None:
        # Waited for, since the worker may be frozen as soon as the function has returned.
        self._begin(job, signal, body, before).join(self.limit.total_seconds())

    def _begin(
        self, job: str, signal: Signal, body: str, before: threading.Thread | None
    ) -> threading.Thread:
        text = self.mask(body)[:MAX_BODY]

        def send() -> None:
            if before is not None:
                before.join()  # in order: a success before its start would look like a run that never ends
            try:
                self.service.ping(job, signal, text)
            except Exception:  # nobody waits for this thread, and the job must not hear of it
                log.exception("heartbeat.internal_error", extra={"job": job})

        thread = threading.Thread(target=send, name=f"heartbeat-{job}", daemon=True)
        thread.start()
        return thread
