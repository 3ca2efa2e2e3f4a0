"""A server whose health a test decides."""

from __future__ import annotations

from collections.abc import Callable

from shared.health.ports import Health


class SwitchedHealth:
    """A `Probe` that is well while `well()` says so."""

    def __init__(self, well: Callable[[], bool] = lambda: True, version: str = "8.2") -> None:
        self.well, self.version, self.looks = well, version, 0

    def check(self) -> Health:
        """See `Probe.check`."""
        self.looks += 1
        if self.well():
            return Health(True, f"Rocket.Chat {self.version} is ready")
        return Health(False, "no answer (ConnectionError)")
