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

_MARK = "snapshots/locked.json"
_LEASE = timedelta(seconds=60)
_TRIES = 5


class Frozen:
    """A lock that is held, as far as is known."""

    def __init__(self) -> None:
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the watchdog had to end it: what was copied since may not be one moment's."""
        return self._lost.is_set()

    def lose(self) -> None:
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
    def frozen(self) -> Iterator[Frozen]:
        """MongoDB locked. Raises `Locked` if anybody's lock is held already, `Refused`, `Unavailable`."""
        with self.state.lease("locks/freeze", duration=_LEASE):
            server = self.connect()
            if server.is_locked():
                raise Locked("MongoDB is locked by somebody else", hint="db.fsyncUnlock() ends that.")
            mark = {"at": self.clock.now().isoformat()}
            self.state.replace(_MARK, json.dumps(mark).encode(), etag=None)
            try:
                server.lock()
            except GroundcrewError as error:
                if error.permanent:
                    self.state.delete(_MARK)
                # Otherwise the mark stays: the lock may be taken after its answer was given up.
                raise
            held = Frozen()
            watchdog = threading.Timer(self.limit.total_seconds(), self._bark, (server, held))
            watchdog.daemon = True
            watchdog.start()
            try:
                yield held
            finally:
                watchdog.cancel()
                self._thaw(server)

    def thaw_forgotten(self) -> str:
        """Unlock what somebody who died left locked; what was done, or nothing.

        Raises `Unavailable` if MongoDB cannot be asked: then it is tried again at the next tick.
        """
        try:
            mark, _ = self.state.read(_MARK)
        except NotFound:
            return ""
        try:
            with self.state.lease("locks/freeze", duration=_LEASE):
                self._thaw(self.connect())
        except Locked:
            return ""  # it is held by somebody alive
        log.warning("freeze.forgotten", extra={"mark": mark.decode("utf-8", "replace")[:100]})
        return "unlocked MongoDB, which a run that died had left locked"

    def _bark(self, server: Freezable, held: Frozen) -> None:
        held.lose()
        log.error("freeze.watchdog", extra={"seconds": self.limit.total_seconds()})
        try:
            server.unlock()
        except GroundcrewError as error:
            log.error("freeze.watchdog_failed", extra={"error": str(error)})  # noqa: TRY400

    def _thaw(self, server: Freezable) -> None:
        """Unlock until the server says that it is unlocked, then remove the mark."""
        failure: GroundcrewError | None = None
        for _ in range(_TRIES):
            try:
                if not server.is_locked():
                    self.state.delete(_MARK)
                    return
                server.unlock()
            except GroundcrewError as error:
                failure = error
        raise Unavailable("MongoDB could not be unlocked", hint="Run db.fsyncUnlock() on it.") from failure
