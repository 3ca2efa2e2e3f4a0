"""Locking MongoDB for a moment, and being sure that it is unlocked again.

Three things see to that: the end of the context, a watchdog in this process, and a mark in the state that
whoever looks next finds if this process died. The mark is written before the lock is taken and removed when
the server itself says that it is unlocked.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.kernel.errors import GroundcrewError, Locked, NotFound, Unavailable
from shared.kernel.ports import Blobs, Clock
from shared.mongodb.freeze_port import Freezable

log = logging.getLogger(__name__)

_LOCK_RECORD = "snapshots/locked.json"
_LEASE = timedelta(seconds=60)
_UNLOCK_ATTEMPTS = 5


class FreezeLock:
    """A lock that is held, as far as is known."""

    def __init__(self) -> None:
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the watchdog had to end it: what was copied since may not be one moment's."""
        return self._lost.is_set()

    def mark_lost(self) -> None:
        """The watchdog's word."""
        self._lost.set()


@dataclass(frozen=True)
class Freezer:
    """Locks and unlocks. `limit` is how long writes are held back at most."""

    connect: Callable[[], Freezable]
    state: Blobs
    clock: Clock
    limit: timedelta = timedelta(seconds=90)

    @contextmanager
    def freeze(self) -> Iterator[FreezeLock]:
        """MongoDB locked. Raises `Locked` if anybody's lock is held already, `Refused`, `Unavailable`."""
        with self.state.lease("locks/freeze", duration=_LEASE):
            server = self.connect()
            if server.is_locked():
                raise Locked("MongoDB is locked by somebody else", hint="db.fsyncUnlock() ends that.")
            record = {"at": self.clock.now().isoformat()}
            self.state.replace(_LOCK_RECORD, json.dumps(record).encode(), etag=None)
            try:
                server.lock()
            except GroundcrewError as error:
                if error.permanent:
                    self.state.delete(_LOCK_RECORD)
                # Otherwise the mark stays: the lock may be taken after its answer was given up.
                raise
            lock = FreezeLock()
            watchdog = threading.Timer(self.limit.total_seconds(), self._on_watchdog_timeout, (server, lock))
            watchdog.daemon = True
            watchdog.start()
            try:
                yield lock
            finally:
                watchdog.cancel()
                self._unlock(server)

    def unlock_stale(self) -> str:
        """Unlock what somebody who died left locked; what was done, or nothing.

        Raises `Unavailable` if MongoDB cannot be asked: then it is tried again at the next tick.
        """
        try:
            record, _ = self.state.read(_LOCK_RECORD)
        except NotFound:
            return ""
        try:
            with self.state.lease("locks/freeze", duration=_LEASE):
                self._unlock(self.connect())
        except Locked:
            return ""  # it is held by somebody alive
        log.warning("freeze.stale_lock_released", extra={"mark": record.decode("utf-8", "replace")[:100]})
        return "unlocked MongoDB, which a run that died had left locked"

    def _on_watchdog_timeout(self, server: Freezable, lock: FreezeLock) -> None:
        lock.mark_lost()
        log.error("freeze.watchdog_timeout", extra={"seconds": self.limit.total_seconds()})
        try:
            server.unlock()
        except GroundcrewError as error:
            log.error("freeze.watchdog_unlock_failed", extra={"error": str(error)})  # noqa: TRY400

    def _unlock(self, server: Freezable) -> None:
        """Unlock until the server says that it is unlocked, then remove the mark."""
        failure: GroundcrewError | None = None
        for _ in range(_UNLOCK_ATTEMPTS):
            try:
                if not server.is_locked():
                    self.state.delete(_LOCK_RECORD)
                    return
                server.unlock()
            except GroundcrewError as error:
                failure = error
        raise Unavailable("MongoDB could not be unlocked", hint="Run db.fsyncUnlock() on it.") from failure
