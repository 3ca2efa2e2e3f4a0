"""The wiring of what every timer does: how its run ended is put on record."""

from __future__ import annotations

from collections.abc import Callable

from shared.kernel.errors import UsageError
from shared.wiring import open_state, system_clock


def run_timer(job: str, work: Callable[[], str]) -> str:
    """Do the work and record how it ended; without any storage nothing can be recorded, and it is done."""
    from shared.records.timer_runs import run_recorded

    try:
        state = open_state()
    except UsageError:
        return work()
    return run_recorded(state, system_clock(), job, work)
