"""One budget of reads for all workers of a backup together: each books what it has read in one small blob.

A budget of each worker's own would be multiplied by however many instances the platform starts. Nobody is in
charge and nobody is counted: until when the budget is spent stands in the blob, who has read something moves
that on under the blob's etag, and waits until then. A worker that dies leaves nothing behind but that time.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, GroundcrewError, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

BLOB = "budgets/backup-reads.json"
# Nobody waits for longer, whatever the blob says: a worker with a clock of its own, or a stranger, may have
# written it. 16 MiB at 1 MiB/s are 16 s, so that even eighteen workers on the smallest budget wait in turn.
LONGEST_WAIT = timedelta(minutes=5)
_CLOCK_SKEW = timedelta(seconds=30)
_BOOKED_SECONDS = 0.25  # of the budget at least: replies of a few bytes are booked together
_ATTEMPTS = 20  # all workers together book four times a second at the most


def book_read(booked_until: datetime | None, since: datetime, now: datetime, seconds: float) -> datetime:
    """Until when the budget is spent once `seconds` of it, which were read from `since` to `now`, are booked.

    `booked_until` is what others have booked; None if nobody has. Further than five minutes ahead it was
    written by a clock that is wrong: then it counts for nothing, and ours is what the others go on with.
    """
    if booked_until is None or booked_until > now + LONGEST_WAIT + _CLOCK_SKEW:
        booked_until = since
    # Not earlier than the read began: what was not read in the past is not saved up for a burst.
    return min(max(booked_until, since) + timedelta(seconds=seconds), now + LONGEST_WAIT)


class ReadBudget:
    """One worker's side of the budget of `bytes_per_second` that all workers share."""

    def __init__(self, blobs: Blobs, clock: Clock, bytes_per_second: int) -> None:
        self._blobs, self._clock, self._limit = blobs, clock, bytes_per_second
        self._unbooked, self._since = 0, clock.now()
        self._own_until: datetime | None = None
        self._told = False

    def book(self, size: int, seconds: float) -> float:
        """Seconds to wait before more is read, after `size` bytes that took `seconds` to come.

        Never raises for the storage: without the blob the worker goes by what it has read itself.
        """
        now = self._clock.now()
        if not self._unbooked:
            self._since = now - timedelta(seconds=seconds)
        self._unbooked += size
        spent = self._unbooked / self._limit
        if spent < _BOOKED_SECONDS:
            return 0.0
        self._unbooked = 0
        try:
            until = self._book_shared(now, spent)
        except GroundcrewError as error:
            # A dump is not given up for it: the storage that it writes to will say so itself.
            if not self._told:
                log.warning("backup.read_budget_unavailable", extra={"blob": BLOB, "error": str(error)})
            self._told = True
            until = book_read(self._own_until, self._since, now, spent)
        self._own_until = until
        return max(0.0, (until - now).total_seconds())

    def _book_shared(self, now: datetime, spent: float) -> datetime:
        for _ in range(_ATTEMPTS):
            booked_until, etag = self._read_booked()
            until = book_read(booked_until, self._since, now, spent)
            try:
                if etag:
                    self._blobs.replace(BLOB, encode_json({"until": until}), etag=etag)
                else:
                    self._blobs.create(BLOB, encode_json({"until": until}))
            except (AlreadyExists, Conflict):
                continue  # another worker was faster: what it booked comes before ours
            return until
        raise Conflict(f"{BLOB} was changed by others", value=f"{_ATTEMPTS} times in a row")

    def _read_booked(self) -> tuple[datetime | None, str]:
        """Until when others have booked, and the blob's etag; (None, "") if there is none."""
        try:
            data, etag = self._blobs.read(BLOB)
        except NotFound:
            return None, ""
        try:
            return parse_timestamp(decode_json(data, BLOB)["until"]), etag
        except (Corrupt, ValueError, TypeError, KeyError, OverflowError):
            return None, etag  # whatever it is, it is written over
