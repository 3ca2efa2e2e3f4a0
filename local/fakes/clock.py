"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)  # a Monday


class ManualClock:
    """`Clock` under a test's control."""

    def __init__(self, start: datetime = _START) -> None:
        self._now = start

    def now(self) -> datetime:
        """The moment it was last set or advanced to, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move on and return the new present."""
        self._now += by
        return self._now

    def set(self, now: datetime) -> None:
        """Jump to an aware moment."""
        self._now = now.astimezone(UTC)
