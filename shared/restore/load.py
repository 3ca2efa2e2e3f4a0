"""The part of a restore that writes documents: each part's archive into the target's collections."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from functools import partial
from threading import Event, Lock

from shared.backup.archives import open_archive
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import DocumentBatch
from shared.formats.backupset import Manifest, StoredPart
from shared.formats.documents import split_documents
from shared.mongodb.metadata import parse_metadata
from shared.mongodb.model import InsertResult
from shared.restore.deps import RestoreDeps
from shared.restore.duplicates import CappedTail, RefusedDuplicates
from shared.restore.model import RestorePlan
from shared.restore.parallel import BatchWorkers, run_parallel

_REFUSALS_LISTED = 5  # of one namespace


class PartReader:
    """Reads a set's parts: stored bytes, decrypted, decompressed, as the events of an archive."""

    def __init__(self, deps: RestoreDeps, manifest: Manifest) -> None:
        self._deps, self._manifest = deps, manifest

    def read_batches(self, part: StoredPart) -> Iterator[DocumentBatch]:
        """The documents of one part, in order. Raises Corrupt at the latest at its end."""
        # Checked once more: they are downloaded a second time, and may have changed since the check.
        reader = open_archive(self._deps.backups, self._manifest, part, self._deps.identities)
        return (event for event in reader if isinstance(event, DocumentBatch))

    def read_oplog(self, part: StoredPart) -> Iterator[bytes]:
        """The oplog's entries, one by one."""
        for event in self.read_batches(part):
            if (event.db, event.collection) == OPLOG:
                yield from split_documents(event.batch)


class DocumentLoader:
    """Inserts what was selected, and keeps account of what the target refused."""

    def __init__(self, deps: RestoreDeps, plan: RestorePlan, reader: PartReader) -> None:
        self._target, self._reporter, self._jobs = deps.target, deps.reporter, deps.jobs
        self._lock, self._stop = Lock(), Event()
        self._plan, self._reader = plan, reader
        self.refusals: dict[str, list[str]] = {}
        self.duplicates: dict[str, RefusedDuplicates] = {}
        self.capped: dict[str, CappedTail] = {}
        self._time_series = {entry.name for entry in plan.collections if entry.kind == "timeseries"}
        for entry in plan.collections:
            options, _ = parse_metadata(entry.metadata)
            if options.get("capped"):
                self.capped[entry.name] = CappedTail(options)

    def load_documents(self, complete: Collection[str]) -> None:
        """Insert all selected collections but the complete ones: some parts, and batches of a part, at once.

        Raises Corrupt, Unavailable.
        """
        entries = [entry for entry in self._plan.collections if entry.name not in complete]
        names = {entry.name for entry in entries}
        self._reporter.phase("Restoring documents", sum(entry.data_bytes for entry in entries))
        # A part of which nothing is wanted is not even downloaded.
        parts = [part for part in self._plan.parts if not names.isdisjoint(part.namespaces)]
        with BatchWorkers(self._insert_batch, self._jobs, self._stop) as workers:
            run_parallel(partial(self._load_part, names, workers), parts, self._jobs, self._stop)

    def _load_part(
        self, names: Collection[str], workers: BatchWorkers[DocumentBatch], part: StoredPart
    ) -> None:
        pending: deque[Future[None]] = deque()
        for event in self._reader.read_batches(part):
            if self._stop.is_set():
                break  # something failed: if a batch of this part did, its error is raised below
            name = f"{event.db}.{event.collection}"
            if name in names and name in self.capped:
                self._insert_batch(event)  # one after the other: its order is part of what is compared
            elif name in names:
                workers.run(event, pending)
        workers.finish(pending)

    def _insert_batch(self, event: DocumentBatch) -> None:
        name = f"{event.db}.{event.collection}"
        documents = list(split_documents(event.batch))
        buckets = name in self._time_series
        insert = self._target.insert_buckets if buckets else self._target.insert_documents
        answer = insert(event.db, event.collection, documents)
        # The insert above runs in parallel; only the account is shared.
        with self._lock:
            self._account(name, event, documents, answer)

    def _account(self, name: str, event: DocumentBatch, documents: list[bytes], answer: InsertResult) -> None:
        for index in answer.duplicates:
            self.duplicates.setdefault(name, RefusedDuplicates()).add(documents[index])
        # Five of them show what is wrong; a target that refuses everything would fill the memory with
        # messages.
        if answer.failures:
            listed = self.refusals.setdefault(name, [])
            listed += [f"not inserted: {f}" for f in answer.failures[: _REFUSALS_LISTED - len(listed)]]
        # From the backup's bytes, not from what the target took: a capped target drops the oldest.
        if name in self.capped:
            self.capped[name].add_batch(event.batch)
        self._reporter.advance(len(event.batch))
