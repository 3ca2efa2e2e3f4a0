"""A hold: why a machine may not be stopped, or must be up, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Hold:
    """Work in flight that must not be interrupted, from `since` to `until` at the latest."""

    what: str
    since: datetime
    until: datetime
    needs_up: bool = False  # whether the machine is started for it, too
