"""A look in words, for the terminal, the status and the record of a deploy."""

from __future__ import annotations

from collections.abc import Sequence

from shared.probes.model import ProbeOutcome, ProbeStatus


def describe_probes(outcomes: Sequence[ProbeOutcome]) -> str:
    """`2 of 5 probes failed: message: stored, and …; 1 unknown: push: …`."""
    parts = []
    for status, label in ((ProbeStatus.FAILED, "failed"), (ProbeStatus.UNKNOWN, "unknown")):
        chosen = [one for one in outcomes if one.status is status]
        if chosen:
            named = "; ".join(f"{one.name}: {one.reason}" for one in chosen)
            parts.append(f"{len(chosen)} of {len(outcomes)} probes {label}: {named}")
    return "; ".join(parts) or f"{len(outcomes)} probes ok"
