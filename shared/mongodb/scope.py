"""Which entries of an oplog a replay applies, and which it leaves alone. Pure.

The oplog is the whole server's. A set holds a part of the server, and the target may hold databases of its
own: an entry about anything else must not reach it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from shared.formats.elements import STRING, Element, join_elements
from shared.kernel.errors import Corrupt
from shared.mongodb.model import IndexChange, ReplayResult
from shared.mongodb.oplog import Operation, extract_index_change, strip_index_changes

Rename = Callable[[Operation], Operation]  # what is written where it was not in the source


@dataclass(frozen=True, slots=True)
class ReplayScope:
    """The namespaces (`db.collection`) whose entries are replayed.

    `namespaces` were restored from the dump, `databases` are those in which collections that the oplog
    creates are replayed too. `excluded` never are, nor `existing`: what the target held before.
    """

    namespaces: frozenset[str] = frozenset()
    databases: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    existing: frozenset[str] = frozenset()

    def includes(self, name: str) -> bool:
        """Whether entries about this namespace are replayed."""
        if name in self.existing or name in self.excluded:
            return False
        return name in self.namespaces or name.partition(".")[0] in self.databases

    def includes_database(self, db: str) -> bool:
        """Whether the whole database may be dropped: nothing in it is anybody else's."""
        others = self.existing | self.excluded
        return db in self.databases and not any(name.startswith(f"{db}.") for name in others)


class OperationFilter:
    """Picks the operations of a scope, counts them, and collects the changes of indexes.

    Without a scope everything is replayed. Scope and changes speak of the source's names, what is selected of
    the new ones.
    """

    def __init__(self, scope: ReplayScope | None = None, rename: Rename | None = None) -> None:
        self._scope, self._rename = scope, rename
        self._known = set(scope.namespaces) if scope else set()
        self._applied = self._skipped = 0
        self._outside: Counter[str] = Counter()
        self._changes: list[IndexChange] = []

    def select_operations(self, operations: Iterable[Operation | None]) -> Iterator[Operation]:
        """What the server has to do. An operation counts as applied when the next one is asked for."""
        for operation in operations:
            if operation is None:
                self._skipped += 1
                continue
            selected = self._select(operation)
            if not selected:
                self._skipped += 1
                self._outside[operation.subject] += 1
                continue
            self._applied += 1
            for one in selected:
                if change := extract_index_change(one):
                    self._changes.append(change)
                if (rest := strip_index_changes(one)) is not None:
                    yield self._rename(rest) if self._rename else rest

    def result(self) -> ReplayResult:
        """The counts so far."""
        return ReplayResult(self._applied, self._skipped, tuple(self._changes), dict(self._outside))

    def _select(self, operation: Operation) -> list[Operation]:
        scope = self._scope
        if scope is None:
            return [operation]
        # A database that holds anything of somebody else's stays, and what was restored of it is dropped.
        if operation.command == "dropDatabase":
            if scope.includes_database(operation.db):
                return [operation]
            return [_drop(operation, name) for name in self._members(operation.db)]
        # A rename between two databases changes both: the replay has to refuse it, not to skip it.
        if not any(map(scope.includes, operation.subjects)):
            return []
        if not all(map(scope.includes, operation.subjects)):
            value = f"{operation.command} of {' to '.join(operation.subjects)} at {operation.at}"
            raise Corrupt("an oplog entry cannot be replayed: it leads out of what is restored", value=value)
        # Collections that the oplog made: a later drop of the database is to take them as well.
        self._known.update(operation.subjects)
        return [operation]

    def _members(self, db: str) -> list[str]:
        """The namespaces of the database that this replay may drop."""
        scope = self._scope
        return sorted(n for n in self._known if n.startswith(f"{db}.") and scope and scope.includes(n))


def _drop(operation: Operation, name: str) -> Operation:
    """What `dropDatabase` does to one collection."""
    db, _, collection = name.partition(".")
    text = collection.encode()
    # A BSON string counts its closing NUL in its length.
    value = (len(text) + 1).to_bytes(4, "little") + text + b"\0"
    body = join_elements([Element(STRING, b"drop", value)])
    return replace(operation, db=db, collection=collection, o=body)
