"""The steps of a restore that write, in their order, and the comparisons between them.

Documents are compared before the replay, since the dump is fuzzy and only the replay brings it to one point
in time; and before the indexes, since a TTL index deletes and a unique one refuses what the replay would
correct.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from threading import Event

from shared.formats.backupset import NamespaceEntry
from shared.formats.documents import Tally
from shared.kernel.errors import GroundcrewError, Refused, Unavailable
from shared.mongodb.indexes import apply_index_changes
from shared.mongodb.metadata import parse_metadata
from shared.mongodb.model import Namespace, Timestamp
from shared.mongodb.oplog import skip_torn_start, unpack_operations
from shared.restore.compare import (
    build_verdict,
    compare_documents,
    compare_gaps,
    compare_indexes,
    compare_options,
    list_dropped_options,
    list_restored_buckets,
)
from shared.restore.decide import describe_outside, select_replay
from shared.restore.deps import RestoreDeps
from shared.restore.duplicates import find_reinserted
from shared.restore.erasure_ledger import erase_again
from shared.restore.journal import JournalWriter
from shared.restore.load import DocumentLoader, PartReader
from shared.restore.model import RestoreResult
from shared.restore.parallel import run_parallel
from shared.restore.read_back import read_back, tally_collection
from shared.restore.users import restore_users


class RestoreRun:
    """One restore, step by step; what it finds goes into the result."""

    def __init__(
        self,
        deps: RestoreDeps,
        result: RestoreResult,
        journal: JournalWriter,
        resumed: Mapping[str, Namespace],
    ) -> None:
        """`resumed` are the collections and views of the target that an earlier run created."""
        self._result, self._journal, self._resumed = result, journal, resumed
        self._jobs, self._stop = deps.jobs, Event()
        self._complete: set[str] = set()  # what an earlier run restored, and is equal
        self._users_basis: dict[str, str] = {}  # of users and roles that were not simply restored
        self._writes_users, self._tail = deps.writes_users, deps.tail
        self.step = "starting"
        self._target, self._reporter = deps.target, deps.reporter
        self._plan, self._manifest = result.plan, result.manifest
        self._reader = PartReader(deps, result.manifest)
        self._loader = DocumentLoader(deps, result.plan, self._reader)
        self._differences: dict[str, list[str]] = {name: [] for name in sorted(result.plan.selected)}
        self._unequal: set[str] = set()  # namespaces whose documents differ from the backup
        self._indexes: dict[str, list[Mapping[str, object]]] = {}
        self._gaps_before: dict[str, list[str]] = {}

    def execute_steps(self) -> None:
        """Write and compare everything. Raises Corrupt, Unavailable."""
        steps = (
            ("creating collections", self._create_collections),
            ("restoring documents", lambda: self._loader.load_documents(self._complete)),
            ("verifying documents", self._compare_collections),
            ("replaying the oplog", self._replay_oplog),
            ("building indexes", self._build_indexes),
            ("checking files", self._check_files),
            ("restoring users", self._restore_users),
            # Last: everything was compared with the backup as it is.
            ("deleting what was erased", self._erase_again),
        )
        for self.step, act in steps:
            act()
        self._build_verdicts()

    def describe_interruption(self) -> str:
        """What the target holds after a failure, and how to go on."""
        count = len(self._journal.journal.created)
        return (
            f"interrupted while {self.step}: the target holds {count} of {len(self._plan.selected)}"
            " collections and views of the set, not all of them complete."
            " Go on with the same command and --resume, or drop them."
        )

    def _create_collections(self) -> None:
        self._reporter.phase("Creating collections", len(self._plan.collections) + len(self._plan.views))
        for entry in (*self._plan.collections, *self._plan.views):
            options, indexes = parse_metadata(entry.metadata)
            if entry.kind != "view":
                self._indexes[entry.name] = [*indexes]
            # Into the journal before the next one: --resume only ever drops what this restore created.
            if not self._keep_earlier(entry):
                created = Namespace(entry.db, entry.collection, entry.kind, options=options)
                self._journal.add_created(entry.name, self._target.create_collection(created))
            self._reporter.advance(1)

    def _keep_earlier(self, entry: NamespaceEntry) -> bool:
        """Whether an earlier run restored it and it is equal; else it is dropped, to be restored again."""
        namespace = self._resumed.get(entry.name)
        if namespace is None:
            return False
        equal = not compare_options(parse_metadata(entry.metadata)[0], namespace.options)
        if equal and entry.kind != "view":
            # Once the replay has begun, the documents are no longer those of the manifest.
            equal = not self._journal.journal.replaying and not compare_documents(
                entry, tally_collection(self._target, namespace)
            )
        if equal:
            self._complete.add(entry.name)
        elif entry.kind == "timeseries":
            hint = (
                f"Drop it yourself: db.getSiblingDB('{entry.db}').getCollection('{entry.collection}').drop()"
            )
            # Without a uuid it cannot be told from a collection that somebody else made under that name
            # meanwhile.
            raise Refused(f"{entry.name} is incomplete, and a time series has no uuid", hint=hint)
        else:
            self._target.drop_collection(namespace)
        return equal

    def _compare_collections(self) -> None:
        """Read everything back and compare it with the manifest."""
        entries = [e for e in (*self._plan.collections, *self._plan.views) if e.name not in self._complete]
        self._reporter.phase("Verifying documents", sum(e.data_bytes for e in entries))
        reinserted = self._find_reinserted()
        existing = {n.name: n for n in self._target.list_namespaces()}

        def compare_entry(entry: NamespaceEntry) -> None:
            self._compare_entry(entry, existing.get(entry.name), reinserted.get(entry.name, set()))

        run_parallel(compare_entry, entries, self._jobs, self._stop)
        # Before the replay, where the files are as the dump has them: what lacks chunks here did so in the
        # source.
        self._gaps_before = self._find_gaps()

    def _compare_entry(
        self, entry: NamespaceEntry, namespace: Namespace | None, reinserted: set[Hashable]
    ) -> None:
        differences = self._differences[entry.name]
        if namespace is None:
            differences.append("it does not exist in the target")
            self._unequal.add(entry.name)
            return
        differences += compare_options(parse_metadata(entry.metadata)[0], namespace.options)
        if entry.kind != "view" and (unequal := self._compare_documents(entry, namespace, reinserted)):
            differences += [*unequal, "its oplog entries were not replayed"]
            self._unequal.add(entry.name)

    def _find_reinserted(self) -> dict[str, set[Hashable]]:
        """The window is read for this only if the target refused duplicates."""
        if not self._loader.duplicates:
            return {}
        return find_reinserted(unpack_operations(self._read_oplog()), self._loader.duplicates)

    def _compare_documents(
        self, entry: NamespaceEntry, namespace: Namespace, reinserted: set[Hashable]
    ) -> list[str]:
        name, tail, refused = entry.name, self._loader.capped.get(entry.name), Tally()
        stored, order = read_back(self._target, self._reporter, namespace, ordered=tail is not None)
        differences = list(self._loader.refusals.get(name, ()))
        if duplicates := self._loader.duplicates.get(name):
            refused = duplicates.tally
            if stray := len(duplicates.ids - reinserted):
                differences.append(
                    f"{stray} documents occur twice in the backup, and its oplog does not say why"
                )
        # A capped collection drops its oldest documents while it is filled: what is left must be the newest,
        # in order.
        if tail and not duplicates and stored.documents < entry.documents:
            return differences + tail.compare(order)
        differences += compare_documents(entry, stored + refused)
        if refused.documents and not differences:
            self._result.notes.append(
                f"{name}: {refused.documents} documents were inserted anew while they were dumped;"
                " the replay decides which version stays"
            )
        return differences

    def _replay_oplog(self) -> None:
        self._reporter.phase("Replaying the oplog", self._manifest.oplog.data_bytes)
        # Before the first entry: after it the documents are no longer those of the manifest, and a resumed
        # restore must not compare them with it.
        self._journal.begin_replay()
        # What differs from the backup is left as it is: entries on top would hide the difference.
        scope = select_replay(self._manifest, self._plan, self._unequal)
        try:
            replay = self._target.replay_oplog(self._report_entries(self._read_all_entries()), scope=scope)
        except Unavailable:
            raise  # nothing after it would succeed either, and the restore can be resumed
        except GroundcrewError as error:
            self._result.problems.append(f"oplog replay failed: {error}")
            return
        self._result.replayed = replay.applied
        # Indexes that were made or dropped during the dump are in the oplog only.
        self._indexes = apply_index_changes(self._indexes, replay.index_changes)
        differences, notes = describe_outside(scope, replay.outside)
        for name, difference in differences.items():
            self._differences.setdefault(name, []).append(difference)
        self._result.notes += notes

    def _read_all_entries(self) -> Iterator[bytes]:
        """The set's oplog and, if a moment is wanted, what was captured after it."""
        own = self._read_oplog()
        return self._tail.join_entries(own) if self._tail else own

    def _read_oplog(self) -> Iterator[bytes]:
        start = Timestamp.parse(self._manifest.oplog.start)
        return skip_torn_start(self._reader.read_oplog(self._plan.oplog), start)

    def _report_entries(self, entries: Iterator[bytes]) -> Iterator[bytes]:
        for entry in entries:
            yield entry
            self._reporter.advance(len(entry))

    def _build_indexes(self) -> None:
        self._reporter.phase("Building indexes", len(self._indexes))
        refused: dict[str, list[str]] = {}

        def build(name: str) -> None:
            db, _, collection = name.partition(".")
            refused[name] = self._target.create_indexes(db, collection, list(self._indexes[name]))
            self._reporter.advance(1)

        run_parallel(build, list(self._indexes), self._jobs, self._stop)
        existing = {n.name: n for n in self._target.list_namespaces()}
        for name, indexes in self._indexes.items():
            actual = existing[name].indexes if name in existing else ()
            differences = self._differences.setdefault(name, [])
            differences += compare_indexes(indexes, actual, refused[name])
            self._result.notes += [f"{name}: {text}" for text in list_dropped_options(indexes, actual)]

    def _find_gaps(self) -> dict[str, list[str]]:
        """Files that lack chunks, by `.files` collection, of the buckets that were restored whole."""
        return {
            f"{name}.files": self._target.find_gridfs_gaps(*name.split(".", 1))
            for name in list_restored_buckets(self._indexes)
        }

    def _check_files(self) -> None:
        """A file that lacks chunks after the replay counts, unless it did so in the source too."""
        for files, gaps in self._find_gaps().items():
            # A gap from before excuses one after only if both collections came out of the backup as they
            # were.
            intact = self._unequal.isdisjoint({files, files.removesuffix("files") + "chunks"})
            before = self._gaps_before.get(files, []) if intact else []
            differences, notes = compare_gaps(files, before, gaps)
            self._differences.setdefault(files, []).extend(differences)
            self._result.notes += notes

    def _restore_users(self) -> None:
        users = restore_users(self._target, self._reader, self._plan, write=self._writes_users)
        self._result.problems += users.problems
        self._result.notes += users.notes
        self._users_basis = users.basis
        for name, differences in users.differences.items():
            self._differences.setdefault(name, []).extend(differences)

    def _erase_again(self) -> None:
        ledger = self._result.ledger
        if ledger.entries:
            self._reporter.phase("Deleting what was erased", len(ledger.entries))
            # What the replay created too, but nothing that the target held before.
            self._result.erased = erase_again(self._target, ledger, set(self._indexes))
            self._reporter.advance(len(ledger.entries))
            self._result.notes.append(self._result.erased.describe())
        elif ledger.reason:
            self._result.notes.append(ledger.describe())

    def _build_verdicts(self) -> None:
        entries = {h.name: h for h in self._manifest.namespaces}
        self._result.verdicts = [
            build_verdict(name, entries.get(name), differences, self._users_basis.get(name, "restored"))
            for name, differences in sorted(self._differences.items())
        ]
