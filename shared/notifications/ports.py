"""Notifications to people: the content, and the port that delivers them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Severity(StrEnum):
    """How urgent it is; policy maps each severity to routes."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification. Texts are plain text or Markdown and never contain a secret.

    `key` deduplicates: notices with the same key are sent once or, with `again`, repeated after
    `notify.repeat_after` for as long as they are raised. Without a key every notice is sent.
    """

    severity: Severity
    title: str
    text: str
    hint: str = ""
    key: str = ""
    again: bool = False


class Notifier(Protocol):
    """Delivers to the routes that policy names for the severity."""

    def notify(self, notice: Notice) -> bool:
        """Send; True if it was sent now, False if it had been sent before.

        Delivered means that at least one route accepted it; the fallback is used only when all others
        failed. Raises `Unavailable` if every route failed (it may be retried at once), `UsageError` for a
        route without an address.
        """
        ...
