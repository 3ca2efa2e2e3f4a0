"""The audit trail: an append-only chain of entries under `audit/`, each naming the hash of the one before.

Entries are created only if absent, so two writers cannot take the same place and nothing is written
over; a change or a removal in the middle breaks the chain and `verify` names where.

`audit-head.json` says which entry is the newest, so that appending costs the same after ten years. It is a
hint and no truth: the entry that it names is read, later ones are looked for, and one that is gone is
evidence, which the next entry puts on record.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound
from shared.kernel.ports import Blobs, Clock

log = logging.getLogger(__name__)

_PREFIX = "audit/"
_NAME = re.compile(r"audit/\d{10}\.json", re.ASCII)
# Beside the entries and not among them: what lies under `audit/` is never written over.
_HEAD = "audit-head.json"
_MAX_BEHIND = 50  # entries that a stale head is followed by; beyond that one listing is cheaper


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
        """Add an entry behind the newest one; returns its number. Goes on behind another writer's.

        Costs four calls to the storage, however long the trail is.
        """
        number, previous, etag, missing = self._find_noted()
        if missing:
            log.error("audit.entries_missing", extra={"entry": missing, "newest": number})
            outcome_of_check = f"entry {missing} is missing: the trail was cut off behind entry {number}"
            number, previous = self._create_behind(
                number, previous, "groundcrew", "audit.append", f"entry {missing}", outcome_of_check
            )
        number, _ = self._create_behind(number, previous, actor, action, subject, outcome)
        self._write_head(number, etag)
        return number

    def _create_behind(
        self, number: int, previous: str, actor: str, action: str, subject: str, outcome: str
    ) -> tuple[int, str]:
        """Create the entry in the first free place behind `number`; returns its number and its hash."""
        for attempt in itertools.count(1):
            at = self._clock.now().isoformat()
            entry = {"number": number + 1, "at": at, "actor": actor, "action": action}
            entry |= {"subject": subject, "outcome": outcome, "previous": previous}
            data = json.dumps(entry).encode()
            try:
                self._blobs.create(_entry_name(number + 1), data)
            except AlreadyExists:  # another writer came first, or died before it noted the head
                far = attempt % _MAX_BEHIND == 0
                number, previous = self._list_newest() if far else (number + 1, self.hash_of(number + 1))
                continue
            break
        return number + 1, hashlib.sha256(data).hexdigest()

    def verify(self) -> Iterator[AuditEntry]:
        """The entries, oldest first. Raises Corrupt where the chain is broken.

        What was cut off at the end shows by the head that the last writer noted; if that was written over
        too, only by one that was noted elsewhere before.
        """
        previous, expected = "", 1
        # Before the listing: what is appended meanwhile must not look as if it were missing.
        noted, _ = self._read_head()
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
        if noted >= expected:
            raise Corrupt(
                f"the audit trail ends at entry {expected - 1}",
                hint=f"Entry {noted} was there: it was cut off.",
            )

    def head(self) -> tuple[int, str]:
        """The newest entry's number and its SHA-256 in hex; 0 and empty before the first."""
        return self._find_newest()

    def hash_of(self, number: int) -> str:
        """The SHA-256 of one entry in hex. Raises NotFound."""
        return hashlib.sha256(self._blobs.read(_entry_name(number))[0]).hexdigest()

    def newest(self, most: int) -> Iterator[AuditEntry]:
        """At most so many entries, newest first, unverified. What cannot be read is logged and left out."""
        newest, _ = self.head()
        for number in range(newest, max(newest - most, 0), -1):
            name = _entry_name(number)
            try:
                yield _parse_entry(self._blobs.read(name)[0], name)
            except (Corrupt, NotFound) as error:
                log.warning("audit.entry_unreadable", extra={"blob": name, "error": str(error)})

    def _find_noted(self) -> tuple[int, str, str | None, int]:
        """Number and hash of the entry that the head names, the head's etag, and 0.

        If there is no such entry: of the newest one that is listed, and the number that is missing.
        """
        number, etag = self._read_head()
        if not number:
            return *self._list_newest(), etag, 0
        try:
            return number, self.hash_of(number), etag, 0
        except NotFound:
            return *self._list_newest(), etag, number

    def _find_newest(self) -> tuple[int, str]:
        number, digest, _, _ = self._find_noted()
        for _ in range(_MAX_BEHIND):
            try:
                digest = self.hash_of(number + 1)
            except NotFound:
                return number, digest
            number += 1
        return self._list_newest()

    def _list_newest(self) -> tuple[int, str]:
        names = self._list_names()
        number = _parse_number(names[-1]) if names else 0
        return number, self.hash_of(number) if number else ""

    def _read_head(self) -> tuple[int, str | None]:
        """The number that the last writer noted, 0 for none, and the etag of the note."""
        try:
            data, etag = self._blobs.read(_HEAD)
        except NotFound:
            return 0, None
        try:
            number = decode_json(data, _HEAD)["number"]
        except (Corrupt, KeyError):
            return 0, etag
        # `type`, since a bool is an int. What is no number is as good as no note: the entries are listed.
        return (number if type(number) is int and 0 < number < 10**10 else 0), etag

    def _write_head(self, number: int, etag: str | None) -> None:
        """Under the etag, so that a slower writer does not set it back. The entry counts without it, too."""
        data = encode_json({"number": number})
        try:
            if etag is None:
                self._blobs.create(_HEAD, data)
            else:
                self._blobs.replace(_HEAD, data, etag=etag)
        except (AlreadyExists, Conflict):  # another writer's note is followed from there
            return

    def _list_names(self) -> list[str]:
        """The entries' names in order. A foreign file beside them must not keep anybody from writing."""
        return [blob.name for blob in self._blobs.list(_PREFIX) if _NAME.fullmatch(blob.name)]


def _parse_entry(data: bytes, name: str) -> AuditEntry:
    try:
        entry = AuditEntry(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{name} is not an entry of the audit trail", value=type(error).__name__) from error
    return entry


def _entry_name(number: int) -> str:
    return f"{_PREFIX}{number:010d}.json"


def _parse_number(name: str) -> int:
    return int(name.removeprefix(_PREFIX).removesuffix(".json"))
