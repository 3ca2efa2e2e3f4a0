"""What is replayed on top of a set to reach a moment: the captured entries after its own oplog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from shared.backup.sets import stream_stored, stream_verified
from shared.formats.age import NotForUs, can_open
from shared.formats.agekeys import Identity
from shared.formats.documents import split_documents
from shared.formats.elements import find_element, join_elements, split_elements, string_value
from shared.formats.envelope import read_part
from shared.formats.slices import StoredSlice, day_prefix
from shared.kernel.errors import Corrupt
from shared.kernel.ports import Blobs, Reporter
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import read_timestamp
from shared.pitr.plan import MomentPlan
from shared.pitr.rewrap import add_slice_keys


@dataclass(frozen=True)
class OplogTail:
    """The slices of a plan, read."""

    blobs: Blobs
    plan: MomentPlan
    identities: Sequence[Identity]
    # By the day's folder, since one blob has the re-encrypted file keys of a day.
    _day_keys: dict[str, list[Identity]] = field(default_factory=dict, repr=False)

    def check_key(self) -> None:
        """Try the key on the first and the last slice: in between keys have changed, if they did.

        Raises Corrupt naming the slice that it does not open.
        """
        for one in self.plan.slices[:1] + self.plan.slices[-1:]:
            stream = stream_stored(self.blobs, one.name, chunk_bytes=64 << 10)
            self._find_identities(one, next(stream, b""))
            stream.close()  # type: ignore[attr-defined]

    def check_stored(self, reporter: Reporter) -> None:
        """Read every stored byte. Raises Corrupt naming the slice that is not as it was signed.

        Also for one that the key does not open, which would end the restore in the middle.
        """
        slices = self.plan.slices
        reporter.phase("Verifying slices", sum(one.record.stored_bytes for one in slices))
        for one in slices:
            begun = False
            for chunk in self._stream(one):
                if not begun:
                    self._find_identities(one, chunk)
                begun = True
                reporter.advance(len(chunk))

    def join_entries(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        """The set's own oplog entries, and after them the captured ones up to the moment.

        One stream, since a transaction that begins in one slice may end in the next. Raises Corrupt if set
        and slices are not of the same history, or a slice is not what it was.
        """
        last: bytes | None = None
        for entry in entries:
            last = entry
            yield entry
        yield from self._read_after(last)

    def _read_after(self, last: bytes | None) -> Iterator[bytes]:
        """The entries after the base's end, once each; those that slices share are skipped by their time."""
        at = self.plan.base.end
        match = _HistoryMatch(self.plan, last)
        for one in self.plan.slices:
            newest = at
            for entry in self._read_slice(one):
                entry_time = read_timestamp(entry)
                # Later slices hold nothing but later entries.
                if entry_time > self.plan.until:
                    return
                match.compare(entry_time, entry)
                if (
                    entry_time > at
                ):  # the entries of one timestamp are never in two slices beside the shared bound
                    newest = max(newest, entry_time)
                    yield entry
            at = newest
        match.end()

    def _read_slice(self, one: StoredSlice) -> Iterator[bytes]:
        # A slice has 16 MiB and is checked before any of it is trusted.
        stored = b"".join(self._stream(one))
        identities = self._find_identities(one, stored)
        for batch in _whole_documents(read_part(iter([stored]), identities, name=one.name)):
            yield from split_documents(batch)

    def _find_identities(self, one: StoredSlice, start: bytes) -> Sequence[Identity]:
        """What opens the slice: the key, else file keys that were re-encrypted to it. Raises Corrupt.

        `start` holds its header; it is of the signed bytes only after the whole was read.
        """
        if not self.identities or can_open(start, self.identities, name=one.name):
            return self.identities
        folder = day_prefix(one.record.end)
        if folder not in self._day_keys:
            self._day_keys[folder] = [*add_slice_keys(self.blobs, [one], self.identities)]
        opening = self._day_keys[folder]
        if not can_open(start, opening, name=one.name):
            raise NotForUs(
                f"{one.name[:80]}… is not encrypted to the key given",
                hint="Let it open older slices, with a key that does: groundcrew keys rewrap --slices",
            )
        return opening

    def _stream(self, one: StoredSlice) -> Iterator[bytes]:
        return stream_verified(self.blobs, one.name, one.record.stored_bytes, one.record.sha256)


class _HistoryMatch:
    """Whether the captured entries are of the history that the set is of.

    The set's last entry must be in the first slice, if that reaches back so far. Of a transaction policy may
    have left out another part by then, so of commands only what is around them is compared.
    """

    def __init__(self, plan: MomentPlan, last: bytes | None) -> None:
        self._last = _describe_entry(last) if last is not None else b""
        self._at = read_timestamp(last) if last is not None else plan.base.end
        first = plan.slices[0].record.start if plan.slices else None
        # The bound itself may have been left out of the slice by policy, or of the set.
        self._expected = last is not None and first is not None and Timestamp.parse(first) < self._at
        self._base = plan.base.reference

    def compare(self, at: Timestamp, entry: bytes) -> None:
        if self._expected and at == self._at and _describe_entry(entry) == self._last:
            self._expected = False
        elif self._expected and at > self._at:
            self._fail()

    def end(self) -> None:
        if self._expected:
            self._fail()

    def _fail(self) -> None:
        raise Corrupt(
            "the captured oplog is not of the history that the backup is of",
            value=f"the last entry of {self._base}, at {self._at}, is not in it",
            hint="Restore without --until, or a moment before the server's data were restored or replaced.",
        )


def _describe_entry(entry: bytes) -> bytes:
    if string_value(find_element(entry, b"op")) != "c":
        return entry
    return join_elements(element for element in split_elements(entry) if element.name != b"o")


def _whole_documents(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a stream of BSON documents, cut between documents. Raises Corrupt for a torn end."""
    held = b""
    for chunk in chunks:
        held += chunk
        whole = 0
        while len(held) - whole >= 4:
            size = int.from_bytes(held[whole : whole + 4], "little")
            if size < 5:
                raise Corrupt("a slice holds no BSON documents")
            if len(held) - whole < size:
                break
            whole += size
        if whole:
            yield held[:whole]
            held = held[whole:]
    if held:
        raise Corrupt("a slice ends within a document", value=f"{len(held)} bytes are left over")
