"""The comparison of the two servers: what was changed since it was last compared, by its `_id`.

What nobody has touched since the copy was compared then, by number, bytes and hashes. So this one is as large
as the changes are, and not as the database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice

from shared.formats.documents import Tally
from shared.formats.elements import find_element, join_elements
from shared.kernel.errors import Inconsistent
from shared.migrate.deps import MigrationDeps
from shared.migrate.follow import OplogFollower
from shared.migrate.indexes import PairedCatalogues
from shared.migrate.model import MARKER_DATABASE
from shared.migrate.records import MigrationJournal
from shared.migrate.touched import TouchedDocuments
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.ports import SourceDatabase, TargetDatabase

log = logging.getLogger(__name__)

# Documents in one question. Chunks of files have a quarter of a megabyte, and both servers' are held at once.
_AT_ONCE = 200
_LISTED = 20


class ServerComparison:
    """Compares, and notes in the journal what was found."""

    def __init__(
        self,
        deps: MigrationDeps,
        journal: MigrationJournal,
        follower: OplogFollower,
        touched: TouchedDocuments,
    ) -> None:
        self._deps, self._journal = deps, journal
        self._follower, self._touched = follower, touched

    def compare_living(self) -> int:
        """While people write: what differs must have been changed again since it was read.

        Returns how many documents were compared; the journal has the differences.
        """
        # Taken before anything is read: what changes during the comparison belongs to the next one.
        since, taken = self._follower.comparable_from, self._touched.take()
        unequal = self._find_unequal(taken)
        # The source was read first: what it had then is at the target after this, or in what was touched.
        self._follower.advance()
        # What people changed in between differs for a good reason, and is compared again the next time.
        real = list(_describe_untouched(unequal, self._touched))
        self._touched.merge(unequal)
        found = [*real, *self._find_outside()]
        # With a difference the position stays: a run that resumes compares the same again.
        self._save(found, compared_from=since if not found else self._journal.record.compared_from)
        return taken.count

    def compare_final(self, listed: PairedCatalogues) -> int:
        """While nobody writes: what was changed, and the number of documents of all."""
        taken = self._touched.take()
        unequal = self._find_unequal(taken)
        found = [
            *_describe_untouched(unequal, TouchedDocuments()),
            *self._find_outside(),
            *self._compare_counts(listed),
        ]
        self._touched.merge(unequal)
        self._save(found)
        return taken.count

    def _save(self, found: list[str], **changes: str) -> None:
        if found:
            facts = {"migration": self._journal.record.id, "differences": len(found), "first": found[0]}
            # One event however many differ; the journal lists more of them.
            log.error("migrate.servers_differ", extra=facts)
        self._journal.save(differences=tuple(found[:_LISTED]), **changes)

    def _find_outside(self) -> Iterator[str]:
        for db in self._journal.record.outside:
            yield f"{db}: this database came to be after the plan, and is not moved"

    def _find_unequal(self, taken: TouchedDocuments) -> TouchedDocuments:
        unequal = TouchedDocuments()
        self._deps.reporter.phase("Comparing what has changed", taken.count)
        for name, ids in sorted(taken.ids.items()):
            db, _, collection = name.partition(".")
            remaining = iter(ids)
            while chunk := list(islice(remaining, _AT_ONCE)):
                # The source first, in this order only: the target is never ahead of it.
                here = _by_id(self._deps.source_control.find_documents(db, collection, chunk))
                there = _by_id(self._deps.target_control.find_documents(db, collection, chunk))
                if differing := {key for key in {*here, *there} if here.get(key) != there.get(key)}:
                    unequal.ids.setdefault(name, set()).update(differing)
                self._deps.reporter.advance(len(chunk))
        unequal.whole |= {name for name in taken.whole if not self._is_whole_equal(name)}
        return unequal

    def _is_whole_equal(self, name: str) -> bool:
        return _tally(self._deps.source, name) == _tally(self._deps.target, name)

    def _compare_counts(self, listed: PairedCatalogues) -> Iterator[str]:
        """By the catalogues' own counts; where those differ, by counting: after a crash they may be off."""
        here, there = ({n.name: n for n in side} for side in (listed.source, listed.target))
        for name in sorted(here.keys() | there.keys()):
            if name not in there:
                yield f"{name} is not at the target"
            elif name not in here:
                yield f"{name} is at the target only"
            elif here[name].documents != there[name].documents and not self._is_whole_equal(name):
                yield f"{name}: {there[name].documents} documents instead of {here[name].documents}"


def _tally(server: SourceDatabase | TargetDatabase, name: str) -> Tally:
    """All documents of a namespace; of one that is not there none."""
    namespace = next((n for n in server.list_namespaces() if n.name == name), None)
    # A view holds no documents of its own; its definition is compared with the options.
    if namespace is None or namespace.kind == "view":
        return Tally()
    whole = Namespace(namespace.db, namespace.collection, namespace.kind)
    try:
        return sum((batch.tally for batch in server.read_batches(whole, IdRange())), start=Tally())
    except Inconsistent:  # dropped while it was read
        return Tally()


def _by_id(documents: list[bytes]) -> Mapping[bytes, bytes]:
    return {
        join_elements([identity]): document
        for document in documents
        if (identity := find_element(document, b"_id")) is not None
    }


def _describe_untouched(unequal: TouchedDocuments, touched: TouchedDocuments) -> Iterator[str]:
    """What differs although nobody has changed it since: without the documents' content."""
    for name, ids in sorted(unequal.ids.items()):
        # Our own marker moves with each measurement of the lag.
        if name.startswith(f"{MARKER_DATABASE}.") or name in touched.whole:
            continue
        if real := ids - touched.ids.get(name, set()):
            yield f"{name}: {len(real)} documents differ"
    for name in sorted(unequal.whole):
        if name not in touched.whole and not touched.ids.get(name):
            yield f"{name}: the collections differ"
