"""Sends each notification once: a small blob under `notices/` for each key.

A key is claimed before the notification is sent and marked as sent afterwards, so that of two senders one
sends. If the sender died in between, the claim expires after two minutes and another sends: twice rather than
never.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from shared.kernel.errors import AlreadyExists, Conflict, NotFound
from shared.kernel.ports import Blobs, Clock

_PREFIX = "notices/"
CLAIM_TIMEOUT = timedelta(minutes=2)
# Of causes that are long over: nobody raises a key again that was told half a year ago. If somebody does, it
# is told twice rather than never.
_RETENTION = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class _Claim:
    """The content of the blob."""

    at: datetime  # when it was claimed or, once it was sent, when it was sent
    sent: bool


class NotificationDedup:
    """Claims of notification keys, in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    @contextmanager
    def claim(self, key: str, *, repeat_after: timedelta | None) -> Iterator[bool]:
        """Whether the caller is to send, inside the context.

        If the context raises, the key counts as not sent. `repeat_after` None means never again.
        """
        etag = self._claim(key, repeat_after)
        if not etag:
            yield False
            return
        try:
            yield True
        except Exception:
            # Backdated, so that the next sender need not wait for a claim that nobody holds.
            self._write(key, _Claim(self._clock.now() - CLAIM_TIMEOUT, sent=False), etag)
            raise
        self._write(key, _Claim(self._clock.now(), sent=True), etag)

    def was_sent(self, key: str) -> bool:
        """Whether the key's notification was sent and not cleared since."""
        try:
            stored = _decode_claim(self._blobs.read(_blob_name(key))[0])
        except NotFound:
            return False
        return stored is not None and stored.sent

    def find_known(self, keys: Iterable[str]) -> frozenset[str]:
        """Those that were claimed and not cleared since; the storage is asked once. Raises Unavailable."""
        names = {blob.name for blob in self._blobs.list(_PREFIX)}
        return frozenset(key for key in keys if _blob_name(key) in names)

    def forget(self, key: str) -> None:
        """Clear the key, since its cause is over: the next occurrence is sent again."""
        self._blobs.delete(_blob_name(key))

    def remove_expired(self) -> str:
        """Delete the keys of what is long over; what was done, in a sentence."""
        # By the storage's time: what a claim says of itself could keep it for ever.
        now = self._clock.now()
        old = [blob.name for blob in self._blobs.list(_PREFIX) if now - blob.last_modified > _RETENTION]
        for name in old:
            self._blobs.delete(name)
        return f"{len(old)} keys of notifications deleted"

    def _claim(self, key: str, repeat_after: timedelta | None) -> str:
        """The claim's etag; empty if there is nothing to send."""
        now = self._clock.now()
        claim = _encode_claim(_Claim(now, sent=False))
        try:
            data, etag = self._blobs.read(_blob_name(key))
        except NotFound:
            try:
                return self._blobs.create(_blob_name(key), claim).etag
            except AlreadyExists:
                return ""
        stored = _decode_claim(data)
        if stored is not None and not _is_due(stored, repeat_after, now):
            return ""
        try:
            return self._blobs.replace(_blob_name(key), claim, etag=etag).etag
        except Conflict:
            return ""

    def _write(self, key: str, claim: _Claim, etag: str) -> None:
        try:
            self._blobs.replace(_blob_name(key), _encode_claim(claim), etag=etag)
        except Conflict:  # it took longer than CLAIM_TIMEOUT, and another sender took over
            return


def _is_due(claim: _Claim, repeat_after: timedelta | None, now: datetime) -> bool:
    if not claim.sent:
        return now >= claim.at + CLAIM_TIMEOUT
    return repeat_after is not None and now >= claim.at + repeat_after


def _blob_name(key: str) -> str:
    # Keys hold names of machines and decisions, which may not be valid in a blob's name.
    return f"{_PREFIX}{sha256(key.encode()).hexdigest()[:40]}.json"


def _encode_claim(claim: _Claim) -> bytes:
    return json.dumps({"at": claim.at.isoformat(), "sent": claim.sent}).encode()


def _decode_claim(data: bytes) -> _Claim | None:
    """None if unreadable, in which case it is overwritten: better sent twice than not at all."""
    try:
        record = json.loads(data)
        sent = record["sent"] if "sent" in record else record["told"]  # `told` before version 0.2
        return _Claim(datetime.fromisoformat(record["at"]), bool(sent))
    except (ValueError, TypeError, KeyError):
        return None
