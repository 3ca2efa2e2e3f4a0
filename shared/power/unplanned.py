"""A machine that went off while it should run: who did it, and what follows from that. Pure.

What people or their programs stopped stays off until the next window or an order: they may be at its disk.
What Azure took away is started again. Of what nobody is named for, neither is known to be safe: starting a
machine that somebody has shut down on purpose can damage what they are repairing, and a chat that is off is
seen at once and started with one order. So it is left alone, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.cloud.activity import ACTIVITY_DELAY, ActivityEvent
from shared.power.attempts import Act, Attempt

# https://learn.microsoft.com/azure/role-based-access-control/permissions/compute, …/permissions/containers
_STOPS = ("/deallocate/action", "/poweroff/action", "/stop/action", "/hibernate/action")
_EVICTIONS = ("/evictspotvm/action", "/preempt/action")
# An eviction ends in a deallocation, which the log may show as one of its own.
_EVICTION_TAKES = timedelta(minutes=15)


class StopCause(StrEnum):
    """Who stopped a machine that should run."""

    PERSON = "person"  # by a call to Azure, also of a program that is not this one
    GUEST = "guest"  # by somebody or something inside the machine
    PLATFORM = "platform"  # Azure: an eviction, a lost host
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UnplannedStop:
    """What is known of it. `seen` is when it was first found off, `by` who did it, in words."""

    seen: datetime
    cause: StopCause = StopCause.UNKNOWN
    by: str = ""
    at: datetime | None = None

    @property
    def respected(self) -> bool:
        """Whether it is somebody's will that the machine is off."""
        return self.cause in (StopCause.PERSON, StopCause.GUEST)

    def is_open(self, now: datetime) -> bool:
        """Whether the log may still tell."""
        return self.cause is StopCause.UNKNOWN and now < self.seen + ACTIVITY_DELAY


def attribute_stop(stop: UnplannedStop, events: Iterable[ActivityEvent]) -> UnplannedStop:
    """The stop with its cause, as far as the events of the time since the machine last ran tell.

    The newest operation counts; one that failed stopped nothing.
    """
    done = _after_last_start(events)
    evictions = [event for event in done if event.operation.endswith(_EVICTIONS)]
    calls = [event for event in done if event.operation.endswith(_STOPS)]
    called, evicted = _newest(calls), _newest(evictions)
    health = _newest([event for event in done if event.unavailable and event.cause])
    if evicted is not None and (called is None or called.at <= evicted.at + _EVICTION_TAKES):
        return replace(stop, cause=StopCause.PLATFORM, by="Azure (Spot eviction)", at=evicted.at)
    lost = health is not None and health.cause.lower() == "platforminitiated"
    if called is not None and called.caller and not (lost and health and health.at > called.at):
        by = called.caller if "@" in called.caller else f"a program (object id {called.caller})"
        return replace(stop, cause=StopCause.PERSON, by=by[:120], at=called.at)
    if health is None:
        return stop
    causes = {"platforminitiated": StopCause.PLATFORM, "userinitiated": StopCause.GUEST}
    cause = causes.get(health.cause.lower(), StopCause.UNKNOWN)
    who = {StopCause.PLATFORM: "Azure", StopCause.GUEST: "somebody without a name in the log"}.get(cause, "")
    return replace(stop, cause=cause, by=f"{who} ({health.title})" if health.title else who, at=health.at)


def _after_last_start(events: Iterable[ActivityEvent]) -> list[ActivityEvent]:
    """What was done and did not fail, since the machine was last started by a call."""
    known = list(events)
    failed = {event.operation_id for event in known if event.status.lower() == "failed"} - {""}
    done = [event for event in known if event.operation_id not in failed]
    started = _newest([event for event in done if event.operation.endswith("/start/action")])
    return [event for event in done if started is None or event.at > started.at]


def without_own_stops(
    events: Iterable[ActivityEvent], history: Sequence[Attempt], settle: timedelta
) -> list[ActivityEvent]:
    """The events less those of our own stops, which a view that lags shows late."""
    own = [attempt.at for attempt in history if attempt.act is Act.STOP]
    margin = timedelta(minutes=1)
    return [
        event
        for event in events
        if not event.operation.endswith(_STOPS)
        or not any(at - margin <= event.at <= at + settle for at in own)
    ]


def mark_undone(history: Sequence[Attempt], decision: str, reason: str) -> tuple[Attempt, ...]:
    """The record after Azure took a started machine away: the start may be repeated."""
    changed = list(history)
    for index in range(len(changed) - 1, -1, -1):
        attempt = changed[index]
        if attempt.act is Act.START and attempt.decision == decision and attempt.outcome == "done":
            changed[index] = replace(attempt, outcome="undone", error=reason[:300])
            break
    return tuple(changed)


def _newest(events: Sequence[ActivityEvent]) -> ActivityEvent | None:
    return max(events, key=lambda event: event.at, default=None)
