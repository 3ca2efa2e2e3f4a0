"""Holding MongoDB's writes back while its disks are copied, and releasing that lock whatever happens.

Three things see to that: the end of the context, a watchdog in this process, and a record in the state that
the next tick finds if this process died. The record is written before the lock is taken and removed once the
lock is known to be gone: released, or its server with it, since no lock outlives the process that holds it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
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
# Attempts before people are told, and the pauses in seconds between the first ones; the last one repeats.
_ATTEMPTS_BEFORE_ALARM = 3
_PAUSES = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
_HINT = "Run db.fsyncUnlock() on it; every tick tries again."

IsOff = Callable[[str], bool]
OnUnlockFailed = Callable[[GroundcrewError], None]


class FreezeLock:
    """One lock of ours on a server. It is released once, by whoever comes first, and no other lock is."""

    def __init__(self, server: Freezable) -> None:
        self._server = server
        self._guard = threading.Lock()
        self._lost = threading.Event()
        self._attempted = False
        self.released = False

    @property
    def lost(self) -> bool:
        """Whether it ended before its work did: what was copied since may not be of one point in time."""
        return self._lost.is_set()

    def mark_lost(self) -> None:
        """Something ended it early."""
        self._lost.set()

    def release(self) -> None:
        """Take our lock back. Raises what the server raises; then it is not known to be released."""
        with self._guard:
            if self.released:
                return
            # An attempt whose answer was lost may have released it, so a lock is looked for before another.
            # What is found then could be somebody else's of the last seconds; that MongoDB stays locked by
            # us, and nobody can write, would be worse.
            if self._attempted and not self._server.is_locked():
                self.released = True
                return
            self._attempted = True
            if not self._server.unlock():
                self.mark_lost()  # it was gone already: somebody else's fsyncUnlock, or a restart
            self.released = True


@dataclass(frozen=True)
class Freezer:
    """Locks and unlocks. `limit` is how long writes are held back at most."""

    connect: Callable[[], Freezable]
    state: Blobs
    clock: Clock
    limit: timedelta = timedelta(seconds=90)
    unlock_for: timedelta = timedelta(minutes=5)  # how long one run goes on trying to unlock
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def freeze(
        self,
        machine: str = "",
        *,
        is_off: IsOff = lambda _machine: False,
        on_unlock_failed: OnUnlockFailed = lambda _error: None,
    ) -> Iterator[FreezeLock]:
        """MongoDB locked. Raises `Locked` if anybody's lock is held already, `Refused`, `Unavailable`.

        `machine` is where the server runs, `is_off` whether that machine is off; `on_unlock_failed` is called
        once if the lock cannot be released, while that is still being tried.
        """
        with self.state.lease("locks/freeze", duration=_LEASE):
            server = self.connect()
            # The server counts locks: unlocking once would take away somebody else's, and leave ours.
            if server.is_locked():
                raise Locked("MongoDB is locked by somebody else", hint="db.fsyncUnlock() ends that.")
            # Before the lock: a process that dies right after it leaves something to be found.
            record = {"at": self.clock.now().isoformat(), "machine": machine}
            self.state.replace(_LOCK_RECORD, json.dumps(record).encode(), etag=None)
            lock = FreezeLock(server)
            self._lock_server(server, lock, machine, is_off, on_unlock_failed)
            watchdog = threading.Timer(
                self.limit.total_seconds(),
                self._on_watchdog_timeout,
                (lock, machine, is_off, on_unlock_failed),
            )
            # It must not keep a process alive whose work has ended.
            watchdog.daemon = True
            watchdog.start()
            try:
                yield lock
            finally:
                watchdog.cancel()
                self._release(lock, machine, is_off, on_unlock_failed)

    def _lock_server(
        self,
        server: Freezable,
        lock: FreezeLock,
        machine: str,
        is_off: IsOff,
        on_unlock_failed: OnUnlockFailed,
    ) -> None:
        try:
            server.lock()
        except GroundcrewError as error:
            if error.permanent:
                self.state.delete(_LOCK_RECORD)
            elif server.is_locked():  # it was not a moment ago: the answer was lost, the lock is ours
                self._release(lock, machine, is_off, on_unlock_failed)
            # Otherwise the record stays: the lock may be taken after its answer was given up.
            raise

    def unlock_stale(
        self, is_off: IsOff = lambda _machine: False, on_unlock_failed: OnUnlockFailed = lambda _error: None
    ) -> str:
        """Release what a process that died left locked; what was done, or nothing.

        The server is asked, not the record. Raises `Unavailable` if it cannot be asked although its machine
        is not off: then it is tried again at the next tick.
        """
        try:
            data, _ = self.state.read(_LOCK_RECORD)
        except NotFound:
            return ""
        machine = _parse_machine(data)
        try:
            with self.state.lease("locks/freeze", duration=_LEASE):
                return self._unlock_stale(machine, is_off, on_unlock_failed)
        except Locked:
            return ""  # its owner is alive

    def _unlock_stale(self, machine: str, is_off: IsOff, on_unlock_failed: OnUnlockFailed) -> str:
        try:
            server = self.connect()
            locked = server.is_locked()
        except GroundcrewError as error:
            if not is_off(machine):
                raise Unavailable(
                    "MongoDB does not answer and may still be locked", value=error.message, hint=_HINT
                ) from error
            self.state.delete(_LOCK_RECORD)
            log.info("freeze.stale_record_removed", extra={"machine": machine, "reason": "machine is off"})
            return "removed a lock record: its machine is off, and no lock outlives that"
        if not locked:
            self.state.delete(_LOCK_RECORD)
            log.info("freeze.unlocked_record_removed", extra={"machine": machine, "reason": "not locked"})
            return ""
        self._release(FreezeLock(server), machine, is_off, on_unlock_failed)
        log.warning("freeze.stale_lock_released", extra={"machine": machine})
        return "unlocked MongoDB, which a run that died had left locked"

    def _on_watchdog_timeout(
        self, lock: FreezeLock, machine: str, is_off: IsOff, on_unlock_failed: OnUnlockFailed
    ) -> None:
        lock.mark_lost()
        log.error(
            "freeze.watchdog_timeout", extra={"machine": machine, "seconds": self.limit.total_seconds()}
        )
        try:
            self._release(lock, machine, is_off, on_unlock_failed, retain_record=True)
        except GroundcrewError as error:
            facts = {"machine": machine, "error": str(error)}
            log.error("freeze.watchdog_unlock_failed", extra=facts)  # noqa: TRY400

    def _release(
        self,
        lock: FreezeLock,
        machine: str,
        is_off: IsOff,
        on_unlock_failed: OnUnlockFailed,
        *,
        retain_record: bool = False,
    ) -> None:
        """Release the lock, trying for `unlock_for`. Raises `Unavailable` after that; the record stays."""
        waited, attempt = 0.0, 0
        while True:
            try:
                lock.release()
                break
            except GroundcrewError as error:
                failure = error
            if is_off(machine):
                lock.mark_lost()
                break
            attempt += 1
            if attempt == _ATTEMPTS_BEFORE_ALARM:
                log.error("freeze.unlock_failed", extra={"machine": machine, "error": str(failure)})
                on_unlock_failed(failure)
            pause = _PAUSES[min(attempt - 1, len(_PAUSES) - 1)]
            if waited + pause > self.unlock_for.total_seconds():
                raise Unavailable(
                    "MongoDB could not be unlocked", value=failure.message, hint=_HINT
                ) from failure
            self.sleep(pause)
            waited += pause
        if not retain_record:
            self.state.delete(_LOCK_RECORD)


def _parse_machine(record: bytes) -> str:
    """The machine's id; empty for a record that has none, as before version 0.2, or cannot be read."""
    try:
        return str(json.loads(record).get("machine", ""))
    except (ValueError, AttributeError):
        return ""
