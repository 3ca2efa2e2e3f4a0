"""A `Reporter` that remembers what it was told."""

from __future__ import annotations


class ListReporter:
    """Phases with their totals and what was done of each, and the notes."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.done: list[int] = []
        self.notes: list[str] = []

    def phase(self, name: str, total: int) -> None:
        """Remember it."""
        self.phases.append((name, total))
        self.done.append(0)

    def advance(self, amount: int) -> None:
        """Add it to the phase's."""
        self.done[-1] += amount

    def note(self, text: str) -> None:
        """Remember it."""
        self.notes.append(text)
