"""Runs every overdue job, one after the other. A failed job does not keep the others from running."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.kernel.errors import GroundcrewError, Locked

log = logging.getLogger(__name__)


@dataclass
class CatchUpReport:
    """What each job did, and what failed, by the name of the job."""

    done: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run_jobs(jobs: Mapping[str, Callable[[], str]]) -> CatchUpReport:
    """Run every job. Each is level-triggered: one that is not due does nothing and says so."""
    report = CatchUpReport()
    for name, job in jobs.items():
        try:
            report.done[name] = job()
        # No failure: the timer itself is at it, which is what is wanted.
        except Locked as error:
            report.done[name] = f"skipped: already running ({error.message})"
        except GroundcrewError as error:
            log.exception("catch_up.failed", extra={"job": name})
            report.failed[name] = str(error)
        except Exception as error:  # one job's bug must not keep the others from running
            log.exception("catch_up.internal_error", extra={"job": name})
            report.failed[name] = f"internal error ({type(error).__name__})"
    return report
