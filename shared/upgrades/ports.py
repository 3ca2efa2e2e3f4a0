"""The outside system of upgrades: Rocket.Chat's database, of which only numbers and names are read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from shared.upgrades.model import ProbeKey, UpgradeObservation


class UpgradeProbes(Protocol):
    """Counts what an upgrade touches. Raises `Unavailable`, `Refused` if the database gives no answer at all.

    Read-only. What it returns are numbers, names of sign-in services and of integrations: no text of a
    message and none of a script.
    """

    def count(self, probes: Collection[ProbeKey]) -> UpgradeObservation:
        """The result of each probe; one that is slow or refused is unknown, and the others go on."""
        ...
