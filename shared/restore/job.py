"""The restore: check every stored byte, write, compare, replay the oplog, build indexes, compare those.

The order matters. Nothing is written before every stored byte was checked. Documents are compared before
the replay, since the dump is fuzzy and only the replay brings it to one point in time; and before the
indexes, since a TTL index deletes and a unique one refuses what the replay would correct.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.backup import sets, verify
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart, set_folder
from shared.formats.documents import Tally, split_documents, tally_documents
from shared.formats.envelope import read_part
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.ports import Blobs, Reporter
from shared.mongodb.indexes import apply_index_changes
from shared.mongodb.metadata import parse_metadata
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.ports import TargetDatabase
from shared.restore.decide import (
    AUTH_NAMESPACES,
    NamespaceVerdict,
    RestorePlan,
    compare_documents,
    compare_indexes,
    compare_options,
    plan_restore,
)

log = logging.getLogger(__name__)

_WHOLE_COLLECTION = IdRange()


@dataclass(frozen=True)
class RestoreDeps:
    """What a restore needs: a laptop with a SAS and the key is enough.

    `trusted` are the signers whose manifests are accepted; empty accepts any signer.
    """

    backups: Blobs
    target: TargetDatabase
    identities: Sequence[Identity]
    trusted: Sequence[str]
    reporter: Reporter


@dataclass
class RestoreResult:
    """What was restored and how it compares with the backup.

    `written` says whether the target was changed, `replayed` how many oplog entries were applied.
    """

    manifest: Manifest
    signer: str
    plan: RestorePlan
    verdicts: list[NamespaceVerdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    replayed: int = 0
    written: bool = False

    @property
    def proven(self) -> bool:
        """Every namespace is equal and nothing was refused, so this backup is known to restore."""
        compared = any(v.basis == "compared" for v in self.verdicts)
        return self.written and compared and not self.problems and all(v.equal for v in self.verdicts)


def restore_set(
    deps: RestoreDeps,
    reference: str,
    *,
    only: Collection[str] = (),
    dry_run: bool = False,
    into_non_empty: bool = False,
) -> RestoreResult:
    """Restore a set into the target and compare the result with the manifest.

    Raises Corrupt, Refused, NotFound or UsageError before a byte is written; afterwards differences are
    in the result, and only a failure of the outside systems raises.
    """
    info = sets.find_set(deps.backups, reference)
    checked = sets.read_manifest(deps.backups, info, deps.trusted)
    manifest = checked.manifest
    target = deps.target
    plan = plan_restore(
        manifest, only, target.list_namespaces(), target.list_hosts(), into_non_empty=into_non_empty
    )
    result = RestoreResult(manifest, checked.signer, plan)
    if not deps.identities and not dry_run:
        raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")
    if deps.identities:
        verify.verify_key(deps.backups, manifest, plan.parts, deps.identities)
    if dry_run:
        return result
    verify.verify_stored(deps.backups, manifest, plan.parts, deps.reporter)
    log.info("restore.run_started", extra={"set": info.folder, "namespaces": len(plan.selected)})
    result.written = True
    _RestoreRun(deps, result).execute_steps()
    log.info("restore.run_finished", extra={"set": info.folder, "proven": result.proven})
    return result


class _RestoreRun:
    """The steps that write, in their order."""

    def __init__(self, deps: RestoreDeps, result: RestoreResult) -> None:
        self._deps, self._result = deps, result
        self._target, self._reporter = deps.target, deps.reporter
        self._plan, self._manifest = result.plan, result.manifest
        self._differences: dict[str, list[str]] = {name: [] for name in sorted(result.plan.selected)}
        self._indexes: dict[str, list[Mapping[str, object]]] = {}

    def execute_steps(self) -> None:
        self._create_collections()
        self._insert_documents()
        self._compare_collections()
        if not any(self._differences.values()):
            self._replay_oplog()
        else:
            self._result.problems.append("the oplog was not replayed: the documents differ")
        self._build_indexes()
        self._restore_users()
        self._build_verdicts()

    def _create_collections(self) -> None:
        self._reporter.phase("Creating collections", len(self._plan.collections) + len(self._plan.views))
        for entry in (*self._plan.collections, *self._plan.views):
            options, indexes = parse_metadata(entry.metadata)
            self._target.create_collection(Namespace(entry.db, entry.collection, entry.kind, options=options))
            if entry.kind != "view":
                self._indexes[entry.name] = [*indexes]
            self._reporter.advance(1)

    def _insert_documents(self) -> None:
        names = {h.name for h in self._plan.collections}
        total = sum(h.data_bytes for h in self._plan.collections)
        self._reporter.phase("Restoring documents", total)
        for part in self._plan.parts:
            if not names & set(part.namespaces):
                continue
            for event in self._read_events(part):
                if isinstance(event, DocumentBatch) and f"{event.db}.{event.collection}" in names:
                    self._insert_batch(event)

    def _insert_batch(self, event: DocumentBatch) -> None:
        documents = list(split_documents(event.batch))
        answer = self._target.insert_documents(event.db, event.collection, documents)
        self._reporter.advance(len(event.batch))
        if answer.failures:
            reasons = self._differences[f"{event.db}.{event.collection}"]
            limit = max(0, 5 - len(reasons))
            reasons += [f"not inserted: {failure}" for failure in answer.failures[:limit]]

    def _read_events(self, part: StoredPart) -> Iterator[object]:
        name = set_folder(self._manifest.klass, self._manifest.set) + part.blob
        stored = sets.stream_verified(self._deps.backups, name, part.stored_bytes, part.sha256)
        return iter(ArchiveReader(read_part(stored, self._deps.identities, name=name), name=name))

    def _compare_collections(self) -> None:
        """Read everything back and compare it with the manifest."""
        self._reporter.phase("Verifying documents", sum(h.data_bytes for h in self._plan.collections))
        existing = {n.name: n for n in self._target.list_namespaces()}
        for entry in (*self._plan.collections, *self._plan.views):
            namespace = existing.get(entry.name)
            if namespace is None:
                self._differences[entry.name].append("it does not exist in the target")
                continue
            differences = self._differences[entry.name]
            differences += compare_options(parse_metadata(entry.metadata)[0], namespace.options)
            if entry.kind != "view":
                differences += compare_documents(entry, self._tally_collection(namespace))

    def _tally_collection(self, namespace: Namespace) -> Tally:
        total = Tally()
        for batch in self._target.read_batches(namespace, _WHOLE_COLLECTION):
            total += tally_documents(batch)
            self._reporter.advance(len(batch))
        return total

    def _replay_oplog(self) -> None:
        self._reporter.phase("Replaying the oplog", self._manifest.oplog.data_bytes)
        try:
            replay = self._target.replay_oplog(self._read_oplog(self._plan.oplog), selects=self._selects)
        except GroundcrewError as error:
            self._result.problems.append(f"oplog replay failed: {error}")
            return
        self._result.replayed = replay.applied
        self._indexes = apply_index_changes(self._indexes, replay.index_changes)

    def _selects(self, name: str) -> bool:
        """What the set holds and what was created meanwhile; not what policy excludes: it has no base."""
        if len(self._plan.selected) < len(self._manifest.namespaces):
            return name in self._plan.selected
        return name not in self._manifest.excluded

    def _read_oplog(self, part: StoredPart) -> Iterator[bytes]:
        for event in self._read_events(part):
            if isinstance(event, DocumentBatch) and (event.db, event.collection) == OPLOG:
                yield from split_documents(event.batch)
                self._reporter.advance(len(event.batch))

    def _build_indexes(self) -> None:
        """Build and compare the indexes; check that files have all their chunks."""
        self._reporter.phase("Building indexes", len(self._indexes))
        refused: dict[str, list[str]] = {}
        for name, indexes in self._indexes.items():
            db, _, collection = name.partition(".")
            refused[name] = self._target.create_indexes(db, collection, list(indexes))
            self._reporter.advance(1)
        existing = {n.name: n for n in self._target.list_namespaces()}
        for name, indexes in self._indexes.items():
            actual = existing[name].indexes if name in existing else ()
            differences = self._differences.setdefault(name, [])
            differences += compare_indexes(indexes, actual, refused[name])
        for db, bucket in _gridfs_buckets(existing):
            gaps = self._target.find_gridfs_gaps(db, bucket)
            self._differences.setdefault(f"{db}.{bucket}.files", []).extend(gaps)

    def _restore_users(self) -> None:
        selected = {h.collection: h for h in self._plan.users}
        for part in self._plan.parts:
            if not selected.keys() & {name.partition(".")[2] for name in part.namespaces}:
                continue
            for event in self._read_events(part):
                if isinstance(event, DocumentBatch) and event.db == "admin" and event.collection in selected:
                    kind = event.collection.removeprefix("system.")
                    documents = list(split_documents(event.batch))
                    self._result.problems += self._target.restore_users(kind, documents)

    def _build_verdicts(self) -> None:
        entries = {h.name: h for h in self._manifest.namespaces}
        self._result.verdicts = [
            _verdict(name, entries.get(name), differences)
            for name, differences in sorted(self._differences.items())
        ]


def _verdict(name: str, entry: NamespaceEntry | None, differences: Sequence[str]) -> NamespaceVerdict:
    if entry is None:
        return NamespaceVerdict(name, 0, 0, tuple(differences), "from the oplog")
    basis = "restored" if name in AUTH_NAMESPACES else "compared"
    return NamespaceVerdict(name, entry.documents, entry.data_bytes, tuple(differences), basis)


def _gridfs_buckets(existing: Mapping[str, Namespace]) -> list[tuple[str, str]]:
    """The GridFS buckets (database, bucket): collections that come as `.files` and `.chunks`."""
    return [
        (n.db, n.collection.removesuffix(".files"))
        for n in existing.values()
        if n.collection.endswith(".files") and n.name.removesuffix("files") + "chunks" in existing
    ]
