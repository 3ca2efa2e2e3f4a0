"""The archives in a set's parts, opened for whoever reads their documents: a verification, or a restore."""

from __future__ import annotations

from collections.abc import Sequence

from shared.backup.sets import stream_verified
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader
from shared.formats.backupset import Manifest, StoredPart, set_folder
from shared.formats.envelope import read_part
from shared.kernel.errors import Corrupt
from shared.kernel.ports import Blobs


def open_archive(
    blobs: Blobs, manifest: Manifest, part: StoredPart, identities: Sequence[Identity]
) -> ArchiveReader:
    """The part's archive, whose header and prelude are those of the manifest.

    Raises Corrupt naming the blob, at the latest at the archive's end.
    """
    name = set_folder(manifest.klass, manifest.set) + part.blob
    stored = stream_verified(blobs, name, part.stored_bytes, part.sha256)
    reader = ArchiveReader(read_part(stored, identities, name=name), name=name)
    _check_announced(reader, manifest, name)
    return reader


def _check_announced(reader: ArchiveReader, manifest: Manifest, name: str) -> None:
    """Raises Corrupt unless the archive announces what the signed manifest says.

    A CRC-64 and the tally cover the documents. What `mongorestore` makes the collections and indexes of is
    covered by nothing else: hashes and encryption are of what was written, right or wrong.
    """
    signed = {(e.db, e.collection): (e.kind, e.metadata) for e in manifest.namespaces}
    signed[OPLOG] = ("collection", "")
    for entry in reader.prelude:
        if signed.get((entry.db, entry.collection)) != (entry.kind, entry.metadata):
            raise Corrupt(
                f"{name}: the prelude differs from the manifest", value=f"{entry.db}.{entry.collection}"
            )
    # By its version `mongorestore` decides what it expects in the blocks.
    if reader.header.server_version != manifest.source.server_version:
        raise Corrupt(
            f"{name}: the header names another server than the manifest", value=reader.header.server_version
        )
