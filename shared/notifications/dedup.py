"""What was told before: one small blob under `notices/` for each matter.

A matter is claimed before it is told and marked afterwards, so that of two who want to tell it one does.
A teller that died in between is followed by another after two minutes: told twice rather than never.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from shared.kernel.errors import AlreadyExists, Conflict, NotFound
from shared.kernel.ports import Blobs, Clock

TELLING = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class _Mark:
    at: datetime
    told: bool


class NotificationDedup:
    """Remembers in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    @contextmanager
    def claim(self, key: str, *, repeat_after: timedelta | None) -> Iterator[bool]:
        """Whether the matter is to be told, which happens inside the context.

        If that raises, the matter counts as not told. `repeat_after` None means once and never again.
        """
        etag = self._claim(key, repeat_after)
        if not etag:
            yield False
            return
        try:
            yield True
        except Exception:
            self._write(key, _Mark(self._clock.now() - TELLING, told=False), etag)
            raise
        self._write(key, _Mark(self._clock.now(), told=True), etag)

    def forget(self, key: str) -> None:
        """The matter is over; when it comes back it is told again."""
        self._blobs.delete(_name(key))

    def _claim(self, key: str, repeat_after: timedelta | None) -> str:
        """The claim's etag; empty if there is nothing to tell."""
        now = self._clock.now()
        claim = _dump(_Mark(now, told=False))
        try:
            data, etag = self._blobs.read(_name(key))
        except NotFound:
            try:
                return self._blobs.create(_name(key), claim).etag
            except AlreadyExists:
                return ""
        mark = _parse(data)
        if mark is not None and not _is_due(mark, repeat_after, now):
            return ""
        try:
            return self._blobs.replace(_name(key), claim, etag=etag).etag
        except Conflict:
            return ""

    def _write(self, key: str, mark: _Mark, etag: str) -> None:
        try:
            self._blobs.replace(_name(key), _dump(mark), etag=etag)
        except Conflict:  # it took so long that another teller took over
            return


def _is_due(mark: _Mark, repeat_after: timedelta | None, now: datetime) -> bool:
    if not mark.told:
        return now >= mark.at + TELLING
    return repeat_after is not None and now >= mark.at + repeat_after


def _name(key: str) -> str:
    # Keys hold names of machines and ids of decisions, which need not be fit for a blob's name.
    return f"notices/{sha256(key.encode()).hexdigest()[:40]}.json"


def _dump(mark: _Mark) -> bytes:
    return json.dumps({"at": mark.at.isoformat(), "told": mark.told}).encode()


def _parse(data: bytes) -> _Mark | None:
    """None for what cannot be read, which is then written over: telling twice beats silence."""
    try:
        plain = json.loads(data)
        return _Mark(datetime.fromisoformat(plain["at"]), bool(plain["told"]))
    except (ValueError, TypeError, KeyError):
        return None
