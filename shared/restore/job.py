"""The restore: check everything that is stored, write, verify, replay the oplog, index, verify again.

The order matters. Nothing is written before every stored byte was checked. Documents are compared before
the replay, since the dump is fuzzy and only the replay makes it a moment in time; and before the indexes,
since a TTL index deletes and a unique one refuses what the replay would have put right.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.backup import sets, verify
from shared.formats.agekeys import Identity
from shared.formats.archive import OPLOG
from shared.formats.archive_reader import ArchiveReader, Documents
from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart, set_folder
from shared.formats.documents import Tally, split, tally
from shared.formats.envelope import read_part
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.ports import Blobs, Reporter
from shared.mongodb.metadata import from_json
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.oplog import final_indexes
from shared.mongodb.ports import TargetDatabase
from shared.restore import decide as core
from shared.restore.decide import RestorePlan, Verdict

log = logging.getLogger(__name__)

_WHOLE = IdRange()


@dataclass(frozen=True)
class Restore:
    """What a restore needs: a laptop with a SAS and the key is enough."""

    backups: Blobs
    target: TargetDatabase
    identities: Sequence[Identity]
    trusted: Sequence[str]
    reporter: Reporter


@dataclass
class Outcome:
    """What was done and found. `good` only if every namespace is equal and nothing was refused."""

    manifest: Manifest
    signer: str
    plan: RestorePlan
    verdicts: list[Verdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    replayed: int = 0
    written: bool = False

    @property
    def good(self) -> bool:
        """Whether this backup is proven."""
        compared = any(v.how == "compared" for v in self.verdicts)
        return self.written and compared and not self.problems and all(v.equal for v in self.verdicts)


def run(
    restore: Restore,
    reference: str,
    *,
    only: Collection[str] = (),
    dry_run: bool = False,
    into_non_empty: bool = False,
) -> Outcome:
    """Restore a set into the target and prove it.

    Raises Corrupt, Refused, NotFound or UsageError before a byte is written; afterwards differences are
    in the outcome, and only a failure of the outside systems raises.
    """
    info = sets.find_set(restore.backups, reference)
    checked = sets.read_manifest(restore.backups, info, restore.trusted)
    manifest = checked.manifest
    target = restore.target
    plan = core.plan_restore(
        manifest, only, target.namespaces(), target.hosts(), into_non_empty=into_non_empty
    )
    outcome = Outcome(manifest, checked.signer, plan)
    if not restore.identities and not dry_run:
        raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")
    if restore.identities:
        verify.verify_key(restore.backups, manifest, plan.parts, restore.identities)
    if dry_run:
        return outcome
    verify.verify_stored(restore.backups, manifest, plan.parts, restore.reporter)
    log.info("restore.begin", extra={"set": info.folder, "namespaces": len(plan.wanted)})
    outcome.written = True
    _Restoring(restore, outcome).run()
    log.info("restore.end", extra={"set": info.folder, "good": outcome.good})
    return outcome


class _Restoring:
    """The steps that write, in their order."""

    def __init__(self, restore: Restore, outcome: Outcome) -> None:
        self._restore, self._outcome = restore, outcome
        self._target, self._report = restore.target, restore.reporter
        self._plan, self._manifest = outcome.plan, outcome.manifest
        self._differences: dict[str, list[str]] = {name: [] for name in sorted(outcome.plan.wanted)}
        self._indexes: dict[str, list[Mapping[str, object]]] = {}

    def run(self) -> None:
        self._create()
        self._insert()
        self._compare()
        if not any(self._differences.values()):
            self._replay()
        else:
            self._outcome.problems.append("the oplog was not replayed, since the documents differ")
        self._index()
        self._users()
        self._conclude()

    def _create(self) -> None:
        self._report.phase("Creating collections", len(self._plan.collections) + len(self._plan.views))
        for held in (*self._plan.collections, *self._plan.views):
            options, indexes = from_json(held.metadata)
            self._target.create(Namespace(held.db, held.collection, held.kind, options=options))
            if held.kind != "view":
                self._indexes[held.name] = [*indexes]
            self._report.advance(1)

    def _insert(self) -> None:
        wanted = {h.name for h in self._plan.collections}
        total = sum(h.data_bytes for h in self._plan.collections)
        self._report.phase("Restoring documents", total)
        for part in self._plan.parts:
            if not wanted & set(part.namespaces):
                continue
            for event in self._events(part):
                if isinstance(event, Documents) and f"{event.db}.{event.collection}" in wanted:
                    self._write(event)

    def _write(self, event: Documents) -> None:
        result = self._target.insert(event.db, event.collection, list(split(event.batch)))
        self._report.advance(len(event.batch))
        if result.failures:
            reasons = self._differences[f"{event.db}.{event.collection}"]
            reasons += [f"not inserted: {failure}" for failure in result.failures[: max(0, 5 - len(reasons))]]

    def _events(self, part: StoredPart) -> Iterator[object]:
        name = set_folder(self._manifest.klass, self._manifest.set) + part.blob
        stored = sets.stream_verified(self._restore.backups, name, part.stored_bytes, part.sha256)
        return iter(ArchiveReader(read_part(stored, self._restore.identities, name=name), name=name))

    def _compare(self) -> None:
        """Read everything back and compare it with the manifest."""
        self._report.phase("Verifying documents", sum(h.data_bytes for h in self._plan.collections))
        there = {n.name: n for n in self._target.namespaces()}
        for held in (*self._plan.collections, *self._plan.views):
            found = there.get(held.name)
            if found is None:
                self._differences[held.name].append("it is not there")
                continue
            reasons = self._differences[held.name]
            reasons += core.judge_options(from_json(held.metadata)[0], found.options)
            if held.kind != "view":
                reasons += core.judge_documents(held, self._tally(found))

    def _tally(self, namespace: Namespace) -> Tally:
        total = Tally()
        for batch in self._target.batches(namespace, _WHOLE):
            total += tally(batch)
            self._report.advance(len(batch))
        return total

    def _replay(self) -> None:
        self._report.phase("Replaying the oplog", self._manifest.oplog.data_bytes)
        try:
            replayed = self._target.replay(self._oplog(self._plan.oplog), wanted=self._wants)
        except GroundcrewError as error:
            self._outcome.problems.append(f"the replay of the oplog failed: {error}")
            return
        self._outcome.replayed = replayed.applied
        self._indexes = final_indexes(self._indexes, replayed.index_changes)

    def _wants(self, name: str) -> bool:
        """What the set holds and what was born meanwhile; never what policy left out, which has no base."""
        if len(self._plan.wanted) < len(self._manifest.namespaces):
            return name in self._plan.wanted
        return name not in self._manifest.excluded

    def _oplog(self, part: StoredPart) -> Iterator[bytes]:
        for event in self._events(part):
            if isinstance(event, Documents) and (event.db, event.collection) == OPLOG:
                yield from split(event.batch)
                self._report.advance(len(event.batch))

    def _index(self) -> None:
        """Build and compare the indexes; check that files have all their chunks."""
        self._report.phase("Building indexes", len(self._indexes))
        refused: dict[str, list[str]] = {}
        for name, indexes in self._indexes.items():
            db, _, collection = name.partition(".")
            refused[name] = self._target.create_indexes(db, collection, list(indexes))
            self._report.advance(1)
        there = {n.name: n for n in self._target.namespaces()}
        for name, indexes in self._indexes.items():
            found = there[name].indexes if name in there else ()
            reasons = self._differences.setdefault(name, [])
            reasons += core.judge_indexes(indexes, found, refused[name])
        for db, collection in _buckets(there):
            gaps = self._target.gridfs_gaps(db, collection)
            self._differences.setdefault(f"{db}.{collection}.files", []).extend(gaps)

    def _users(self) -> None:
        wanted = {h.collection: h for h in self._plan.users}
        for part in self._plan.parts:
            if not wanted.keys() & {name.partition(".")[2] for name in part.namespaces}:
                continue
            for event in self._events(part):
                if isinstance(event, Documents) and event.db == "admin" and event.collection in wanted:
                    kind = event.collection.removeprefix("system.")
                    self._outcome.problems += self._target.restore_users(kind, list(split(event.batch)))

    def _conclude(self) -> None:
        held = {h.name: h for h in self._manifest.namespaces}
        empty = NamespaceEntry("", "", "", "", "", 0, 0, "")
        self._outcome.verdicts = [
            Verdict(
                name,
                held.get(name, empty).documents,
                held.get(name, empty).data_bytes,
                tuple(reasons),
                "restored" if name in core.AUTH else "compared" if name in held else "from the oplog",
            )
            for name, reasons in sorted(self._differences.items())
        ]


def _buckets(there: Mapping[str, Namespace]) -> list[tuple[str, str]]:
    """The GridFS buckets: collections that come as `.files` and `.chunks`."""
    return [
        (n.db, n.collection.removesuffix(".files"))
        for n in there.values()
        if n.collection.endswith(".files") and n.name.removesuffix("files") + "chunks" in there
    ]
