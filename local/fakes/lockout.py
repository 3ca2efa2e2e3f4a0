"""What the database says of ends, in memory."""

from __future__ import annotations

from shared.calendar.ports import LockoutFacts
from shared.kernel.errors import GroundcrewError


class MemoryLockoutSource:
    """`LockoutSource`: `facts` is what it says; `failure` is raised instead."""

    def __init__(self, facts: LockoutFacts) -> None:
        self.facts = facts
        self.failure: GroundcrewError | None = None

    def read_facts(self) -> LockoutFacts:
        """See `LockoutSource.read_facts`."""
        if self.failure is not None:
            raise self.failure
        return self.facts
