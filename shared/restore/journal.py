"""What a restore remembers, so that it can be resumed when it breaks off: beside who runs it.

Nothing is written into the target for this. A collection that the journal names by its uuid was created by
the restore, and by nobody else: it may be dropped and restored again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, Unavailable
from shared.mongodb.model import Namespace

log = logging.getLogger(__name__)


class JournalStore(Protocol):
    """Where journals are kept, by key."""

    def read(self, key: str) -> bytes | None:
        """None if there is none."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Replace it as a whole."""
        ...

    def remove(self, key: str) -> None:
        """Removing one that does not exist is fine."""
        ...


@dataclass(frozen=True)
class Journal:
    """One restore of one set into one target."""

    set: str  # the set's folder
    manifest_sha256: str  # of the manifest as it was read: a set that changed meanwhile is not resumed
    existing: tuple[str, ...] = ()  # what the target held before the first run, by name
    # The uuid of each collection that the restore created, by name; empty for views.
    created: dict[str, str] = field(default_factory=dict)
    replaying: bool = False  # from then on the documents are no longer those of the manifest

    def owns(self, namespace: Namespace) -> bool:
        """Whether this collection of the target is the restore's own."""
        return self.created.get(namespace.name) == namespace.uuid

    def is_foreign(self, namespace: Namespace, databases: Collection[str]) -> bool:
        """Whether somebody else's: what the replay has created belongs to the restore too."""
        if self.owns(namespace):
            return False
        # What the replay creates is not journalled: within the set's databases it counts as ours.
        return namespace.name in self.existing or not (self.replaying and namespace.db in databases)


def journal_key(folder: str, hosts: Sequence[str]) -> str:
    """One journal for each set and target."""
    # By hosts, not by URI: a password may change between two runs. Sorted: a replica set lists them in any
    # order.
    return hashlib.sha256("\n".join([folder, *sorted(hosts)]).encode()).hexdigest()[:24]


class JournalWriter:
    """Keeps the journal of the running restore. Without a store it remembers nothing.

    One that cannot be written is told once and ends no restore: on a machine with a full disk the data matter
    more than whether they could be resumed. What was written before stays, and is no more than too little.
    """

    def __init__(self, store: JournalStore | None, key: str, journal: Journal) -> None:
        self._store, self._key, self.journal = store, key, journal

    def save(self) -> None:
        """Write it down as it is."""
        if self._store is None:
            return
        try:
            self._store.write(self._key, encode_json(self.journal))
        except Unavailable as error:
            facts = {"set": self.journal.set, "error": str(error)}
            log.warning("restore.not_resumable", extra=facts)
            # Once: a full disk stays full, and the same warning for each collection would hide the restore's
            # own.
            self._store = None

    def add_created(self, name: str, uuid: str) -> None:
        """A collection or view was created."""
        self.journal = replace(self.journal, created={**self.journal.created, name: uuid})
        self.save()

    def begin_replay(self) -> None:
        """From here on the documents change."""
        self.journal = replace(self.journal, replaying=True)
        self.save()

    def close(self) -> None:
        """The restore is complete."""
        if self._store is None:
            return
        try:
            self._store.remove(self._key)
        except Unavailable as error:
            log.warning("restore.journal_left", extra={"set": self.journal.set, "error": str(error)})


def read_journal(store: JournalStore | None, key: str) -> Journal | None:
    """The journal of an earlier run; None if there is none, or none that can be read. Raises Corrupt."""
    try:
        data = store.read(key) if store is not None else None
    except Unavailable as error:  # as for one that cannot be written
        log.warning("restore.journal_unreadable", extra={"journal": key, "error": str(error)})
        return None
    if data is None:
        return None
    fields = decode_json(data, "the journal of the restore")
    try:
        created = {str(name): str(uuid) for name, uuid in fields["created"].items()}
        existing = tuple(map(str, fields["existing"]))
        sha256 = str(fields["manifest_sha256"])
        return Journal(str(fields["set"]), sha256, existing, created, fields["replaying"] is True)
    except (KeyError, TypeError, AttributeError) as error:
        raise Corrupt("the journal of the restore is malformed", value=error) from error
