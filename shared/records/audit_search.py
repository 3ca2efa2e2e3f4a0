"""Searching the audit trail: what `groundcrew audit show` and `who did …` of the chat answer from."""

from __future__ import annotations

from collections.abc import Iterable

from shared.records.audit import AuditEntry


def find_entries(
    entries: Iterable[AuditEntry], *, who: str = "", about: str = "", most: int
) -> list[AuditEntry]:
    """The first `most` of the entries that were done by `who` and contain each word of `about`, any case."""
    matching: list[AuditEntry] = []
    words = about.lower().split()
    for entry in entries:
        if who and entry.actor.lower() != who.lower():
            continue
        text = f"{entry.actor} {entry.action} {entry.subject} {entry.outcome}".lower()
        if all(word in text for word in words):
            matching.append(entry)
            # Each further entry would be read from the storage for nothing.
            if len(matching) == most:
                break
    return matching
