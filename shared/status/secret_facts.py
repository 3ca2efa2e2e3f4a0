"""What the status shows of secrets: everything but their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SecretSummary:
    """One secret as the newest look found it."""

    name: str
    kind: str
    state: str  # as `groundcrew secrets list` says it: `good`, `due`, `unknown`, …
    homes: Sequence[str]
    readers: Sequence[str]
    changed: datetime | None  # since when it is what it is; None if that cannot be seen
    due: datetime | None  # when it has to be exchanged; None without a limit
    rotated: str  # when it was rotated last and by whom, in words; empty if it never was
    has_limit: bool  # whether policy says how old it may get
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """All secrets that policy knows, at one moment."""

    at: datetime
    secrets: Sequence[SecretSummary]
