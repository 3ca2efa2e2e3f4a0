"""The target's indexes, kept as the source's are: all but the expiry, which waits for the cut-over."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from shared.migrate.deps import MigrationDeps
from shared.migrate.model import PAUSED_EXPIRY
from shared.migrate.observe import select_moved
from shared.migrate.records import MigrationJournal
from shared.mongodb.model import Namespace
from shared.restore.compare import compare_indexes, compare_options
from shared.restore.parallel import run_parallel

log = logging.getLogger(__name__)

_EXPIRY = "expireAfterSeconds"
Index = Mapping[str, object]


class IndexKeeper:
    """Builds, drops and compares. What is right already is left alone: it may be called at any time."""

    def __init__(self, deps: MigrationDeps, journal: MigrationJournal) -> None:
        self._deps, self._journal = deps, journal

    def build(self) -> None:
        """Build what is missing, several collections at once, and drop what the source has no more."""
        pairs = [pair for pair in self._pair_collections() if pair[0].kind != "view"]
        self._deps.reporter.phase("Building indexes", len(pairs))
        # The server builds each by one scan; several at once use the disk that one leaves idle.
        run_parallel(self._build_collection, pairs, self._deps.jobs, Event())

    def drop_unique(self) -> None:
        """Drop the unique ones: a piece of the oplog that is replayed again passes through states of before,
        in which two documents may have what only one of them has in the end."""
        for _, there in self._pair_collections():
            for index in there.indexes:
                # The server refuses to drop that of `_id`, and no state of before has two documents with one.
                if index.get("unique") and index["name"] != "_id_":
                    self._drop(there, str(index["name"]))

    def restore_expiry(self, listed: PairedCatalogues) -> bool:
        """From now on the target expires documents as the source does; whether anything had to be changed.

        Costs no time: nothing is built.
        """
        changed = False
        for here, there in listed.pairs:
            actual = {str(index["name"]): index for index in there.indexes}
            for index in here.indexes:
                seconds, name = index.get(_EXPIRY), str(index["name"])
                if actual.get(name, {}).get(_EXPIRY) != PAUSED_EXPIRY or not isinstance(seconds, int | float):
                    continue
                if not math.isnan(seconds):  # it never expires anything, as the paused one does not
                    self._deps.target_control.set_expiry(there.db, there.collection, name, int(seconds))
                    changed = True
        return changed

    def find_differences(self, listed: PairedCatalogues) -> list[str]:
        """Options and indexes that differ once documents expire, each with its namespace."""
        differences: list[str] = []
        for here, there in listed.pairs:
            found = compare_options(here.options, there.options)
            found += compare_indexes(here.indexes, there.indexes, ())
            differences += [f"{here.name}: {text}" for text in found]
        return differences

    def _pair_collections(self) -> Iterator[tuple[Namespace, Namespace]]:
        return list_catalogues(self._deps, self._journal.record.databases).pairs

    def _build_collection(self, pair: tuple[Namespace, Namespace]) -> None:
        here, there = pair
        expected = list(map(pause_expiry, here.indexes))
        # Dropped before anything is built: a name can stand for one definition only.
        missing, surplus = plan_indexes(expected, self._pause(there, expected))
        for name in surplus:
            self._drop(there, name)
        if missing:
            self._journal.check()
            for refusal in self._deps.target.create_indexes(there.db, there.collection, missing):
                # Not the end: the documents may still be those of before. What stays missing is a difference.
                log.warning("migrate.index_refused", extra={"namespace": here.name, "refusal": refusal})
        self._deps.reporter.advance(1)

    def _pause(self, there: Namespace, expected: list[Index]) -> tuple[Index, ...]:
        """After a cut-over that was taken back documents expire there: stopped without building anything."""
        paused = {str(index["name"]) for index in expected if _EXPIRY in index}
        changed = []
        for index in there.indexes:
            name = str(index["name"])
            if name in paused and index.get(_EXPIRY, PAUSED_EXPIRY) != PAUSED_EXPIRY:
                self._deps.target_control.set_expiry(there.db, there.collection, name, PAUSED_EXPIRY)
                changed.append(pause_expiry(index))
            else:
                changed.append(index)
        return tuple(changed)

    def _drop(self, namespace: Namespace, name: str) -> None:
        self._journal.check()
        self._deps.target_control.drop_index(namespace.db, namespace.collection, name)


@dataclass(frozen=True)
class PairedCatalogues:
    """What both servers list of what is moved. Listing costs several questions for each collection."""

    source: Sequence[Namespace]
    target: Sequence[Namespace]

    @property
    def pairs(self) -> Iterator[tuple[Namespace, Namespace]]:
        """Those of both servers. What one of them lacks is found where documents are counted."""
        there = {n.name: n for n in self.target}
        return ((here, there[here.name]) for here in self.source if here.name in there)


def list_catalogues(
    deps: MigrationDeps, databases: tuple[str, ...], source: Sequence[Namespace] | None = None
) -> PairedCatalogues:
    """Both catalogues as they are now; `source` if that is known already."""
    here = select_moved(deps.source.list_namespaces(), databases) if source is None else source
    return PairedCatalogues(here, select_moved(deps.target.list_namespaces(), databases))


def pause_expiry(index: Index) -> Index:
    """The index as it stands at the target before the cut-over."""
    return {**index, _EXPIRY: PAUSED_EXPIRY} if _EXPIRY in index else index


def plan_indexes(expected: list[Index], actual: tuple[Index, ...]) -> tuple[list[Index], list[str]]:
    """What to build, and the names of what to drop before: surplus, or built otherwise."""
    there = {str(index["name"]): index for index in actual}
    named = {str(index["name"]) for index in expected}
    differing = [
        index
        for index in expected
        if index["name"] != "_id_"
        and not index.get("clustered")
        and (str(index["name"]) not in there or compare_indexes([index], [there[str(index["name"])]], ()))
    ]
    surplus = [name for name, index in there.items() if name not in named and not _is_builtin(index)]
    return differing, [*surplus, *(str(one["name"]) for one in differing if str(one["name"]) in there)]


def _is_builtin(index: Index) -> bool:
    return index["name"] == "_id_" or bool(index.get("clustered"))
