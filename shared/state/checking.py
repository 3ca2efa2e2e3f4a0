"""Checking sets without restoring them: signatures, the chain, stored bytes, and with a key all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import Corrupt, GroundcrewError
from shared.formats import age
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, Documents
from shared.formats.backupset import Manifest, Stored, folder
from shared.formats.documents import Tally, tally
from shared.formats.envelope import open_part
from shared.ports import Blobs, Reporter
from shared.state.sets import SetInfo, list_sets, pinned, read_manifest, stored

_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `problem` is empty if it was in order."""

    blob: str
    problem: str = ""


def check_stored(blobs: Blobs, manifest: Manifest, parts: Sequence[Stored], reporter: Reporter) -> None:
    """Read every stored byte of the parts. Raises Corrupt naming the first blob that is not as signed."""
    where = folder(manifest.klass, manifest.set)
    reporter.phase("Checking stored bytes", sum(part.stored_bytes for part in parts))
    for part in parts:
        for chunk in pinned(blobs, where + part.blob, part.stored_bytes, part.sha256):
            reporter.advance(len(chunk))


def check_key(
    blobs: Blobs, manifest: Manifest, parts: Sequence[Stored], identities: Sequence[Identity]
) -> None:
    """Raises Corrupt naming the first blob that none of the identities opens."""
    where = folder(manifest.klass, manifest.set)
    for part in parts:
        name = where + part.blob
        stream = stored(blobs, name, chunk_bytes=_HEADER_BYTES)
        # The first chunk of plaintext proves the key; closing the stream downloads no more.
        plain = age.decrypt(stream, identities, name=name)
        next(plain, None)
        plain.close()  # type: ignore[attr-defined]


def check_content(
    blobs: Blobs, manifest: Manifest, identities: Sequence[Identity], reporter: Reporter
) -> None:
    """Decrypt, decompress and parse every part, and compare every namespace's tally with the manifest.

    Raises Corrupt naming the blob, or the namespace whose sums do not agree.
    """
    where = folder(manifest.klass, manifest.set)
    sums: dict[tuple[str, str], Tally] = defaultdict(Tally)
    reporter.phase("Checking content", sum(part.plain_bytes for part in manifest.parts))
    for part in manifest.parts:
        name = where + part.blob
        sealed = pinned(blobs, name, part.stored_bytes, part.sha256)
        for event in ArchiveReader(open_part(sealed, identities, name=name), name=name):
            if isinstance(event, Documents):
                sums[event.db, event.collection] += tally(event.batch)
                reporter.advance(len(event.batch))
    log = manifest.oplog
    expected = {
        (h.db, h.collection): (h.documents, h.data_bytes, h.content_hash) for h in manifest.namespaces
    }
    expected[OPLOG] = (log.entries, log.data_bytes, log.content_hash)
    for key, wanted in expected.items():
        found = sums.pop(key, Tally())
        if (found.documents, found.data_bytes, f"{found.content_hash:032x}") != wanted:
            raise Corrupt(f"{'.'.join(key)} in {where} is not what the manifest says")
    if sums:
        raise Corrupt(f"{where} holds what its manifest does not name", value=".".join(min(sums)))


def check_chain(blobs: Blobs, trusted: Sequence[str]) -> list[Finding]:
    """Every sealed set's signature and its link to the set before, oldest first.

    A link to a set that is no longer there is in order, since sets expire; a link to a set that is there
    but was changed is not, nor are two sets that follow the same one.
    """
    findings: list[Finding] = []
    known: dict[str, str] = {}
    followed: dict[str, str] = {}
    sealed = [s for s in list_sets(blobs) if s.state == "sealed"]
    for info in sorted(sealed, key=lambda s: (str(s.sealed_at), s.id)):
        try:
            known[info.folder] = _link(blobs, info, trusted, known, followed)
            findings.append(Finding(info.folder))
        except GroundcrewError as error:
            findings.append(Finding(info.folder, str(error)))
    return findings


def _link(
    blobs: Blobs, info: SetInfo, trusted: Sequence[str], known: dict[str, str], followed: dict[str, str]
) -> str:
    checked = read_manifest(blobs, info, trusted)
    if previous := checked.manifest.previous:
        where = folder(previous.klass, previous.set)
        if known.get(where, previous.sha256) != previous.sha256:
            raise Corrupt(f"the chain is broken: {info.folder} follows another {where}")
        if where in followed:
            raise Corrupt(f"the chain is broken: {followed[where]} and {info.folder} both follow {where}")
        followed[where] = info.folder
    return checked.sha256
