"""The audit trail: an append-only chain of entries under `audit/`, each naming the hash of the one before.

Entries are created only if absent, so two writers cannot take the same place and nothing is written
over; a change or a removal in the middle breaks the chain and `verify` names where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from shared.kernel.errors import AlreadyExists, Corrupt
from shared.kernel.ports import Blobs, Clock

_PREFIX = "audit/"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, and how it ended."""

    number: int  # from 1, without gaps
    at: str  # ISO 8601, UTC
    actor: str  # a person, or `groundcrew` for a job
    action: str  # `backup.seal`, `deploy.rollback`, …
    subject: str  # what it was done to
    outcome: str
    previous: str  # SHA-256 of the entry before, empty for the first


class AuditTrail:
    """Appends to the trail and verifies it."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def append(self, actor: str, action: str, subject: str, outcome: str) -> int:
        """Add an entry behind the newest one; returns its number. Retries when another writer came first."""
        while True:
            names = [blob.name for blob in self._blobs.list(_PREFIX)]
            previous = hashlib.sha256(self._blobs.read(names[-1])[0]).hexdigest() if names else ""
            number = _parse_number(names[-1]) + 1 if names else 1
            at = self._clock.now().isoformat()
            entry = {"number": number, "at": at, "actor": actor, "action": action}
            entry |= {"subject": subject, "outcome": outcome, "previous": previous}
            try:
                self._blobs.create(f"{_PREFIX}{number:010d}.json", json.dumps(entry).encode())
            except AlreadyExists:
                continue
            return number

    def verify(self) -> Iterator[AuditEntry]:
        """The entries, oldest first. Raises Corrupt where the chain is broken."""
        previous, expected = "", 1
        for blob in self._blobs.list(_PREFIX):
            data = self._blobs.read(blob.name)[0]
            entry = AuditEntry(**json.loads(data))
            if entry.previous != previous or entry.number != expected or _parse_number(blob.name) != expected:
                raise Corrupt(f"the audit trail is broken at {blob.name}")
            previous, expected = hashlib.sha256(data).hexdigest(), expected + 1
            yield entry


def _parse_number(name: str) -> int:
    return int(name.removeprefix(_PREFIX).removesuffix(".json"))
