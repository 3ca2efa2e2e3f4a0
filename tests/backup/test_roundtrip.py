"""Any set of documents survives the whole way out and back, byte for byte: archive, zstd, age, blob."""

from __future__ import annotations

import struct
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from shared.backup.sets import stream_verified
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient
from shared.formats.archive import ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import split_documents
from shared.formats.envelope import PartWriter, read_part

SECRET, RECIPIENT = generate_identity(post_quantum=False)


def document(filler: bytes) -> bytes:
    """A document of any bytes: what lies between the length and the last zero is nobody's business here."""
    return struct.pack("<i", len(filler) + 5) + filler + b"\0"


small = st.binary(max_size=50).map(document)
# Some that cross the borders of age's chunks, zstd's jobs and the blocks of a blob.
large = st.integers(60_000, 2_200_000).map(lambda n: document((b"%d Nachrichten, " % n) * (n // 16)))
contents = st.dictionaries(
    st.sampled_from(["users", "rocketchat_message", "a.b.c", "Näme 1"]),
    st.lists(st.one_of(small, small, small, large), max_size=6),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(
    held=contents,
    level=st.sampled_from([1, 3, 5]),
    threads=st.sampled_from([0, 2]),
    checksum=st.booleans(),  # parts of sets that are older have zstd's
)
def test_any_documents_survive_the_whole_way(
    held: dict[str, list[bytes]], level: int, threads: int, checksum: bool
) -> None:
    blobs = MemoryBlobs()
    upload = blobs.upload("part")
    sealer = PartWriter(
        upload.write, [parse_recipient(RECIPIENT)], level=level, threads=threads, checksum=checksum
    )
    writer = ArchiveWriter(
        sealer.write, ArchiveHeader("8.0.4", "test"), [PreludeEntry("db", name, "{}") for name in held]
    )
    for name, documents in held.items():
        for one in documents:
            writer.documents("db", name, one)
        writer.end("db", name)
    writer.finish()
    sealed = sealer.finish()
    upload.commit()
    stored = stream_verified(blobs, "part", sealed.stored_bytes, sealed.sha256)
    found: dict[str, list[bytes]] = defaultdict(list)
    for event in ArchiveReader(read_part(stored, parse_identities(SECRET), name="part"), name="part"):
        if isinstance(event, DocumentBatch):
            found[event.collection] += split_documents(event.batch)
    assert dict(found) == {name: documents for name, documents in held.items() if documents}
