"""What the status shows of secrets: everything but their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SecretSummary:
    """One secret as the newest look found it.

    - `state`: as `groundcrew secrets list` says it: `good`, `due`, `unknown`, …
    - `due`: when it has to be exchanged; None without a limit.
    - `rotated`: when it was rotated last and by whom, in words; empty if it never was.
    - `has_limit`: whether policy says how old it may get.
    """

    name: str
    kind: str
    state: str
    homes: Sequence[str]
    readers: Sequence[str]
    changed: datetime | None
    due: datetime | None
    rotated: str
    has_limit: bool
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """All secrets that policy knows, at one moment."""

    at: datetime
    secrets: Sequence[SecretSummary]
