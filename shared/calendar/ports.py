"""The outside system of the calendar: what Rocket.Chat's database says of ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LockoutFacts:
    """What the server wrote of itself; empty or None where it did not.

    - `version`, `mongodb`: the versions that run.
    - `supported_versions`: the signed token that clients are shown; `licence`: the licence as it was entered.
    - `restricted_in`: days until the server is read-only, as it reckons; -1 under a valid licence.
    - `disk_total_bytes`, `disk_used_bytes`: of the file system with its data; 0 for unknown.
    - `reported_at`: when it last reported its statistics with success.
    """

    version: str = ""
    mongodb: str = ""
    supported_versions: str = field(default="", repr=False)
    licence: str = field(default="", repr=False)
    restricted_in: int | None = None
    reported_at: datetime | None = None
    disk_total_bytes: int = 0
    disk_used_bytes: int = 0


class LockoutSource(Protocol):
    """Reads the database. Raises `Unavailable`, `Refused`."""

    def read_facts(self) -> LockoutFacts:
        """What it says now. Read-only."""
        ...
