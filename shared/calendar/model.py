"""What ends, when, and how many powered-on days are left until then. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# How many powered-on days before the end people are told, the last one first.
THRESHOLDS = (3, 14, 30, 60)


class DeadlineKind(StrEnum):
    """What ends."""

    SUPPORTED_VERSION = "supported version"  # clients turn the server away
    LICENCE = "licence"
    STATISTICS = "statistics token"  # the server goes read-only
    END_OF_LIFE = "end of life"  # no fixes any more
    CERTIFICATE = "certificate"
    SECRET = "secret"  # noqa: S105 - a kind, not a secret
    GROWTH = "growth"  # disk, budget or part limits are reached


@dataclass(frozen=True, slots=True)
class Deadline:
    """One thing that ends.

    - `kind`, `name`: with each other its key.
    - `at`: when it ends; None if that is not known, and `unknown` says why.
    - `consequence`: what happens then, as the end of a sentence.
    - `renews_at`: until when it is no news that it has not been renewed; None if nothing renews it by itself.
    - `seen`: when it was last looked at with success.
    """

    kind: DeadlineKind
    name: str
    at: datetime | None
    consequence: str = ""
    unknown: str = ""
    renews_at: datetime | None = None
    seen: datetime | None = None

    @property
    def key(self) -> str:
        """`kind/name`, unique in a calendar."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A deadline as it stands today.

    - `powered_days`: days between today and the end on which the machine is up, both not counted; None where
      the end is not known or too far away to be counted.
    - `threshold`: the smallest of `THRESHOLDS` that it has reached, 0 when it has ended; None if none.
    - `warns_at`: when it reaches, or reached, the threshold of 14; None as for `powered_days`.
    """

    deadline: Deadline
    powered_days: int | None = None
    threshold: int | None = None
    warns_at: datetime | None = None

    @property
    def is_past_life(self) -> bool:
        """Whether it is the end of fixes, and over: nobody is locked out by it, and it may stay so."""
        return self.threshold == 0 and self.deadline.kind is DeadlineKind.END_OF_LIFE


@dataclass(frozen=True, slots=True)
class PlannedSpan:
    """A span in which the machine that carries the server is planned to be up, or off."""

    up: bool
    since: datetime
    until: datetime


# Beyond this nothing is counted: schedules and holidays of the year after next are not known.
REACH = timedelta(days=730)
