"""The records of rehearsals, in the container `groundcrew` under `rehearsals/`: one for each commit, signed.

Whoever may write to the container could write "passed" into a record. Only a process that has the signing
key can sign one, so that a record without a valid signature of a trusted signer counts as none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from shared.formats.manifest import Signer, verify_record
from shared.formats.rehearsals import REQUESTED, Rehearsal
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs, Clock

log = logging.getLogger(__name__)

_PREFIX = "rehearsals/"
# As for backup sets: by how much the clocks of two workers may differ.
_CLOCK_SKEW = timedelta(minutes=15)


class RehearsalStore:
    """Reads and writes the records. `signer` is None where nothing is written."""

    def __init__(self, blobs: Blobs, clock: Clock, signer: Signer | None, trusted: Sequence[str]) -> None:
        self._blobs, self._clock, self._signer, self._trusted = blobs, clock, signer, trusted

    def read(self, sha: str) -> Rehearsal | None:
        """The commit's record; None if there is none that a trusted signer signed."""
        name = _blob_name(sha)
        try:
            return self._parse(name, self._blobs.read(name)[0])
        except NotFound:
            return None

    def list_recent(self) -> Iterator[Rehearsal]:
        """All records that count, the one that changed last first."""
        records = []
        for blob in self._blobs.list(_PREFIX):
            try:
                record = self._parse(blob.name, self._blobs.read(blob.name)[0])
            except NotFound:
                continue
            records += [record] if record else []
        yield from sorted(records, key=lambda one: one.updated, reverse=True)

    def save(self, record: Rehearsal) -> Rehearsal:
        """Write the record over what was there, dated now. Raises UsageError without a key."""
        if self._signer is None:
            raise UsageError("a rehearsal has to be signed, and there is no signing key here")
        record = replace(record, updated=self._clock.now())
        self._blobs.replace(_blob_name(record.sha), self._signer.sign(record), etag=None)
        return record

    def request(self, sha: str, pull: int, environment: str, *, by: str) -> Rehearsal:
        """The record of a rehearsal that somebody asked for; one that runs stays as it is."""
        known = self.read(sha)
        if known is not None and not known.ended:
            return known
        now = self._clock.now()
        return self.save(
            Rehearsal(
                FORMAT, sha, pull, environment, REQUESTED, "waiting for a worker", "", "", retry=False,
                # Attempts go on counting where the last one was interrupted, so that they come to an end.
                attempts=known.attempts if known and known.retry else 0,
                requested_by=by, requested=now, updated=now,
            )
        )  # fmt: skip

    def _parse(self, name: str, data: bytes) -> Rehearsal | None:
        try:
            if not self._trusted:  # then any signature would do
                raise Refused(f"{name} cannot be verified: no signer is trusted")
            record = verify_record(Rehearsal, data, name=name, trusted=self._trusted).record
            # Under the name of another commit it would open that one's gate.
            if _blob_name(record.sha) != name:
                raise Corrupt(f"{name} is the record of another commit", value=record.sha)
            if record.updated > self._clock.now() + _CLOCK_SKEW:
                raise Corrupt(f"{name} is dated in the future", value=record.updated)
        except (Corrupt, Refused) as error:
            log.warning("rehearsal.record_ignored", extra={"blob": name, "error": str(error)})
            return None
        return record


def _blob_name(sha: str) -> str:
    return f"{_PREFIX}{sha}.json"
