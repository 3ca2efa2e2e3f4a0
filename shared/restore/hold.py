"""A hold that keeps the schedule from stopping the machine under a restore."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Clock, Reporter
from shared.records.holds import Holds

log = logging.getLogger(__name__)

# It ends by itself: after a crash the machine is stopped two hours late at most.
HOLD_LASTS, RENEW_AFTER = timedelta(hours=2), timedelta(minutes=30)


class RestoreHold:
    """A `Reporter` that renews the hold while there is progress, and passes everything on.

    A hold that cannot be written stops no restore: it is said, once.
    """

    def __init__(self, holds: Holds | None, clock: Clock, set_id: str, reporter: Reporter) -> None:
        self._holds, self._clock, self._reporter = holds, clock, reporter
        self._name, self._what = f"restore/{set_id}", f"restore of {set_id}"
        self._renewed: datetime | None = None

    def phase(self, name: str, total: int) -> None:
        """See `Reporter`."""
        self._renew()
        self._reporter.phase(name, total)

    def advance(self, amount: int) -> None:
        """See `Reporter`."""
        self._renew()
        self._reporter.advance(amount)

    def note(self, text: str) -> None:
        """See `Reporter`."""
        self._reporter.note(text)

    def release(self) -> None:
        """The restore has ended. A hold that cannot be released ends by itself."""
        if self._holds is not None:
            try:
                self._holds.release_hold(self._name)
            except GroundcrewError as error:
                log.warning("restore.hold_not_released", extra={"hold": self._name, "error": str(error)})

    def _renew(self) -> None:
        now = self._clock.now()
        if self._holds is None or (self._renewed is not None and now - self._renewed < RENEW_AFTER):
            return
        try:
            self._holds.add_hold(self._name, self._what, HOLD_LASTS)
            self._renewed = now
        except GroundcrewError as error:
            # Not tried again: each attempt may take half a minute, and this is called for every batch.
            self._holds = None
            log.warning("restore.hold_failed", extra={"hold": self._name, "error": str(error)})
            self._reporter.note(f"no hold: the schedule may stop the machine during the restore ({error})")
