"""Verifying sets without restoring them: signatures, chain, stored bytes, and with a key all documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.backup.archives import open_archive
from shared.backup.catalogue import CatalogueEntry, SetCatalogue, SetState
from shared.backup.sets import MANIFEST, parse_set_id, stream_stored, stream_verified
from shared.formats import age
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import DocumentBatch
from shared.formats.backupset import Manifest, StoredPart, set_folder
from shared.formats.cluster_state import MAX_BYTES, ClusterState, decode_state
from shared.formats.documents import Tally, tally_documents
from shared.formats.envelope import read_part
from shared.formats.extra_parts import CLUSTER_STATE, ExtraPart
from shared.formats.manifest import VerifiedManifest
from shared.kernel.errors import Corrupt
from shared.kernel.ports import Blobs, Reporter

if TYPE_CHECKING:
    from shared.policy import Retention

_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SetProblem:
    """What is wrong with a set."""

    folder: str  # empty for one that is not stored
    problem: str


def verify_stored(
    blobs: Blobs, manifest: Manifest, parts: Sequence[StoredPart | ExtraPart], reporter: Reporter
) -> None:
    """Read every stored byte of the parts. Raises Corrupt naming the first blob that is not as signed."""
    where = set_folder(manifest.klass, manifest.set)
    reporter.phase("Verifying stored bytes", sum(part.stored_bytes for part in parts))
    for part in parts:
        # To the end: the hash is only known there, and a sample would miss the byte that is wrong.
        for chunk in stream_verified(blobs, where + part.blob, part.stored_bytes, part.sha256):
            reporter.advance(len(chunk))


def verify_key(
    blobs: Blobs, manifest: Manifest, parts: Sequence[StoredPart | ExtraPart], identities: Sequence[Identity]
) -> None:
    """Raises Corrupt naming the first blob that none of the identities opens."""
    where = set_folder(manifest.klass, manifest.set)
    for part in parts:
        name = where + part.blob
        stream = stream_stored(blobs, name, chunk_bytes=_HEADER_BYTES)
        # The first chunk of plaintext proves the key; closing the stream downloads no more.
        decrypted = age.decrypt(stream, identities, name=name)
        next(decrypted, None)
        decrypted.close()  # type: ignore[attr-defined]


def verify_content(
    blobs: Blobs, manifest: Manifest, identities: Sequence[Identity], reporter: Reporter
) -> None:
    """Decrypt, decompress and parse every part, and compare every namespace with the manifest: what the
    archives announce, and the tally of its documents.

    Raises Corrupt naming the blob, or the namespace whose sums do not agree.
    """
    where = set_folder(manifest.klass, manifest.set)
    sums: dict[tuple[str, str], Tally] = defaultdict(Tally)
    reporter.phase("Verifying content", sum(part.plain_bytes for part in manifest.parts))
    for part in manifest.parts:
        for event in open_archive(blobs, manifest, part, identities):
            if isinstance(event, DocumentBatch):
                sums[event.db, event.collection] += tally_documents(event.batch)
                reporter.advance(len(event.batch))
    log = manifest.oplog
    expected = {
        (h.db, h.collection): (h.documents, h.data_bytes, h.content_hash) for h in manifest.namespaces
    }
    # The oplog is part of the set: without it no dump of a running server is consistent.
    expected[OPLOG] = (log.entries, log.data_bytes, log.content_hash)
    for key, entry in expected.items():
        # Of an empty collection nothing is in the archive, which is what it should be.
        actual = sums.pop(key, Tally())
        if (actual.documents, actual.data_bytes, f"{actual.content_hash:032x}") != entry:
            raise Corrupt(f"{'.'.join(key)} in {where} differs from the manifest")
    if sums:
        raise Corrupt(f"{where} holds a namespace that its manifest does not name", value=".".join(min(sums)))
    for extra in manifest.extra_parts:
        if extra.kind == CLUSTER_STATE:
            read_state_part(blobs, manifest, extra, identities)
        else:
            reporter.note(
                f"{where}{extra.blob}: this version does not know parts of the kind {extra.kind}: its stored"
                " bytes are verified, its content is not read"
            )


def read_state_part(
    blobs: Blobs, manifest: Manifest, extra: ExtraPart, identities: Sequence[Identity]
) -> ClusterState:
    """The cluster's state of a set: every byte verified, decrypted, and compared with what the manifest says.

    Raises Corrupt naming the blob.
    """
    name = set_folder(manifest.klass, manifest.set) + extra.blob
    stream = stream_verified(blobs, name, extra.stored_bytes, extra.sha256)
    data = bytearray()
    for chunk in read_part(stream, identities, name=name):
        data += chunk
        # Compressed bytes may unfold to anything; more than the signed size is not what was written.
        if len(data) > min(extra.plain_bytes, MAX_BYTES):
            raise Corrupt(f"{name} is longer than its manifest says", value=f"over {extra.plain_bytes} bytes")
    state = decode_state(bytes(data), name=name)
    if state.set != f"{manifest.klass}/{manifest.set}":
        raise Corrupt(f"{name} belongs to another set", value=state.set)
    if (state.contents, state.unread) != (extra.contents, extra.unread):
        raise Corrupt(f"{name} holds something else than its manifest says")
    return state


def verify_chain(
    catalogue: SetCatalogue, entries: Sequence[CatalogueEntry], retained_since: Mapping[str, datetime]
) -> list[SetProblem]:
    """What is wrong with the sets as a whole: their signatures, their chain, and the seal log.

    `entries` are all sets, oldest first; `retained_since` says for each class since when policy keeps all.
    A link to a set that was changed is a problem, as are two sets that follow the same one, a set that
    is missing although policy keeps it, and one whose manifest is not signed by a trusted signer. A link to a
    set that may have expired is none, nor is a folder without a manifest in which others put something.
    """
    problems = [SetProblem(e.info.folder, e.problem) for e in entries if _is_problem(e, retained_since)]
    manifests = {e.info.folder: e.verified for e in entries if e.verified is not None}
    followers: dict[str, str] = {}
    for where, verified in manifests.items():
        if problem := _link_problem(where, verified, manifests, followers, retained_since):
            problems.append(SetProblem(where, problem))
    problems += [SetProblem("", problem) for problem in catalogue.missing(retained_since)]
    return problems


def _is_problem(entry: CatalogueEntry, retained_since: Mapping[str, datetime]) -> bool:
    """Whether a set that is not good is one that should be."""
    if MANIFEST in entry.info.files:
        return entry.state not in (SetState.SEALED, SetState.FAILED)
    # Of a set that expires the manifest may go first.
    since = retained_since.get(entry.info.klass)
    return entry.state is SetState.DAMAGED and (since is None or entry.info.created >= since)


def _link_problem(
    where: str,
    current: VerifiedManifest,
    good: Mapping[str, VerifiedManifest],
    followers: dict[str, str],
    retained_since: Mapping[str, datetime],
) -> str:
    """What is wrong with a set's link to the set before; empty if nothing is."""
    previous = current.manifest.previous
    if previous is None:
        return ""
    before = set_folder(previous.klass, previous.set)
    # Two that follow one: somebody put a set in between, or two installations share the storage.
    other = followers.setdefault(before, where)
    if before in good and good[before].sha256 != previous.sha256:
        return f"the chain is broken: {before} is not the version that {where} follows"
    if other != where:
        return f"the chain is broken: {other} and {where} both follow {before}"
    since = retained_since.get(previous.klass)
    if before not in good and since is not None and parse_set_id(previous.set) >= since:
        return (
            f"the chain is broken: {where} follows {before}, which is missing although policy still keeps it"
        )
    return ""


def retention_start(rules: Retention, now: datetime) -> dict[str, datetime]:
    """For each class since when policy keeps all of its sets.

    A day less, since lifecycle rules run once a day and at their own time.
    """
    return {klass: now - age + timedelta(days=1) for klass, age in rules.ages.items()}
