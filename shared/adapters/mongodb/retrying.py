"""Doing again what a lost connection interrupted: a primary that steps down is back within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from pymongo import errors

from shared.kernel.errors import Unavailable

T = TypeVar("T")

# Twice as long each time, half a minute in all beside the driver's own waiting for a server. An election
# takes ten to twelve seconds: https://www.mongodb.com/docs/manual/core/replica-set-elections/
FIRST_PAUSE_SECONDS, ATTEMPTS = 0.5, 7


class Retry:
    """Runs an act again after a lost connection. `pause` waits for some seconds."""

    def __init__(self, pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause

    def run(self, act: Callable[[bool], T]) -> T:
        """What `act` returns; it is told whether it is run again, since its first run may have had effect.

        Raises the last error.
        """
        for attempt in range(ATTEMPTS):
            try:
                return act(attempt > 0)
            # Unavailable also stands for a server that refuses; only what lost its connection is worth
            # another try.
            except (errors.ConnectionFailure, Unavailable) as error:
                if attempt == ATTEMPTS - 1 or not _is_lost_connection(error):
                    raise
                self._pause(FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def _is_lost_connection(error: Exception) -> bool:
    """The driver's own error, or ours for it."""
    return isinstance(error, errors.ConnectionFailure) or isinstance(
        error.__cause__, errors.ConnectionFailure
    )
