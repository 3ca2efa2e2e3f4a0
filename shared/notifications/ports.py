"""Notifications to people: the content, the port that takes it, and that of a channel that delivers it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from shared.notifications.model import Message, Notice, Severity
from shared.notifications.silence import Silence

__all__ = ["Channel", "GroupNotifier", "Message", "Notice", "Notifier", "Severity", "SilenceTarget"]


class Notifier(Protocol):
    """Takes notices; they are delivered to the routes that policy names for topic and severity."""

    def notify(self, notice: Notice) -> bool:
        """Store the notice for delivery; True if it is new, False if it had been told before.

        What is stored is delivered until one route took it, across restarts. The first attempt is made at
        once and waited for only for seconds; that a channel is down raises nothing. Raises `Unavailable` if
        the notice could be neither stored nor sent (it may be retried at once).
        """
        ...

    def notify_resolved(self, notices: Sequence[Notice]) -> None:
        """Tell the ends of those that were told: of many at once, of which hardly one ever was.

        Raises `Unavailable` if the storage cannot say which those are.
        """
        ...


class GroupNotifier(Notifier, Protocol):
    """Takes many notices of one group as well, which somebody else has deduplicated."""

    def notify_group(self, notices: Sequence[Notice], *, wait: timedelta) -> None:
        """Store them in one write; sent as one message, after others could join for so long.

        Raises `Unavailable` if they could not be stored.
        """
        ...


class SilenceTarget(Protocol):
    """Another system that tells people of the same things, and can be silenced."""

    def add_silence(self, silence: Silence) -> str:
        """Begin it there; returns its id there. Raises Unavailable, Refused."""
        ...

    def end_silence(self, identity: str) -> None:
        """End it there. Raises Unavailable, Refused."""
        ...


class Channel(Protocol):
    """One address of a route."""

    def send(self, message: Message) -> None:
        """Deliver within seconds.

        Raises `Unavailable` for what may pass, `Refused` if the service turned the address away (revoked,
        disabled, unknown): then somebody has to be told by another way.
        """
        ...
