"""What the newest rehearsal of an upgrade came to, as the status shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.formats.rehearsals import PASSED, Rehearsal
from shared.kernel.durations import format_duration
from shared.records.rehearsal_text import describe_rehearsal

# Later nobody mends it any more: the change was left, or deployed all the same.
_NEWS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RehearsalFacts:
    """The rehearsal that changed last; None if there is none yet."""

    record: Rehearsal | None


def judge_rehearsal_facts(facts: RehearsalFacts, now: datetime) -> Iterator[tuple[str, str]]:
    """How urgent it is, as a value of `Level`, and what it is: a gate that it closes can wait."""
    record = facts.record
    if record is None or not record.ended or record.state == PASSED or now - record.updated > _NEWS:
        return
    yield "look", f"{record.sha[:7]} {describe_rehearsal(record)}"


def describe_rehearsal_facts(facts: RehearsalFacts, now: datetime) -> Iterator[str]:
    """For the row of the status."""
    record = facts.record
    if record is None:
        yield "no deploy was rehearsed yet"
        return
    ago = format_duration(now - record.updated)
    yield f"{record.sha[:7]} {describe_rehearsal(record)} ({ago} ago)"
