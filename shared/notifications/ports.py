"""Telling people: what a message says, and the port it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Severity(StrEnum):
    """How much it matters; policy says which routes hear of which."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. Texts are plain or Markdown, and never hold a secret.

    Notices with the same `key` are one matter: it is told once or, with `again`, anew after the time that
    policy sets, as long as somebody keeps saying it. Without a key every notice is told.
    """

    severity: Severity
    title: str
    text: str
    hint: str = ""
    key: str = ""
    again: bool = False


class Notifier(Protocol):
    """Whoever policy names for a severity."""

    def notify(self, notice: Notice) -> bool:
        """Whether it was told now; False if it had been told before.

        Returns once one route took it; the fallback is asked only when all others failed. Raises
        `Unavailable` if nobody could be told (it can be told again at once), `UsageError` for a route
        without an address.
        """
        ...
