"""Asking for a rehearsal, and what a deploy sees of those that were: `Rehearsals` over the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.deploy.gates.rehearsal import LOST_AFTER
from shared.formats.rehearsals import Rehearsal
from shared.kernel.ports import Clock, Queues
from shared.records.rehearsals import RehearsalStore
from shared.rehearsal.request import QUEUE, RehearsalRequest


@dataclass(frozen=True)
class QueuedRehearsals:
    """`find_newest` is the newest good backup, `class/id`, empty if there is none."""

    store: RehearsalStore
    queues: Queues
    clock: Clock
    find_newest: Callable[[], str]

    def find(self, sha: str) -> Rehearsal | None:
        """See `Rehearsals.find`."""
        return self.store.read(sha)

    def newest_set(self) -> str:
        """See `Rehearsals.newest_set`."""
        return self.find_newest()

    def begin(self, sha: str, pull: int, environment: str, *, by: str) -> None:
        """See `Rehearsals.begin`."""
        begin_rehearsal(self, sha, pull, environment, by=by)


def begin_rehearsal(
    rehearsals: QueuedRehearsals, sha: str, pull: int, environment: str, *, by: str
) -> Rehearsal:
    """Ask for a rehearsal; one that runs already is returned as it is."""
    known, now = rehearsals.store.read(sha), rehearsals.clock.now()
    if known is not None and not known.ended and now - known.updated <= LOST_AFTER:
        return known
    request = RehearsalRequest(sha, pull, environment, by, int(now.timestamp()))
    # The message first: a record without one would look as if somebody were at it.
    rehearsals.queues.send(QUEUE, request.to_message())
    return rehearsals.store.request(sha, pull, environment, by=by)
