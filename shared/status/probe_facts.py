"""What the newest look at the chat found, as the status shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.kernel.durations import format_duration
from shared.probes.model import ProbeName, ProbeOutcome, ProbeStatus
from shared.probes.render import describe_probes

# While one of these fails nobody can work.
_WAKES = frozenset({ProbeName.SIGN_IN, ProbeName.READ_ONLY, ProbeName.MESSAGE})


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """The newest look: when, after what, and how each probe went."""

    at: datetime
    trigger: str
    outcomes: Sequence[ProbeOutcome]


def judge_probe_facts(facts: ProbeFacts) -> Iterator[tuple[str, str]]:
    """How urgent what is not ok is, as a value of `Level`, and what it is."""
    for one in facts.outcomes:
        if one.status is ProbeStatus.FAILED:
            yield "act" if one.name in _WAKES else "look", f"{one.name}: {one.reason}"
        # Not "unknown", which would wake: the look was made, and people work or complain by now.
        elif one.status is ProbeStatus.UNKNOWN:
            yield "look", f"{one.name} is not known: {one.reason}"


def describe_probe_facts(facts: ProbeFacts, now: datetime) -> Iterator[str]:
    """For the row of the status."""
    yield f"{describe_probes(facts.outcomes)} ({format_duration(now - facts.at)} ago, after {facts.trigger})"
