"""Verifying sets without restoring them: signatures, chain, stored bytes, and with a key all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backup.sets import list_sets, parse_set_id, read_manifest, stream_stored, stream_verified
from shared.formats import age
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.backupset import Manifest, StoredPart, set_folder
from shared.formats.documents import Tally, tally_documents
from shared.formats.envelope import read_part
from shared.formats.manifest import VerifiedManifest
from shared.kernel.errors import Corrupt, GroundcrewError
from shared.kernel.ports import Blobs, Reporter

_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SetProblem:
    """What is wrong with a set."""

    folder: str
    problem: str


def verify_stored(blobs: Blobs, manifest: Manifest, parts: Sequence[StoredPart], reporter: Reporter) -> None:
    """Read every stored byte of the parts. Raises Corrupt naming the first blob that is not as signed."""
    where = set_folder(manifest.klass, manifest.set)
    reporter.phase("Verifying stored bytes", sum(part.stored_bytes for part in parts))
    for part in parts:
        for chunk in stream_verified(blobs, where + part.blob, part.stored_bytes, part.sha256):
            reporter.advance(len(chunk))


def verify_key(
    blobs: Blobs, manifest: Manifest, parts: Sequence[StoredPart], identities: Sequence[Identity]
) -> None:
    """Raises Corrupt naming the first blob that none of the identities opens."""
    where = set_folder(manifest.klass, manifest.set)
    for part in parts:
        name = where + part.blob
        stream = stream_stored(blobs, name, chunk_bytes=_HEADER_BYTES)
        # The first chunk of plaintext proves the key; closing the stream downloads no more.
        plain = age.decrypt(stream, identities, name=name)
        next(plain, None)
        plain.close()  # type: ignore[attr-defined]


def verify_content(
    blobs: Blobs, manifest: Manifest, identities: Sequence[Identity], reporter: Reporter
) -> None:
    """Decrypt, decompress and parse every part, and compare every namespace's tally with the manifest.

    Raises Corrupt naming the blob, or the namespace whose sums do not agree.
    """
    where = set_folder(manifest.klass, manifest.set)
    sums: dict[tuple[str, str], Tally] = defaultdict(Tally)
    reporter.phase("Verifying content", sum(part.plain_bytes for part in manifest.parts))
    for part in manifest.parts:
        name = where + part.blob
        stream = stream_verified(blobs, name, part.stored_bytes, part.sha256)
        for event in ArchiveReader(read_part(stream, identities, name=name), name=name):
            if isinstance(event, DocumentBatch):
                sums[event.db, event.collection] += tally_documents(event.batch)
                reporter.advance(len(event.batch))
    log = manifest.oplog
    expected = {
        (h.db, h.collection): (h.documents, h.data_bytes, h.content_hash) for h in manifest.namespaces
    }
    expected[OPLOG] = (log.entries, log.data_bytes, log.content_hash)
    for key, entry in expected.items():
        actual = sums.pop(key, Tally())
        if (actual.documents, actual.data_bytes, f"{actual.content_hash:032x}") != entry:
            raise Corrupt(f"{'.'.join(key)} in {where} differs from the manifest")
    if sums:
        raise Corrupt(f"{where} holds a namespace that its manifest does not name", value=".".join(min(sums)))


def verify_chain(
    blobs: Blobs, trusted: Sequence[str], *, retained_since: Mapping[str, datetime] | None = None
) -> list[SetProblem]:
    """The problems of all sealed sets' signatures and links to the set before, oldest first.

    A link to a set that was changed is a problem, as are two sets that follow the same one, and a set that
    is missing although it is younger than what policy keeps (`retained_since`: for each class the time
    since which all sets must exist). A link to a set that may have expired is none.
    """
    problems: dict[str, str] = {}
    checked: dict[str, VerifiedManifest] = {}
    sealed = [s for s in list_sets(blobs) if s.state == "sealed"]
    for info in sealed:
        try:
            checked[info.folder] = read_manifest(blobs, info, trusted)
        except GroundcrewError as error:
            problems[info.folder] = str(error)
    followers: dict[str, str] = {}
    for where, current in checked.items():
        if problem := _link_problem(where, current, checked, followers, retained_since or {}):
            problems[where] = problem
    return [SetProblem(info.folder, problems[info.folder]) for info in sealed if info.folder in problems]


def _link_problem(
    where: str,
    current: VerifiedManifest,
    checked: Mapping[str, VerifiedManifest],
    followers: dict[str, str],
    retained_since: Mapping[str, datetime],
) -> str:
    """What is wrong with a set's link to the set before; empty if nothing is."""
    previous = current.manifest.previous
    if previous is None:
        return ""
    before = set_folder(previous.klass, previous.set)
    other = followers.setdefault(before, where)
    if before in checked and checked[before].sha256 != previous.sha256:
        return f"the chain is broken: {before} is not the version that {where} follows"
    if other != where:
        return f"the chain is broken: {other} and {where} both follow {before}"
    since = retained_since.get(previous.klass)
    if before not in checked and since is not None and parse_set_id(previous.set) >= since:
        return (
            f"the chain is broken: {where} follows {before}, which is missing although policy still keeps it"
        )
    return ""
