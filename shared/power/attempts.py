"""What was done about a machine, and whether it may be done again: once per decision, or after a back-off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from shared.kernel.timestamps import format_minute

FIRST_BACKOFF = timedelta(minutes=5)
MAX_BACKOFF = timedelta(hours=1)

# Error codes of Azure that mean: no such size here and now.
# https://learn.microsoft.com/azure/virtual-machines/error-codes
# Told apart since waiting may take days, and another size an hour.
NO_CAPACITY = (
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SkuNotAvailable",
)


class Act(StrEnum):
    """What a decision says to do. WAIT: something is wanted, but not yet."""

    NONE = "none"
    WARN = "warn"
    STOP = "stop"
    START = "start"
    WAIT = "wait"


Outcome = Literal["issued", "done", "failed", "refused", "cancelled", "undone"]
OUTCOMES: tuple[Outcome, ...] = ("issued", "done", "failed", "refused", "cancelled", "undone")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An act on record, written before it was done."""

    act: Act
    decision: str  # the decision's id
    at: datetime  # when it was put on record, just before it was done
    # issued: requested, no effect seen yet; refused: for good, as by a lock; cancelled: by us, before Azure;
    # undone: it was done, and Azure took it back
    outcome: Outcome = "issued"
    error: str = ""  # Azure's code and sentence; empty if it did not fail
    stop_at: datetime | None = None  # of a warning: the time it announced


@dataclass(frozen=True, slots=True)
class RetryVerdict:
    """Whether an act may be done now; if not, from when on (None: not for this decision), and why."""

    allowed: bool
    reason: str = ""
    not_before: datetime | None = None
    failures: int = 0
    no_capacity: bool = False


def retry_verdict(
    history: Sequence[Attempt], act: Act, decision: str, settle: timedelta, now: datetime
) -> RetryVerdict:
    """Whether the record allows the act. One without effect after `settle` counts as failed."""
    attempts = [
        attempt
        for attempt in history
        if attempt.act is act and attempt.decision == decision and attempt.outcome != "cancelled"
    ]
    if not attempts:
        return RetryVerdict(True)
    newest = attempts[-1]
    if newest.outcome == "refused":
        reason = f"{act} failed: refused at {format_minute(newest.at)}, last error: {newest.error}"
        return RetryVerdict(False, f"{reason}; not repeated until the next change or order", failures=1)
    # Somebody else's doing: starting it against them every five minutes would be a fight.
    if newest.outcome == "done":
        done = f"{act} was done at {format_minute(newest.at)}, then undone by somebody else"
        return RetryVerdict(False, f"{done}; not repeated until the next change or order")
    if newest.outcome == "undone":
        return _retry_undone(newest, sum(attempt.outcome == "undone" for attempt in attempts), now)
    if newest.outcome == "issued" and now < newest.at + settle:
        why = f"{act} requested at {format_minute(newest.at)}, no effect yet"
        return RetryVerdict(False, why, newest.at + settle)
    no_capacity = any(code in newest.error for code in NO_CAPACITY)
    failures = len(attempts)
    error_text = newest.error or f"no effect within {settle}"
    # The exponent is bounded before the power is taken: after a month of failures it would be a number of
    # digits.
    pause = min(FIRST_BACKOFF * 2 ** min(failures - 1, 10), MAX_BACKOFF)
    again = newest.at + (settle if newest.outcome == "issued" else timedelta()) + pause
    why = f"{act} failed {'once' if failures == 1 else f'{failures} times'}, last error: {error_text}"
    if now < again:
        return RetryVerdict(False, why, again, failures, no_capacity)
    return RetryVerdict(True, why, None, failures, no_capacity)


def _retry_undone(newest: Attempt, times: int, now: datetime) -> RetryVerdict:
    """Again at once if it lasted, with growing pauses if not: a Spot machine may be evicted all day."""
    again = newest.at + min(FIRST_BACKOFF * 2 ** min(times - 1, 10), MAX_BACKOFF)
    return RetryVerdict(now >= again, newest.error, again if now < again else None)


def last_attempt(history: Sequence[Attempt], act: Act) -> Attempt | None:
    """The newest attempt at the act, whatever became of it."""
    return next((attempt for attempt in reversed(history) if attempt.act is act), None)


def reconcile_history(history: Sequence[Attempt], *, running: bool, deallocated: bool) -> tuple[Attempt, ...]:
    """The record after a look at the machine: an issued start that runs is done, likewise a stop.

    Only the newest start or stop is closed: what the view shows is no news of older ones.
    """
    changed = list(history)
    for index in range(len(changed) - 1, -1, -1):
        attempt = changed[index]
        if attempt.act in (Act.START, Act.STOP):
            shown = running if attempt.act is Act.START else deallocated
            if shown and attempt.outcome == "issued":
                changed[index] = replace(attempt, outcome="done")
            break
    return tuple(changed)


def append_attempt(history: Iterable[Attempt], attempt: Attempt, *, limit: int = 30) -> tuple[Attempt, ...]:
    """The record with one more attempt, without the oldest beyond `limit`."""
    return (*history, attempt)[-limit:]
