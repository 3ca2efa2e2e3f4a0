"""The archive: byte-for-byte round trips, an independent reader, and a reader that noise does not crash."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats.archive import OPLOG, ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.archive_reader import ArchiveReader, DocumentBatch, NamespaceEnd
from shared.formats.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_OPLOG_ENTRY_BYTES,
    Tally,
    split_documents,
    tally_documents,
)
from shared.kernel.errors import Corrupt
from tests.support.archive import crc64_xz, read_by_description

HEADER = ArchiveHeader("8.2.11", "groundcrew test")
Contents = dict[tuple[str, str], list[bytes]]


def document(filler: bytes) -> bytes:
    """A document of any bytes: what lies between the length and the last zero is nobody's business here."""
    return struct.pack("<i", len(filler) + 5) + filler + b"\0"


documents = st.binary(max_size=60).map(document)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
contents = st.dictionaries(st.tuples(names, names), st.lists(documents, max_size=8), max_size=6)


def write(held: Contents, *, batch: int = 3) -> bytes:
    out: list[bytes] = []
    writer = ArchiveWriter(out.append, HEADER, [PreludeEntry(db, name, "{}") for db, name in held])
    for (db, name), found in held.items():
        for start in range(0, len(found), batch):
            writer.documents(db, name, b"".join(found[start : start + batch]))
        writer.end(db, name)
    writer.finish()
    return b"".join(out)


def read(archive: bytes, step: int = 1 << 20) -> Contents:
    found: Contents = defaultdict(list)
    reader = ArchiveReader((archive[i : i + step] for i in range(0, len(archive), step)), name="blob")
    for event in reader:
        if isinstance(event, DocumentBatch):
            found[event.db, event.collection] += split_documents(event.batch)
        else:
            assert isinstance(event, NamespaceEnd)
            found[event.db, event.collection] += []
    return dict(found)


@given(contents, st.integers(1, 5), st.integers(1, 40))
def test_any_documents_survive_byte_for_byte(held: Contents, batch: int, step: int) -> None:
    assert read(write(held, batch=batch), step) == held


@given(contents)
def test_a_reader_written_from_the_description_finds_the_same(held: Contents) -> None:
    assert read_by_description(write(held)) == held


@given(st.lists(documents, max_size=20), st.randoms())
def test_the_tally_does_not_depend_on_order_or_batches(found: list[bytes], chance: object) -> None:
    whole = tally_documents(b"".join(found))
    chance.shuffle(found)  # type: ignore[attr-defined]
    assert sum((tally_documents(one) for one in found), Tally()) == whole


@given(st.lists(documents, min_size=1, max_size=6), st.integers(0), st.integers(0, 7))
def test_the_tally_notices_a_changed_bit(found: list[bytes], place: int, bit: int) -> None:
    before = b"".join(found)
    changed = bytearray(before)
    changed[place % len(before)] ^= 1 << bit
    with suppress(Corrupt):  # noticed even earlier
        assert tally_documents(bytes(changed)) != tally_documents(before)


@given(st.lists(documents, min_size=1, max_size=6), st.data())
def test_the_tally_notices_a_lost_document(found: list[bytes], data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, len(found) - 1))
    assert tally_documents(b"".join(found[:lost] + found[lost + 1 :])) != tally_documents(b"".join(found))


@given(contents, st.data())
def test_every_truncation_is_refused(held: Contents, data: st.DataObject) -> None:
    archive = write(held)
    # Cut off between two namespaces it still lacks one of the prelude's; without any it has no end to lack.
    cut = data.draw(st.integers(0, len(archive) - 1)) if held else data.draw(st.integers(0, 3))
    with pytest.raises(Corrupt):
        read(archive[:cut])


@given(contents, st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_was_in_a_text(held: Contents, place: int, change: int) -> None:
    archive = bytearray(write(held))
    archive[place % len(archive)] ^= change
    try:
        found = read(bytes(archive))
    except Corrupt:
        return
    # Names and versions are not under the checksum; documents are, so these must all be there unchanged.
    assert sorted(found.values()) == sorted(held.values())


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused_and_never_crashes(noise: bytes, magic: bool) -> None:
    with pytest.raises(Corrupt):
        read(b"\x6d\xe2\x99\x81" * magic + noise)


def blocks(*pieces: bytes) -> bytes:
    out: list[bytes] = []
    ArchiveWriter(
        out.append,
        ArchiveHeader("8.0.0", "t", 2),
        [PreludeEntry("d", "a", "{}"), PreludeEntry("d", "b", "{}")],
    )
    return b"".join([*out, *pieces])


def head(collection: str, *, ended: bool = False, crc: object = None) -> bytes:
    checksum = bson.Int64(0) if crc is None else crc
    return bson.encode({"db": "d", "collection": collection, "EOF": ended, "CRC": checksum})


END = b"\xff\xff\xff\xff"


def signed_crc(data: bytes) -> bson.Int64:
    return bson.Int64(struct.unpack("<q", struct.pack("<Q", crc64_xz(data)))[0])


MIB = 1 << 20


def test_batches_are_of_some_megabytes_however_the_bytes_arrive() -> None:
    """Neither a document each nor all at once: the first would cost the time, the second the memory."""
    archive = write({("db", "c"): [document(bytes(MIB // 16 - 5))] * 160}, batch=160)
    for step in (len(archive), 3 * MIB):
        reader = ArchiveReader((archive[i : i + step] for i in range(0, len(archive), step)), name="blob")
        sizes = [len(event.batch) for event in reader if isinstance(event, DocumentBatch)]
        assert sum(sizes) == 10 * MIB
        assert max(sizes) <= 5 * MIB
        assert len(sizes) <= 5


def test_no_more_is_read_ahead_than_a_batch_needs() -> None:
    archive, taken = write({("db", "c"): [document(bytes(MIB))] * 12}, batch=1), list[int]()

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(archive), 1 << 16):
            taken.append(start)
            yield archive[start : start + (1 << 16)]

    reader = ArchiveReader(chunks(), name="blob")
    assert len(taken) == 1, "header and prelude"
    next(iter(reader))
    assert max(taken) <= 5 * MIB


def test_an_archive_that_ends_within_a_document_is_told_as_such() -> None:
    out: list[bytes] = []
    writer = ArchiveWriter(out.append, HEADER, [PreludeEntry("db", "c", "{}")])
    writer.documents("db", "c", document(bytes(100)))
    archive = b"".join(out)
    end = archive.rindex(document(bytes(100))) + 105
    with pytest.raises(Corrupt, match="in a document"):
        read(archive[: end - 20])


def test_of_several_that_did_not_end_the_first_by_name_is_told() -> None:
    entries = [PreludeEntry("db", name, "{}") for name in ("c", "a", "b")]
    out: list[bytes] = []
    ArchiveWriter(out.append, HEADER, entries)
    with pytest.raises(Corrupt, match=r"db\.a did not end"):
        list(ArchiveReader(iter(out), name="blob"))


def test_segments_of_namespaces_may_interleave_as_mongodump_writes_them() -> None:
    one, two, three = document(b"1"), document(b"2"), document(b"3")
    archive = blocks(
        head("a"), one, END, head("b"), two, END, head("a"), three, END,
        head("a", ended=True, crc=signed_crc(one + three)), END,
        head("b", ended=True, crc=signed_crc(two)), END,
    )  # fmt: skip
    assert read(archive) == {("d", "a"): [one, three], ("d", "b"): [two]}


@given(st.binary(max_size=120))
def test_noise_behind_a_sound_prelude_is_refused(noise: bytes) -> None:
    with pytest.raises(Corrupt):
        read(blocks(noise))


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        pytest.param([head("a", ended=True, crc=bson.Int64(7)), END], "checksum", id="wrong checksum"),
        pytest.param([head("a", ended=True, crc=0), END], "wrong type", id="checksum as int32"),
        pytest.param([head("a", ended=1), END], "wrong type", id="an end that is no yes or no"),
        pytest.param([head("a", ended=None), END], "wrong type", id="an end that is nothing"),
        pytest.param([head("z"), END], "prelude lacks", id="unannounced namespace"),
        pytest.param([head("a", ended=True), END] * 2, "prelude lacks", id="ended twice"),
        pytest.param([head("a", ended=True), END], "did not end", id="one never ended"),
        pytest.param([head("a", ended=True), document(b""), END], "terminator", id="documents at the end"),
        pytest.param([head("a"), document(b"")], "cut short", id="no terminator"),
        pytest.param([head("a"), struct.pack("<i", 3)], "length", id="impossible length"),
        pytest.param([head("a"), struct.pack("<i", MAX_DOCUMENT_BYTES + 1)], "length", id="too long"),
        pytest.param([bson.encode({"db": "d", "x": 1}), END], "other fields", id="unknown key"),
    ],
)
def test_what_breaks_the_format_is_named(pieces: list[bytes], reason: str) -> None:
    with pytest.raises(Corrupt, match=reason):
        read(blocks(*pieces))


def test_a_document_of_sixteen_mebibytes_passes() -> None:
    largest = document(b"x" * (MAX_DOCUMENT_BYTES - 5))
    assert read(write({("d", "c"): [largest, document(b"")]}), 1 << 16) == {
        ("d", "c"): [largest, document(b"")]
    }


def test_the_oplog_has_no_database_and_no_metadata() -> None:
    out: list[bytes] = []
    writer = ArchiveWriter(out.append, HEADER, [PreludeEntry(*OPLOG, "", "")])
    writer.documents(*OPLOG, document(b"entry"))
    writer.end(*OPLOG)
    writer.finish()
    assert read_by_description(b"".join(out)) == {("", "oplog"): [document(b"entry")]}


def oplog_archive(entry: bytes) -> bytes:
    out: list[bytes] = []
    writer = ArchiveWriter(out.append, HEADER, [PreludeEntry(*OPLOG, "", "")])
    writer.documents(*OPLOG, document(b"first") + entry + document(b"last"))
    writer.end(*OPLOG)
    return b"".join(out)


def test_an_oplog_entry_may_be_longer_than_any_document_by_its_own_fields() -> None:
    entry = document(b"x" * (MAX_OPLOG_ENTRY_BYTES - 5))
    assert read(oplog_archive(entry))[OPLOG] == [document(b"first"), entry, document(b"last")]
    with pytest.raises(Corrupt, match="cannot have this length"):
        read(oplog_archive(document(b"x" * (MAX_OPLOG_ENTRY_BYTES - 4))))


def test_only_the_oplogs_entries_may_be_longer() -> None:
    too_long = document(b"x" * (MAX_DOCUMENT_BYTES - 4))
    with pytest.raises(Corrupt, match="cannot have this length"):
        read(write({("d", "c"): [document(b""), too_long]}))


def prelude_of(*names: str, version: object = "0.1", **fields: object) -> bytes:
    """An archive of empty namespaces, whose header and names are whatever is asked for."""
    header = {"concurrent_collections": 1, "version": version, "server_version": "8.0.0", "tool_version": "t"}
    entries = [{"db": "d", "collection": n, "metadata": "{}", "size": 0, "type": ""} for n in names]
    body = [bson.encode({**header, **fields}), *map(bson.encode, entries), END]
    ends = [head(n, ended=True) + END for n in dict.fromkeys(names)]
    return b"".join([b"\x6d\xe2\x99\x81", *body, *ends])


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (prelude_of("a", "b", "a"), "the prelude names a namespace twice"),
        (prelude_of("a", version="0.2"), "an archive of a version we do not know: 0.2"),
        (prelude_of("a", version=None), "an archive of a version we do not know"),
        (prelude_of("a", concurrent_collections="4"), "the header lacks concurrent_collections"),
        (prelude_of("a", server_version=8), "lacks a text: server_version"),
        (b"\x6d\xe2\x99\x80" + prelude_of("a")[4:], "no mongodump archive"),
    ],
    ids=["a namespace twice", "another version", "no version", "no concurrency", "no text", "no magic"],
)
def test_a_header_or_prelude_that_is_no_mongodumps_is_named(archive: bytes, reason: str) -> None:
    with pytest.raises(Corrupt, match=reason):
        read(archive)


def test_a_header_and_prelude_as_mongodumps_pass() -> None:
    assert read(prelude_of("a", "b")) == {("d", "a"): [], ("d", "b"): []}


# Four before none: a reader that takes both would never end at the second.
@pytest.mark.parametrize("length", [4, 0, 5, -2, MAX_DOCUMENT_BYTES + 1])
@pytest.mark.parametrize("before", [0, 1, 3], ids=["first", "second", "fourth"])
def test_a_length_that_no_document_has_is_refused_wherever_it_stands(length: int, before: int) -> None:
    sound = document(b"sound")
    odd = struct.pack("<i", length) + (b"\0" if length == 5 else b"")
    archive = blocks(head("a"), sound * before, odd, sound, END)
    if length == 5:
        events = iter(ArchiveReader(iter([archive]), name="blob"))
        batch = next(events)
        assert isinstance(batch, DocumentBatch)
        assert list(split_documents(batch.batch))[before] == odd
        return
    with pytest.raises(Corrupt, match=f"cannot have this length: {length}"):
        read(archive)


@pytest.mark.parametrize("length", [0, 4, -2, MAX_DOCUMENT_BYTES + 1])
@pytest.mark.parametrize("before", [b"", prelude_of()[4:-4]], ids=["the header", "the prelude"])
def test_a_length_that_no_document_has_is_refused_before_the_data_too(length: int, before: bytes) -> None:
    archive = b"\x6d\xe2\x99\x81" + before + struct.pack("<i", length) + bytes(16)
    with pytest.raises(Corrupt, match=f"cannot have this length: {length}"):
        read(archive)


def test_a_document_that_ends_otherwise_than_in_a_zero_is_refused() -> None:
    with pytest.raises(Corrupt, match="does not end in a zero byte"):
        read(blocks(head("a"), document(b"sound"), struct.pack("<i", 6) + b"xx", END))


def test_a_forgotten_namespace_does_not_pass_for_an_archive() -> None:
    writer = ArchiveWriter(lambda _: None, HEADER, [PreludeEntry("d", "c", "{}")])
    with pytest.raises(Corrupt, match="lacks a namespace"):
        writer.finish()
