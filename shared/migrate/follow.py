"""Following: what the source's oplog has grown by is replayed at the target, piece by piece.

The journal moves after each piece. A run that was killed in between does the piece again, which changes
nothing, as long as no unique index stands in the way of a state that is not the last one: so those are
dropped before, and built anew after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from shared.backup.oplog_window import select_entries, strip_excluded
from shared.kernel.errors import Inconsistent, Refused, Unavailable
from shared.migrate.copy import lost_oplog
from shared.migrate.deps import MigrationDeps
from shared.migrate.indexes import IndexKeeper
from shared.migrate.model import MARKER_DATABASE, SERVER_DATABASES
from shared.migrate.records import MigrationJournal
from shared.migrate.touched import TouchedDocuments
from shared.migrate.transactions import TransactionCarry
from shared.mongodb.model import OplogEnd, ReplayResult, Timestamp
from shared.mongodb.oplog import skip_torn_start, unpack_operations
from shared.mongodb.scope import ReplayScope
from shared.pitr.decide import Continuity, EntryGroup, find_barrier, group_entries, judge_continuity

log = logging.getLogger(__name__)

# Small enough that a kill costs a second of work, large enough that the journal is no brake.
PIECE_ENTRIES, PIECE_BYTES = 5_000, 8 << 20


class OplogFollower:
    """The oplog from where the journal says. `touched` gathers what has to be compared."""

    def __init__(self, deps: MigrationDeps, journal: MigrationJournal, touched: TouchedDocuments) -> None:
        self._deps, self._journal, self._touched = deps, journal, touched
        self._carry = TransactionCarry()
        self._indexes = IndexKeeper(deps, journal)
        databases = frozenset({*journal.record.databases, MARKER_DATABASE})
        self._scope = ReplayScope(databases=databases)
        self._outside: set[str] = set()

    def replay_copy_window(self) -> None:
        """Bring the copy to one point in time: what was written while it was made, in one piece.

        Raises Refused if the window holds what spoils a copy, such as a rename, or was dropped.
        """
        record = self._journal.record
        start, until = Timestamp.parse(record.start), Timestamp.parse(record.copied_until)
        self._check_window(start)
        # Noted before: the replay may die half done, and a resumed run then drops the unique indexes first.
        self._journal.save(applying=str(until))
        self._deps.reporter.phase("Replaying what was written meanwhile", 0)
        last = _LastGroup()
        try:
            batches = last.watch(group_entries(self._deps.source.read_oplog(start, until)))
            self._replay(self._release(select_entries(batches, start, self._includes)))
        except Inconsistent as error:
            hint = "Begin anew with --restart: the copy is made again."
            raise Refused("the copy is spoiled", value=str(error), hint=hint) from error
        if last.group is None:
            raise Refused("the source was restored or replaced meanwhile", value=f"nothing is at {start}")
        # Whatever was touched while it was copied was compared with what was read, not with what it is now.
        self._move(last.group, compared_from=record.start)

    def resume(self) -> None:
        """After a kill: the transactions that were open, what has to be compared, and a piece half done."""
        record = self._journal.record
        position, compared = Timestamp.parse(record.position), Timestamp.parse(record.compared_from)
        oldest, _ = self._deps.source.read_oplog_window()
        begin = min(compared, Timestamp.parse(record.open_since)) if record.open_since else compared
        if oldest > begin:
            # What has changed since the comparison is not known any more: then all of it is compared.
            listed = self._deps.target.list_namespaces()
            self._touched.whole |= {n.name for n in listed if n.db in record.databases}
            begin = Timestamp.parse(record.open_since or record.position)
        self._check_window(begin)
        batches = self._deps.source.read_oplog(begin, position)
        entries = self._select(entry for group in group_entries(batches) for entry in group.entries)
        for _ in self._release(skip_torn_start(entries, begin)):
            pass  # it is at the target already: only what it touched, and what stays open, is noted
        if record.applying:
            self._redo_piece()
        if record.indexed:
            self._indexes.build()

    def _redo_piece(self) -> None:
        self._indexes.drop_unique()
        self.advance()
        if self._journal.record.applying:
            raise Unavailable("the source has a new primary that is behind", hint="Run it again in a minute.")

    @property
    def comparable_from(self) -> str:
        """The position from which what changes is known by the oplog alone, once all before was compared."""
        return str(self._carry.oldest or self._journal.record.position)

    def build_indexes(self) -> None:
        """All that the source has, once; those that expire documents never expire any before the cut-over."""
        self._indexes.build()
        self._journal.save(indexed=True)

    def advance(self) -> Timestamp:
        """Replay all that a majority of the source's members has; how far that is.

        Raises Refused for a gap, another history, or an entry that no replay can do; Unavailable.
        """
        source, record = self._deps.source, self._journal.record
        position, end = Timestamp.parse(record.position), source.read_oplog_end()
        groups: Iterator[EntryGroup] = iter(())
        if position <= end.majority:
            groups = group_entries(source.read_oplog(position, end.majority))
        boundary = next(groups, None)
        # The very entries that were there: nothing before was dropped or replaced. Else it is asked why.
        if boundary is None or (str(boundary.at), boundary.fingerprint) != (
            record.position,
            record.position_hash,
        ):
            self._check_continuity(boundary, end)
            return position
        for piece in cut_pieces(groups):
            self._replay_piece(piece)
        # Nothing up to there is left, whether or not there is an entry at that very position.
        return end.majority

    def _check_continuity(self, boundary: EntryGroup | None, end: OplogEnd) -> None:
        """Raises Refused for a gap and another history. A new primary that is behind is only waited for."""
        record = self._journal.record
        oldest, newest = self._deps.source.read_oplog_window()
        known = _Known(record.position, record.position_hash)
        continuity = judge_continuity(known, oldest, newest, boundary, end.written)
        if continuity is Continuity.GAP:
            raise lost_oplog(f"it begins at {oldest}, followed up to {record.position}")
        if continuity is Continuity.REWOUND:
            hint = "Begin anew with --restart: the copy is made again."
            value = f"the entry at {record.position} is another one now"
            raise Refused("the source was restored or replaced meanwhile", value=value, hint=hint)

    def _replay_piece(self, piece: Sequence[EntryGroup]) -> None:
        self._journal.save(applying=str(piece[-1].at))
        entries = list(self._select(entry for group in piece for entry in group.entries))
        # Looked for before anything of the piece is replayed, so that a refusal leaves no half of it.
        if barrier := next(filter(None, map(find_barrier, entries)), ""):
            hint = "Begin anew with --restart: the copy is made again, after it."
            raise Refused("the oplog holds what no replay can do", value=barrier, hint=hint)
        result = self._replay(self._release(entries))
        self._move(piece[-1])
        # While nothing is built yet the catalogue is read later anyway.
        if self._journal.record.indexed and result.index_changes:
            self._indexes.build()

    def _release(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        """What can be replayed now, noted as changed on its way."""
        for entry in entries:
            released = self._carry.release_entries([entry])
            self._touched.add_operations(unpack_operations(released))
            yield from released

    def _replay(self, entries: Iterator[bytes]) -> ReplayResult:
        self._journal.check()
        return self._deps.target.replay_oplog(entries, scope=self._scope)

    def _move(self, group: EntryGroup, **changes: str) -> None:
        self._journal.save(
            position=str(group.at),
            position_hash=group.fingerprint,
            open_since=str(self._carry.oldest or ""),
            applying="",
            outside=tuple(sorted({*self._journal.record.outside, *self._outside})),
            **changes,
        )

    def _select(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        return (
            one for one in (strip_excluded(entry, self._includes) for entry in entries) if one is not None
        )

    def _includes(self, db: str, _collection: str) -> bool:
        if db in self._scope.databases or db in SERVER_DATABASES:
            return True
        # A database that nobody has planned for: said at the comparison, and never just left behind.
        self._outside.add(db)
        return False

    def _check_window(self, since: Timestamp) -> None:
        oldest, _ = self._deps.source.read_oplog_window()
        if oldest > since:
            raise lost_oplog(f"it begins at {oldest}, needed from {since}")


class _LastGroup:
    """The last group of entries that was read, which is where the next reading begins."""

    def __init__(self) -> None:
        self.group: EntryGroup | None = None

    def watch(self, groups: Iterable[EntryGroup]) -> Iterator[bytes]:
        """The groups' entries as batches."""
        for self.group in groups:
            yield b"".join(self.group.entries)


class _Known:
    """What the journal knows of the position, as the capture's cursor has it."""

    def __init__(self, end: str, end_hash: str) -> None:
        self.end, self.end_hash = end, end_hash


def cut_pieces(groups: Iterable[EntryGroup]) -> Iterator[list[EntryGroup]]:
    """The groups in pieces of some thousand entries, each at least one; a group is never cut."""
    piece: list[EntryGroup] = []
    count = size = 0
    for group in groups:
        piece.append(group)
        count += len(group.entries)
        size += sum(map(len, group.entries))
        # Bounded by both: a chunk of an upload has a quarter of a megabyte, a message a few hundred bytes.
        if count >= PIECE_ENTRIES or size >= PIECE_BYTES:
            yield piece
            piece, count, size = [], 0, 0
    if piece:
        yield piece
