"""What is notified, and what is stored of it until a channel took it. Plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

MAX_TITLE, MAX_TEXT, MAX_HINT = 200, 4000, 1000
"""Characters that are stored of a notice: what is longer ends with an ellipsis."""

_NOT_IN_TOPIC = re.compile(r"[^a-z0-9-]+")


class Severity(StrEnum):
    """How urgent it is; policy maps each severity to routes."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the least urgent."""
        return _RANKS[self]


# A group of thousands of alerts compares ranks by the million.
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification. Texts are plain text or Markdown and never contain a secret.

    `key` deduplicates: notices with the same key are sent once or, with `again`, repeated after
    `notify.repeat_after` for as long as they are raised. Without a key every notice is sent. `resolved` says
    that what was told under the key is over: it is sent only if that had been told, and clears the key.
    `topic` is what policy routes by, the key's first segment where it is empty. What waits under one `group`
    (by default: topic and severity) goes out as one message. `fields` are short facts beside the text.
    """

    severity: Severity
    title: str
    text: str
    hint: str = ""
    key: str = ""
    again: bool = False
    topic: str = ""
    group: str = ""
    resolved: bool = False
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def topic_name(self) -> str:
        """The topic, or what the key says of it; `other` where neither does. Fit for the name of a blob."""
        # Keys begin with the feature: `backup/…`, `power/…`.
        first = self.topic or self.key.partition("/")[0]
        return _NOT_IN_TOPIC.sub("-", first.lower()).strip("-")[:40] or "other"

    @property
    def group_name(self) -> str:
        """Under which it waits together with others."""
        return _NOT_IN_TOPIC.sub("-", self.group.lower()).strip("-")[:60] or (
            f"{self.topic_name}-{self.severity.value}"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice as it is stored, cut to size; `count` notices of one key and state are one entry."""

    severity: Severity
    title: str
    text: str
    hint: str
    key: str  # by which the same thing is told once
    resolved: bool  # the end of what the key stands for
    at: datetime  # when it was raised, or raised last
    fields: tuple[tuple[str, str], ...] = ()  # names and values beside the text
    count: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Notices that go out as one message: some in full, of the others only how many of which title."""

    entries: tuple[Entry, ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)  # by title; "" for those whose title is not kept

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def total(self) -> int:
        """How many notices it stands for."""
        return sum(entry.count for entry in self.entries) + sum(self.more.values())

    @property
    def severity(self) -> Severity:
        """The most urgent one's; those that were left out are never more urgent."""
        return max(
            (entry.severity for entry in self.entries), key=lambda one: one.rank, default=Severity.INFO
        )


@dataclass(frozen=True, slots=True)
class PendingGroup:
    """What waits under one name. `sending` was tried or is being tried; `waiting` came after."""

    name: str
    topic: str
    waiting: Batch = Batch()
    sending: Batch = Batch()
    since: datetime | None = None  # when the oldest notice was recorded
    not_before: datetime | None = None  # a wait for others, a back-off, or the end of quiet hours
    claimed_until: datetime | None = None  # somebody is sending; if they died, it is free again then
    claim: str = ""  # whose claim it is
    attempts: int = 0  # failed ones

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self.waiting and not self.sending


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel is given: one notice, or several that waited together."""

    topic: str
    batch: Batch

    @property
    def severity(self) -> Severity:
        """The most urgent notice's."""
        return self.batch.severity

    @property
    def is_resolved(self) -> bool:
        """Whether it only says that something is over."""
        return not self.batch.more and all(entry.resolved for entry in self.batch.entries)


@dataclass(frozen=True, slots=True)
class RouteState:
    """What is known of a route, in `notifications/routes.json`."""

    sent: tuple[datetime, ...] = ()  # the newest, for the rate limit
    last_success: datetime | None = None
    last_failure: datetime | None = None
    failures: int = 0  # since the last success
    error: str = ""  # of the last failure
    permanent: bool = False  # the last failure was a refusal, as of an address that was revoked


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in the history: what became of it, and what each route said."""

    id: str
    at: datetime  # of the last attempt
    topic: str
    severity: str
    title: str
    notices: int
    outcome: str  # `delivered`, `failed` (it is tried again), `waiting` or `no route`
    attempts: int
    routes: Mapping[str, str] = field(default_factory=dict)  # by name: `accepted`, or why not
