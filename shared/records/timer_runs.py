"""Puts on record how each run of a timer ended, whatever the job itself keeps: for history and alarms."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Blobs, Clock
from shared.records.rollup import build_entry
from shared.records.run_history import RunHistory

log = logging.getLogger(__name__)

T = TypeVar("T")


def run_recorded(blobs: Blobs, clock: Clock, job: str, work: Callable[[], T]) -> T:
    """Do the work of a timer and record how it ended. Raises what the work raises."""
    started = clock.now()
    try:
        result = work()
    except Exception as error:
        _record(blobs, clock, job, started, "failed", "", str(error) or type(error).__name__)
        raise
    _record(blobs, clock, job, started, "done", str(result), "")
    return result


def _record(
    blobs: Blobs, clock: Clock, job: str, started: datetime, state: str, summary: str, error: str
) -> None:
    now = clock.now()
    entry = build_entry(job, f"{now:%Y%m%dT%H%M%S.%fZ}", state, started, now, summary, error)
    try:
        RunHistory(blobs).add(entry)
    except GroundcrewError as failure:  # the work is done: its record must not make it fail
        log.warning(
            "history.timer_run_not_rolled_up", extra={"run": f"{job}/{entry.id}", "error": str(failure)}
        )
