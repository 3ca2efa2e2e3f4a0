"""The audit trail: an append-only chain of entries under `audit/`, each naming the hash of the one before.

Entries are created only if absent, so two writers cannot take the same place and nothing is written
over; a change or a removal in the middle breaks the chain and `verify` names where.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.kernel.errors import AlreadyExists, Corrupt
from shared.kernel.ports import Blobs, Clock

log = logging.getLogger(__name__)

_PREFIX = "audit/"
_NAME = re.compile(r"audit/\d{10}\.json", re.ASCII)


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
            names = self._list_names()
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
        """The entries, oldest first. Raises Corrupt where the chain is broken.

        What was cut off at the end leaves a shorter chain that is whole: compare `head` with one noted
        before.
        """
        previous, expected = "", 1
        for blob in self._blobs.list(_PREFIX):
            data = self._blobs.read(blob.name)[0]
            # The name first: a foreign file there is named instead of failing as JSON.
            if not _NAME.fullmatch(blob.name):
                raise Corrupt(f"{blob.name} is no entry of the audit trail")
            entry = _parse_entry(data, blob.name)
            if entry.previous != previous or entry.number != expected or _parse_number(blob.name) != expected:
                raise Corrupt(f"the audit trail is broken at {blob.name}")
            previous, expected = hashlib.sha256(data).hexdigest(), expected + 1
            yield entry

    def head(self) -> tuple[int, str]:
        """The newest entry's number and its SHA-256 in hex; 0 and empty before the first."""
        names = self._list_names()
        if not names:
            return 0, ""
        return _parse_number(names[-1]), self.hash_of(_parse_number(names[-1]))

    def hash_of(self, number: int) -> str:
        """The SHA-256 of one entry in hex. Raises NotFound."""
        return hashlib.sha256(self._blobs.read(f"{_PREFIX}{number:010d}.json")[0]).hexdigest()

    def newest(self, most: int) -> Iterator[AuditEntry]:
        """At most so many entries, newest first, unverified. What cannot be read is logged and left out."""
        for name in reversed(self._list_names()[-most:]):
            try:
                yield _parse_entry(self._blobs.read(name)[0], name)
            except Corrupt as error:
                log.warning("audit.entry_unreadable", extra={"blob": name, "error": str(error)})

    def _list_names(self) -> list[str]:
        """The entries' names in order. A foreign file beside them must not keep anybody from writing."""
        return [blob.name for blob in self._blobs.list(_PREFIX) if _NAME.fullmatch(blob.name)]


def _parse_entry(data: bytes, name: str) -> AuditEntry:
    try:
        entry = AuditEntry(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{name} is not an entry of the audit trail", value=type(error).__name__) from error
    return entry


def _parse_number(name: str) -> int:
    return int(name.removeprefix(_PREFIX).removesuffix(".json"))
