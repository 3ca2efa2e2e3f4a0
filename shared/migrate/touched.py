"""Which documents the oplog has changed since they were last compared. Pure.

Everything was compared when it was copied. What changes afterwards is known by its `_id` from the oplog, so
that comparing those again, and only those, compares everything: that is why the last comparison, while
nobody can write, does not depend on the size of the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.formats.elements import find_element, join_elements
from shared.mongodb.oplog import BUCKETS, VIEWS, Operation

MOST_IDS = 200_000  # of one namespace; beyond that reading it as a whole is quicker, and the memory bounded
_WHOLE_COMMANDS = ("emptycapped", "convertToCapped", "renameCollection")


@dataclass
class TouchedDocuments:
    """By namespace the `_id`s of what was changed, as `{"_id": value}`; `whole` is what is read in full."""

    ids: dict[str, set[bytes]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many documents are known by their `_id`."""
        return sum(map(len, self.ids.values()))

    def add_operations(self, operations: Iterable[Operation | None]) -> None:
        """Note what they change. Raises Corrupt."""
        for operation in operations:
            # Views hold no documents; their definitions are compared with the catalogue.
            if operation is None or operation.collection == VIEWS:
                continue
            if operation.op == "c":
                self._add_command(operation)
            else:
                self._add_document(operation)

    def merge(self, other: TouchedDocuments) -> None:
        """Note what the other has, too."""
        self.whole |= other.whole
        for name, ids in other.ids.items():
            self._add_ids(name, ids)

    def take(self) -> TouchedDocuments:
        """All that was noted so far, which is forgotten here."""
        taken = TouchedDocuments(self.ids, self.whole)
        self.ids, self.whole = {}, set()
        return taken

    def _add_document(self, operation: Operation) -> None:
        # The buckets of a time series: their `_id`s are no client's business.
        if operation.collection.startswith(BUCKETS):
            self.whole.add(operation.subject)
            return
        # An update names its document in `o2`, an insert and a delete in `o`.
        identity = find_element(operation.o2 or operation.o, b"_id")
        if identity is None:
            self.whole.add(operation.name)
        else:
            self._add_ids(operation.name, {join_elements([identity._replace(name=b"_id")])})

    def _add_ids(self, name: str, ids: set[bytes]) -> None:
        if name in self.whole:
            return
        held = self.ids.setdefault(name, set())
        held |= ids
        if len(held) > MOST_IDS:
            del self.ids[name]
            self.whole.add(name)

    def _add_command(self, operation: Operation) -> None:
        if operation.command in _WHOLE_COMMANDS:
            for name in operation.subjects:
                self.ids.pop(name, None)
                self.whole.add(name)
