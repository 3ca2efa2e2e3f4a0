"""The oplog of the MongoDB in memory: a list of entries, and what befalls it that nobody wrote."""

from __future__ import annotations

from collections.abc import Iterator

import bson

from shared.mongodb.model import OplogEnd, Timestamp


class MemoryOplog:
    """Entries in their order, one to a second; what `MemoryDatabase` writes down what it does in."""

    def __init__(self) -> None:
        self._oplog: list[tuple[Timestamp, bytes]] = []
        self._clock = 1_800_000_000
        self.term = 0  # of elections; entries say none while it is 0
        self.written: Timestamp | None = None  # what a new primary has written beyond what a majority has
        self._log_entry({"op": "n", "ns": "", "o": {"msg": "initiating set"}})

    def read_oplog_window(self) -> tuple[Timestamp, Timestamp]:
        """First and last."""
        return self._oplog[0][0], self._oplog[-1][0]

    def read_oplog_end(self) -> OplogEnd:
        """The newest entry; `written` is what only the primary has."""
        return OplogEnd(self._oplog[-1][0], max(self._oplog[-1][0], self.written or self._oplog[0][0]))

    def read_oplog(self, start: Timestamp, end: Timestamp) -> Iterator[bytes]:
        """One entry a batch."""
        yield from (entry for at, entry in list(self._oplog) if start <= at <= end)

    def tick(self) -> None:
        """What an idle primary writes every ten seconds."""
        self._log_entry({"op": "n", "ns": "", "o": {"msg": "periodic noop"}})

    def newest(self) -> Timestamp:
        """The newest entry."""
        return self._oplog[-1][0]

    def rewind(self, to: Timestamp) -> None:
        """Forget all entries after one, as a server does whose disk was restored from a snapshot."""
        self._oplog = [row for row in self._oplog if row[0] <= to]
        self._clock = self._oplog[-1][0].seconds

    def log_command(self, db: str, body: dict[str, object]) -> None:
        """An entry of a command that changes nothing here."""
        self._log_entry({"op": "c", "ns": f"{db}.$cmd", "o": body})

    def drop_entries_before(self, at: Timestamp) -> None:
        """Forget the entries before this one, as a full oplog does."""
        self._oplog = [row for row in self._oplog if row[0] >= at]

    def trim_oplog(self) -> None:
        """Forget all but the newest entry, as a small oplog does under many writes."""
        del self._oplog[:-1]

    def _log_entry(self, entry: dict[str, object]) -> None:
        self._clock += 1
        at = Timestamp(self._clock, 1)
        term = {"t": bson.Int64(self.term)} if self.term else {}
        stamp = {"ts": bson.Timestamp(at.seconds, at.ordinal), **term}
        self._oplog.append((at, bson.encode({**entry, **stamp})))
