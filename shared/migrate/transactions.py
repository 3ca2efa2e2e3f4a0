"""Transactions that are not over where a piece of the oplog ends: held back until their end comes. Pure.

A large transaction is a chain of entries, and changes nothing before its last one (shared.mongodb.oplog).
Its parts may lie in several pieces, each of which is replayed by a call of its own. So the parts of an open
one are held back and go in front of its end: nothing of them is visible before it, in the source neither.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.mongodb.entries import command_name, is_true, parse_entry, read_timestamp
from shared.mongodb.model import Timestamp

_ENDS = ("commitTransaction", "abortTransaction")


class TransactionCarry:
    """The entries of the transactions that are open, by their session and number."""

    def __init__(self) -> None:
        self._open: dict[bytes, list[bytes]] = {}

    @property
    def oldest(self) -> Timestamp | None:
        """Where the oldest open transaction began; None if none is open. Whoever resumes reads from there."""
        return min((read_timestamp(entries[0]) for entries in self._open.values()), default=None)

    def release_entries(self, entries: Iterable[bytes]) -> list[bytes]:
        """Those that can be replayed now, in order. Raises Corrupt."""
        released: list[bytes] = []
        for raw in entries:
            entry = parse_entry(raw, "")
            command = command_name(entry.o) if entry.op == "c" else ""
            unfinished = is_true(entry.o, b"partialTxn") or is_true(entry.o, b"prepare")
            if command == "applyOps" and unfinished and entry.transaction:
                self._open.setdefault(entry.transaction, []).append(raw)
                continue
            if command in _ENDS or (command == "applyOps" and entry.continues):
                released += self._open.pop(entry.transaction, [])
            released.append(raw)
        return released
