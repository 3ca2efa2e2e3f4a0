"""A `Reporter` for jobs that nobody watches: phases and notes go to the log."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class LogReporter:
    """Logs each phase and note of one job; `extra` has the key of what it is about."""

    def __init__(self, job: str) -> None:
        self._job = job

    def phase(self, name: str, total: int) -> None:
        """See `Reporter`."""
        log.info("job.phase_begun", extra={"job": self._job, "phase": name, "total": total})

    def advance(self, amount: int) -> None:
        """Not logged: it would be a line for each batch."""

    def note(self, text: str) -> None:
        """See `Reporter`."""
        log.info("job.noted", extra={"job": self._job, "text": text})
