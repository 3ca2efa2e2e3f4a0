"""The copy: every collection of the source as it is read, and compared with what was read.

As a dump does it: the oplog's position first, then the catalogue, then the documents; what changes meanwhile
is in the oplog, and the replay brings all collections to one point in time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event, Lock
from typing import NamedTuple

from shared.formats.documents import TalliedBatch, Tally, split_documents
from shared.kernel.errors import Inconsistent, Refused
from shared.migrate.deps import MigrationDeps
from shared.migrate.observe import is_own, select_moved
from shared.migrate.records import MigrationJournal
from shared.mongodb.model import IdRange, Namespace, Timestamp
from shared.restore.duplicates import CappedTail, RefusedDuplicates
from shared.restore.parallel import BatchWorkers, run_parallel
from shared.restore.read_back import read_back

log = logging.getLogger(__name__)

_WHOLE = IdRange()


class _Batch(NamedTuple):
    """A batch on its way to the target, and the account that it is entered in."""

    account: _Account
    batch: TalliedBatch


@dataclass
class _Account:
    """One collection: what was read of it, and what the target refused."""

    namespace: Namespace
    read: Tally
    duplicates: RefusedDuplicates
    refusals: list[str]
    tail: CappedTail | None


class DatabaseCopy:
    """One run of the copy; the journal says what an earlier one has completed."""

    def __init__(self, deps: MigrationDeps, journal: MigrationJournal) -> None:
        self._deps, self._journal = deps, journal
        self._stop, self._lock = Event(), Lock()

    def begin(self) -> None:
        """Note the oplog's position, before the catalogue is read. Raises Refused if an earlier is lost."""
        source, record = self._deps.source, self._journal.record
        oldest, newest = source.read_oplog_window()
        if record.start:
            # Seen at once and not after hours of copying, when the replay finds the gap.
            if oldest > Timestamp.parse(record.start):
                raise lost_oplog(f"it begins at {oldest}, the copy began at {record.start}")
            return
        # The newest entry first: a transaction that begins after it is in the window as a whole, and one from
        # before is still open then.
        start = min(filter(None, (newest, source.find_oldest_open_transaction())))
        self._journal.save(start=str(start))

    def run(self) -> None:
        """Copy what is not complete, several collections at once, then make the views.

        Raises Refused if the target is not what was written to it, Unavailable.
        """
        deps, record = self._deps, self._journal.record
        listed = select_moved(deps.source.list_namespaces(), record.databases)
        there = {n.name: n for n in deps.target.list_namespaces()}
        collections = [n for n in listed if n.kind != "view" and n.name not in record.copied]
        deps.reporter.phase("Copying documents", sum(n.data_bytes for n in collections))
        for namespace in collections:
            self._recreate(namespace, there)
        # The largest first, so that no single one is left at the end while the other connections idle.
        collections.sort(key=lambda n: -n.data_bytes)
        with BatchWorkers(self._insert_batch, deps.jobs, self._stop) as workers:
            run_parallel(lambda n: self._copy_collection(n, workers), collections, deps.jobs, self._stop)
        for view in (n for n in listed if n.kind == "view"):
            if view.name not in self._journal.record.created:
                self._recreate(view, there)
        # What is written from here on was not read by the copy.
        until = deps.source.read_oplog_end().majority
        self._journal.save(copied_until=str(until))
        log.info("migrate.copy_finished", extra={"migration": record.id, "until": str(until)})

    def _recreate(self, namespace: Namespace, there: Mapping[str, Namespace]) -> None:
        """Make it anew: what a killed run has left of it is nobody's, and is dropped by its uuid."""
        deps, created = self._deps, self._journal.record.created
        self._journal.check()
        left_over = there.get(namespace.name)
        if left_over is not None:
            if not is_own(left_over, created):
                hint = f"Drop it at the target and run again: {namespace.name}"
                raise Refused(f"{namespace.name} is at the target, and not by this migration", hint=hint)
            deps.target.drop_collection(left_over)
        made = Namespace(namespace.db, namespace.collection, namespace.kind, options=namespace.options)
        # Noted before it is made, too: killed in between, the next run knows whose it is.
        self._journal.save(created={**created, namespace.name: ""})
        uuid = deps.target.create_collection(made)
        self._journal.save(created={**created, namespace.name: uuid})

    def _copy_collection(self, namespace: Namespace, workers: BatchWorkers[_Batch]) -> None:
        tail = CappedTail(namespace.options) if namespace.options.get("capped") else None
        account = _Account(namespace, Tally(), RefusedDuplicates(), [], tail)
        pending: deque[Future[None]] = deque()
        try:
            for batch in self._deps.source.read_batches(namespace, _WHOLE):
                if self._stop.is_set():
                    break  # something failed: if a batch of this one did, its error is raised below
                if tail is not None:
                    self._insert_batch(_Batch(account, batch))  # its order is part of what it holds
                else:
                    workers.run(_Batch(account, batch), pending)
        except Inconsistent:
            # Dropped or made anew since the catalogue was read: the oplog says what became of it.
            log.info("migrate.collection_dropped", extra={"namespace": namespace.name})
        workers.finish(pending)
        if not self._stop.is_set():
            self._verify_collection(account)

    def _insert_batch(self, work: _Batch) -> None:
        namespace, documents = work.account.namespace, list(split_documents(work.batch.documents))
        target = self._deps.target
        # Buckets as they are: inserted one by one, measurements would be grouped anew, and compare as others.
        insert = target.insert_buckets if namespace.kind == "timeseries" else target.insert_documents
        answer = insert(namespace.db, namespace.collection, documents)
        # The insert above runs in parallel; only the account is shared.
        with self._lock:
            work.account.read += work.batch.tally
            for index in answer.duplicates:
                work.account.duplicates.add(documents[index])
            # One is enough to refuse the collection; a full disk would list every document.
            work.account.refusals += answer.failures[:1]
            if work.account.tail is not None:
                work.account.tail.add_batch(work.batch.documents)
            self._deps.reporter.advance(work.batch.tally.data_bytes)

    def _verify_collection(self, account: _Account) -> None:
        """Read the target's documents back, and compare number, bytes and hashes. Raises Refused."""
        name = account.namespace.name
        differences = account.refusals[:1] or self._compare(account)
        if differences:
            log.error("migrate.copy_differs", extra={"namespace": name, "difference": differences[0]})
            hint = "Does anything else write to the target? Run `groundcrew migrate abort`, then begin anew."
            raise Refused(f"the copy of {name} is not what was read", value=differences[0], hint=hint)
        with self._lock:
            self._journal.save(copied=(*self._journal.record.copied, name))

    def _compare(self, account: _Account) -> Sequence[str]:
        there = Namespace(account.namespace.db, account.namespace.collection, account.namespace.kind)
        tail = account.tail
        # Read from the server and not counted while writing: an insert that was acknowledged and lost is
        # seen.
        stored, order = read_back(self._deps.target, _Silent(), there, ordered=tail is not None)
        # A scan meets a document twice that was deleted and inserted anew meanwhile. The target took one of
        # the two, and the oplog's entries put the right one in place.
        if stored + account.duplicates.tally == account.read:
            return ()
        # A capped collection drops its oldest while it is filled: what is there must be the newest.
        if tail is not None:
            return tail.compare(order)
        return [f"{stored.documents} documents of {account.read.documents}, or other content"]


def drop_copy(deps: MigrationDeps, journal: MigrationJournal) -> int:
    """Drop what the migration has made at the target; how many collections and views that were.

    By its uuid, and where the target itself has the marker of this migration all of the databases in it: they
    were empty before. Whoever can write the journal cannot write there, and so cannot have us drop anything.
    """
    record, dropped = journal.record, 0
    marker = deps.target_control.read_marker()
    own_databases = marker.databases if marker.migration == record.id else ()
    for namespace in select_moved(deps.target.list_namespaces(), record.databases):
        if namespace.db in own_databases or is_own(namespace, record.created):
            journal.check()
            deps.target.drop_collection(namespace)
            dropped += 1
        else:
            deps.reporter.note(f"left at the target, since nothing shows whose it is: {namespace.name}")
    return dropped


class _Silent:
    """Reading back is no step of its own: the bar counts what is copied."""

    def phase(self, name: str, total: int) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def lost_oplog(value: str) -> Refused:
    """The error for an oplog that has dropped what was not followed yet: only a new copy helps."""
    return Refused(
        "the source's oplog was dropped before it was followed",
        value=value,
        hint="Enlarge it (replSetResizeOplog), then begin anew with --restart: the copy is made again.",
    )
