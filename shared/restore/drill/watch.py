"""A `Reporter` that times a drill's phases, and stops the drill when its lease is lost."""

from __future__ import annotations

from shared.formats.proofs import DrillPhase
from shared.kernel.ports import Clock, Lease, Reporter


class DrillWatch:
    """Passes everything on to another reporter, and keeps how long each phase took."""

    def __init__(self, clock: Clock, lease: Lease, reporter: Reporter) -> None:
        self._clock, self._lease, self._reporter = clock, lease, reporter
        self._name = ""
        self._began = clock.now()
        self._phases: list[DrillPhase] = []

    def phase(self, name: str, total: int) -> None:
        """See `Reporter`. Raises Locked if another drill has taken over."""
        self._lease.check()
        self._end_phase()
        self._name, self._began = name, self._clock.now()
        self._reporter.phase(name, total)

    def advance(self, amount: int) -> None:
        """See `Reporter`."""
        self._reporter.advance(amount)

    def note(self, text: str) -> None:
        """See `Reporter`."""
        self._reporter.note(text)

    def phases(self) -> tuple[DrillPhase, ...]:
        """All phases so far; the one that runs ends now."""
        self._end_phase()
        return tuple(self._phases)

    def _end_phase(self) -> None:
        if self._name:
            seconds = (self._clock.now() - self._began).total_seconds()
            self._phases.append(DrillPhase(self._name, round(seconds, 3)))
            self._name = ""
