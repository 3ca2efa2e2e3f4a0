"""Whether the server is well: the port that tells a machine that runs from one that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at the server found, in a few words without addresses."""

    healthy: bool
    message: str


class Probe(Protocol):
    """One way to look at the server."""

    def check(self) -> Health:
        """One look, bounded in time. A server that does not answer is unwell: nothing is raised."""
        ...
