"""The journal of a migration, as one blob in the app's own storage: what a killed run is resumed by.

No address and no password: a server is known by its members' names, and the URIs are given with each command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs, Lease
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.migrate.model import Phase

CURRENT = "migrations/current.json"
LEASE = "locks/migration"


@dataclass(frozen=True, slots=True)
class MigrationRecord:
    """One migration.

    - `id`: when it began, `20261123T010000Z`; it names the marker.
    - `source`, `target`: the members' `host:port`.
    - `databases`: what is moved.
    - `start`: the oplog's position before the catalogue was read; `copied_until` that after the last
      document.
    - `created`: the uuid of each collection made at the target, by name; empty for views.
    - `copied`: the collections that are complete, and equal to what was read.
    - `position`, `position_hash`: what of the oplog is replayed, and a hash of the entries there.
    - `open_since`: where the oldest transaction began that is not over at `position`; empty if none.
    - `restarting`: whether what was copied is being dropped, to be copied again.
    - `applying`: how far the replay may have come that was under way; empty if none was.
    - `indexed`: whether the indexes stand at the target.
    - `compared_from`: changes after this position have not been compared yet.
    - `outside`: databases of the source that came to be afterwards, and are not moved.
    - `differences`: what the last comparison found; nothing is cut over while there are any.
    - `marker`: the number of the newest one; `lag_seconds` how long it took to the target.
    - `replicas`: what the chat's Deployments had before they were scaled to 0.
    - `secret`: the Secret that is switched, `NAMESPACE/NAME/KEY`; empty where a pull request does it.
    - `frozen`: whether deploys are frozen by this migration.
    - `blocked`: whether the source was made read-only by it.
    - `drained`: the oplog's position up to which everything was replayed when nobody could write any more.
    - `pause_began`, `pause_ended`: between them nobody could write.
    - `opened_at`: the target's own oplog position at the cut-over; what others write after it shuts the way
      back.
    - `first_write`: the namespace of the first of those; empty while there is none.
    - `approved_by`: who approved the cut-over as the second person.
    """

    id: str
    phase: Phase
    began: datetime
    by: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    databases: tuple[str, ...]
    uploads_copied: bool = False
    start: str = ""
    copied_until: str = ""
    created: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    position: str = ""
    position_hash: str = ""
    open_since: str = ""
    restarting: bool = False
    applying: str = ""
    indexed: bool = False
    compared_from: str = ""
    outside: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    marker: int = 0
    lag_seconds: float | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    secret: str = ""
    frozen: bool = False
    blocked: bool = False
    drained: str = ""
    pause_began: datetime | None = None
    pause_ended: datetime | None = None
    opened_at: str = ""
    first_write: str = ""
    approved_by: str = ""
    updated: datetime | None = None

    @property
    def writable(self) -> str:
        """Which of the two the chat may write to: `source` or `target`. Never both."""
        return "target" if self.phase.switched else "source"


# JSON has neither times nor tuples: what a run reads back must compare equal to what it wrote.
_TIMES = ("pause_began", "pause_ended", "updated")
_LISTS = ("source", "target", "databases", "copied", "outside", "differences")


def load_migration(state: Blobs) -> MigrationRecord | None:
    """The migration on record, ended or not; None if there never was one. Raises Corrupt."""
    try:
        data, _ = state.read(CURRENT)
    except NotFound:
        return None
    document = decode_json(data, CURRENT)
    try:
        return _parse_record(document)
    except (KeyError, ValueError, TypeError) as error:
        hint = "Look at the blob; abort by hand as the runbook says, and remove it."
        raise Corrupt(f"{CURRENT} is no record of a migration", value=error, hint=hint) from error


def _parse_record(document: Mapping[str, Any]) -> MigrationRecord:
    # What a newer version has noted beside this is left alone: it is not ours to understand.
    known: dict[str, Any] = {f.name: document[f.name] for f in fields(MigrationRecord) if f.name in document}
    known |= {name: parse_optional_timestamp(known.get(name)) for name in _TIMES}
    known |= {name: tuple(map(str, known[name])) for name in _LISTS if name in known}
    known |= {"phase": Phase(known["phase"]), "began": parse_timestamp(known["began"])}
    return MigrationRecord(**known)


class MigrationJournal:
    """Writes the record of the running migration, as long as this process holds the lease."""

    def __init__(self, state: Blobs, lease: Lease, record: MigrationRecord, now: Any) -> None:
        self._state, self._lease, self._now = state, lease, now
        self.record = record

    def save(self, **changes: Any) -> MigrationRecord:
        """Note what has changed. Raises Locked if another run has taken over: then nothing is written."""
        self._lease.check()
        self.record = replace(self.record, **changes, updated=self._now())
        self._state.replace(CURRENT, encode_json(self.record), etag=None)
        # Kept under its own name: the next migration writes over the current one.
        if self.record.phase.ended:
            self._state.replace(f"migrations/{self.record.id}.json", encode_json(self.record), etag=None)
        return self.record

    def check(self) -> None:
        """Raises Locked if another run has taken over: before each change of the world."""
        self._lease.check()
