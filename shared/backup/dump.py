"""Dumping one part: MongoDB → archive → zstd → age → staged blocks, in constant memory and no files."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backup.oplog_window import Includes, select_entries
from shared.backup.pace import ReadPace, pace_batches
from shared.backup.read_budget import ReadBudget
from shared.formats import envelope
from shared.formats.agekeys import Recipient
from shared.formats.archive import OPLOG, ArchiveHeader, ArchiveWriter, PreludeEntry, bucket_collection
from shared.formats.backupset import (
    BackupPlan,
    NamespaceCount,
    OplogSlice,
    Piece,
    PlannedPart,
    Receipt,
    part_name,
    set_folder,
)
from shared.formats.documents import TalliedBatch, Tally
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Inconsistent
from shared.kernel.overlap import read_ahead
from shared.kernel.ports import Blobs, BlobUpload, Clock
from shared.mongodb.model import IdRange, Namespace, Timestamp
from shared.mongodb.ports import SourceDatabase
from shared.records.runs import Progress

_BATCH_BYTES = 4 << 20  # of oplog entries in one block of the archive


@dataclass(frozen=True, slots=True)
class DumpSettings:
    """How a part is written."""

    recipients: tuple[Recipient, ...]
    level: int
    threads: int
    tool: str
    includes: Includes  # whether policy includes a database's collection, for the oplog
    budget: ReadBudget | None = None  # of all workers together; None for as fast as it goes


@dataclass(frozen=True, slots=True)
class PartTask:
    """Which part of which plan is dumped."""

    plan: BackupPlan
    plan_sha256: str  # of the plan's blob
    index: int
    after: tuple[str, ...] = ()  # for the oplog's own part: the blobs of the other parts, which are complete

    @property
    def part(self) -> PlannedPart:
        """What it holds."""
        return self.plan.parts[self.index]


def dump_part(
    source: SourceDatabase,
    blobs: Blobs,
    clock: Clock,
    settings: DumpSettings,
    task: PartTask,
    progress: Progress,
) -> tuple[Receipt, str]:
    """Write the part under a name of its own; its receipt, for the caller to store, and the attempt's name.

    Raises Inconsistent when the dump lost its consistency (start a new set), Unavailable when trying
    again may help. What was staged is then forgotten; nothing of a failed attempt is ever listed.
    """
    started = clock.now()
    plan = task.plan
    # Two workers may dump the same part at once (the queue delivers twice, a lease is lost): each writes a
    # blob of its own, and the receipt says which of them counts.
    attempt = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    blob = part_name(task.index, attempt, envelope.SUFFIX)
    # Before the first byte: a dump of hours is not begun whose oplog is gone already.
    check_oplog_window(source, Timestamp.parse(plan.oplog_start))
    upload = blobs.upload(set_folder(plan.klass, plan.set) + blob)
    try:
        counts, oplog, digest = _write_part(source, upload, settings, task, progress)
        committed = upload.commit()
    except BaseException:
        # On the end of the process too (SystemExit): staged blocks that nobody commits stay for a week.
        upload.abort()
        raise
    written = counts, oplog, digest
    return _build_receipt(task, blob, committed.etag, written, (started, clock.now())), attempt


def _build_receipt(
    task: PartTask,
    blob: str,
    etag: str,
    written: tuple[tuple[NamespaceCount, ...], OplogSlice | None, envelope.PartDigest],
    times: tuple[datetime, datetime],
) -> Receipt:
    """What was written, for whoever seals the set: by it a blob that was replaced since is noticed."""
    plan, (counts, oplog, digest), (started, finished) = task.plan, written, times
    return Receipt(
        format=FORMAT,
        set=plan.set,
        klass=plan.klass,
        part=task.index,
        plan_sha256=task.plan_sha256,
        blob=blob,
        etag=etag,
        stored_bytes=digest.stored_bytes,
        plain_bytes=digest.plain_bytes,
        sha256=digest.sha256,
        counts=counts,
        oplog=oplog,
        after=task.after,
        started=started,
        finished=finished,
    )


def _write_part(
    source: SourceDatabase, upload: BlobUpload, settings: DumpSettings, task: PartTask, progress: Progress
) -> tuple[tuple[NamespaceCount, ...], OplogSlice | None, envelope.PartDigest]:
    """Stage the part's blocks; what it holds by namespace, its slice of the oplog, and its digests."""
    plan, part = task.plan, task.part
    # A CRC-64 and the tally are of the documents, and the manifest has the rest (`archives.open_archive`): a
    # checksum over it all once more would be a fortieth of a dump's CPU.
    part_writer = envelope.PartWriter(
        upload.write, settings.recipients, level=settings.level, threads=settings.threads, checksum=False
    )
    header = ArchiveHeader(plan.source.server_version, settings.tool)
    try:
        writer = ArchiveWriter(part_writer.write, header, _build_prelude(plan, part))
        dumper = _PartDumper(source, writer, settings, progress)
        counts = tuple(dumper.dump_pieces(part.pieces))
        # Last, whatever the plan's order: an entry written while a collection was read must be in the slice.
        oplog = dumper.dump_oplog(Timestamp.parse(plan.oplog_start)) if part.oplog else None
        writer.finish()
        return counts, oplog, part_writer.finish()
    except BaseException:
        part_writer.abort()  # before the upload is aborted, to which its thread may be writing
        raise


def check_oplog_window(source: SourceDatabase, start: Timestamp) -> None:
    """Raises Inconsistent if the oplog no longer reaches back to the start of the dump."""
    oldest, _ = source.read_oplog_window()
    if oldest > start:
        raise Inconsistent(
            "the oplog overflowed during the dump",
            value=f"it begins at {oldest}, the dump at {start}",
            hint="Enlarge it: db.adminCommand({replSetResizeOplog: 1, size: <MB>}).",
        )


class _PartDumper:
    """Copies one part from the source into its archive."""

    def __init__(
        self, source: SourceDatabase, writer: ArchiveWriter, settings: DumpSettings, progress: Progress
    ) -> None:
        self._source, self._writer, self._progress = source, writer, progress
        self._includes, self._pace = settings.includes, ReadPace(settings.budget)
        self._total = Tally()

    def dump_pieces(self, pieces: Sequence[Piece]) -> Iterator[NamespaceCount]:
        """One after the other; what each held once it is in the archive."""
        # The next batch is received and walked while this one is compressed, the first one of the next
        # collection too: most are a batch or two, and each begins with several ways there and back.
        ended = 0
        for number, batch in read_ahead(self._read_pieces(pieces)):
            yield from map(self._end_piece, pieces[ended:number])
            ended = number
            self._copy_batch(pieces[number].db, pieces[number].collection, batch)
        yield from map(self._end_piece, pieces[ended:])

    def _read_pieces(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, TalliedBatch]]:
        """All batches, each with the place of its piece: one that has no documents is passed over."""
        for number, piece in enumerate(pieces):
            # A view has options in the prelude and no documents of its own.
            if piece.kind != "view":
                namespace = Namespace(piece.db, piece.collection, piece.kind, piece.uuid)
                within = IdRange(bytes.fromhex(piece.lower) or None, bytes.fromhex(piece.upper) or None)
                batches = self._source.read_batches(namespace, within)
                for batch in pace_batches(batches, self._pace, namespace.name):
                    yield number, batch

    def _end_piece(self, piece: Piece) -> NamespaceCount:
        tally = self._writer.end(piece.db, piece.collection)
        return NamespaceCount(
            piece.db, piece.collection, tally.documents, tally.data_bytes, _hash_text(tally)
        )

    def dump_oplog(self, start: Timestamp) -> OplogSlice:
        """From the start of the dump to the newest entry there is now, when all collections are in."""
        _, end = self._source.read_oplog_window()
        entries = select_entries(self._source.read_oplog(start, end), start, self._includes)
        batches = map(TalliedBatch.of, _gather(entries))
        for batch in read_ahead(pace_batches(batches, self._pace, ".".join(OPLOG))):
            self._copy_batch(*OPLOG, batch)
        # Again, since the oplog is capped: its head may have been overwritten while it was read.
        check_oplog_window(self._source, start)
        tally = self._writer.end(*OPLOG)
        return OplogSlice(str(start), str(end), tally.documents, tally.data_bytes, _hash_text(tally))

    def _copy_batch(self, db: str, collection: str, batch: TalliedBatch) -> None:
        self._total += self._writer.tallied_documents(db, collection, batch)
        self._progress.advance(
            self._total.data_bytes, documents=self._total.documents, namespace=f"{db}.{collection}"
        )


def _gather(documents: Iterator[bytes]) -> Iterator[bytes]:
    """The documents in batches, which the archive wants: a block's head for each entry would double it."""
    batch = bytearray()
    for document in documents:
        batch += document
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    if batch:
        yield bytes(batch)


def _build_prelude(plan: BackupPlan, part: PlannedPart) -> list[PreludeEntry]:
    version = plan.source.server_version
    entries = [
        PreludeEntry(p.db, p.collection, p.metadata, p.kind, bucket_collection(p.collection, p.kind, version))
        for p in part.pieces
    ]
    return [*entries, PreludeEntry(*OPLOG, "", "")] if part.oplog else entries


def _hash_text(tally: Tally) -> str:
    return f"{tally.content_hash:032x}"
