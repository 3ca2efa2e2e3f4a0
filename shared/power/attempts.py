"""What was done about a machine, and whether it may be done again: once per decision, or after a back-off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=1)

# Error codes of Azure that mean: no such size here and now.
# https://learn.microsoft.com/azure/virtual-machines/error-codes
NO_CAPACITY = (
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "SkuNotAvailable",
)


class Act(StrEnum):
    """What a decision says to do. WAIT: something is wanted, but not yet."""

    NONE = "none"
    WARN = "warn"
    STOP = "stop"
    START = "start"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An act on record, written before it was done. `decision` is the decision's id."""

    act: Act
    decision: str
    at: datetime
    outcome: Literal["issued", "done", "failed"] = "issued"
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an act may be done now; if not, from when on (None: not for this decision), and why."""

    may: bool
    because: str = ""
    not_before: datetime | None = None
    failures: int = 0
    no_capacity: bool = False


def verdict(history: Sequence[Attempt], act: Act, decision: str, settle: timedelta, now: datetime) -> Verdict:
    """Whether the record allows the act. One without effect after `settle` counts as failed."""
    mine = [attempt for attempt in history if attempt.act is act and attempt.decision == decision]
    if not mine:
        return Verdict(True)
    newest = mine[-1]
    if newest.outcome == "done":
        done = f"the {act} for this was done at {newest.at:%Y-%m-%d %H:%MZ} and undone by somebody else"
        return Verdict(False, f"{done}: left alone until the next change or order")
    if newest.outcome == "issued" and now < newest.at + settle:
        why = f"the {act} was issued at {newest.at:%Y-%m-%d %H:%MZ} and has not shown yet"
        return Verdict(False, why, newest.at + settle)
    no_capacity = any(code in newest.error for code in NO_CAPACITY)
    failures = len(mine)
    told = newest.error or f"no effect within {settle}"
    pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
    again = newest.at + (settle if newest.outcome == "issued" else timedelta()) + pause
    why = f"the {act} failed {'once' if failures == 1 else f'{failures} times'}, last: {told}"
    if now < again:
        return Verdict(False, why, again, failures, no_capacity)
    return Verdict(True, why, None, failures, no_capacity)


def last(history: Sequence[Attempt], act: Act) -> Attempt | None:
    """The newest attempt at the act, whatever became of it."""
    return next((attempt for attempt in reversed(history) if attempt.act is act), None)


def observed(history: Sequence[Attempt], *, running: bool, deallocated: bool) -> tuple[Attempt, ...]:
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


def remembered(history: Iterable[Attempt], attempt: Attempt, *, keep: int = 30) -> tuple[Attempt, ...]:
    """The record with one more attempt, without the oldest beyond `keep`."""
    return (*history, attempt)[-keep:]
