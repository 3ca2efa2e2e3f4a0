"""Checking sets without restoring them: signatures, the chain, stored bytes, and with a key all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backup.sets import begun, list_sets, pinned, read_manifest, stored
from shared.formats import age
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, Documents
from shared.formats.backupset import Manifest, Stored, folder
from shared.formats.documents import Tally, tally
from shared.formats.envelope import open_part
from shared.formats.manifest import Checked
from shared.kernel.errors import Corrupt, GroundcrewError
from shared.kernel.ports import Blobs, Reporter

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


def check_chain(
    blobs: Blobs, trusted: Sequence[str], *, kept: Mapping[str, datetime] | None = None
) -> list[Finding]:
    """Every sealed set's signature and its link to the set before, oldest first.

    A link to a set that is there but was changed is a finding, as are two sets that follow the same one,
    and a set that is gone although it is younger than what policy keeps (`kept`: for each class the time
    from which on all must be there). A link to one that may have expired is in order.
    """
    problems: dict[str, str] = {}
    checked: dict[str, Checked] = {}
    sealed = [s for s in list_sets(blobs) if s.state == "sealed"]
    for info in sealed:
        try:
            checked[info.folder] = read_manifest(blobs, info, trusted)
        except GroundcrewError as error:
            problems[info.folder] = str(error)
    followers: dict[str, str] = {}
    for where, one in checked.items():
        if problem := _link(where, one, checked, followers, kept or {}):
            problems[where] = problem
    return [Finding(info.folder, problems.get(info.folder, "")) for info in sealed]


def _link(
    where: str,
    one: Checked,
    checked: Mapping[str, Checked],
    followers: dict[str, str],
    kept: Mapping[str, datetime],
) -> str:
    """What is wrong with the link of one set to the set before; empty if nothing is."""
    previous = one.manifest.previous
    if previous is None:
        return ""
    before = folder(previous.klass, previous.set)
    other = followers.setdefault(before, where)
    if before in checked and checked[before].sha256 != previous.sha256:
        return f"the chain is broken: {where} follows another {before} than the one that is there"
    if other != where:
        return f"the chain is broken: {other} and {where} both follow {before}"
    since = kept.get(previous.klass)
    if before not in checked and since is not None and begun(previous.set) >= since:
        return f"the chain is broken: {where} follows {before}, which is gone before its time"
    return ""
