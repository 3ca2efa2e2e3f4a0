"""What a restore plans, and what it found. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart
from shared.restore.erasures import ErasedAgain, LedgerReading
from shared.restore.estimate import RestoreEstimate

AUTH_NAMESPACES = ("admin.system.users", "admin.system.roles", "admin.system.version")


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be written, from which parts, and why that is allowed."""

    collections: tuple[NamespaceEntry, ...]
    views: tuple[NamespaceEntry, ...]
    users: tuple[NamespaceEntry, ...]
    parts: tuple[StoredPart, ...]
    oplog: StoredPart  # the part that holds it
    reasons: tuple[str, ...]
    existing: frozenset[str] = frozenset()  # what the target held before, by name

    @property
    def selected(self) -> frozenset[str]:
        """The names of all namespaces that are restored."""
        return frozenset(h.name for h in (*self.collections, *self.views, *self.users))

    @property
    def stored_bytes(self) -> int:
        """Bytes that are downloaded to be checked, and again to be restored."""
        return sum(part.stored_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class NamespaceVerdict:
    """Whether a restored namespace equals the backup; `differences` holds every difference.

    `basis` says what was looked at: `compared` with the manifest, `restored` (users, whose hashes the
    server does not show), `not restored` (users, on a server that has no way to take them), `read` (users in
    a drill, compared with the manifest as they were read and not written), or `from the oplog` for what was
    created during the dump.
    """

    name: str
    documents: int
    data_bytes: int
    differences: tuple[str, ...] = ()
    basis: str = "compared"

    @property
    def equal(self) -> bool:
        """No difference was found."""
        return not self.differences


@dataclass
class RestoreResult:
    """What was restored and how it compares with the backup.

    `problems` keep the set from being proven, `notes` do not. `written` says whether the target was changed,
    `replayed` how many oplog entries were applied. `estimate` was made before anything was done.
    `ledger` is what was erased on purpose, `erased` what of it was in the backup and was deleted again.
    """

    manifest: Manifest
    signer: str
    plan: RestorePlan
    estimate: RestoreEstimate
    ledger: LedgerReading = field(default_factory=LedgerReading)
    erased: ErasedAgain = field(default_factory=ErasedAgain)
    verdicts: list[NamespaceVerdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    replayed: int = 0
    written: bool = False

    @property
    def proven(self) -> bool:
        """Every namespace is equal and nothing was refused, so this backup is known to restore."""
        compared = any(v.basis == "compared" for v in self.verdicts)
        return self.written and compared and not self.problems and all(v.equal for v in self.verdicts)
