"""A hold: why a machine may not be stopped, or must be up, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Work in progress that must not be interrupted."""

    what: str  # for people, `backup 20261123T010000Z`
    since: datetime
    until: datetime  # it ends by itself then
    needs_up: bool = False  # whether the machine is started for it, too
