"""What a restore needs of the outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.backup.catalogue import SetCatalogue
from shared.formats.agekeys import Identity
from shared.kernel.ports import Blobs, Clock, Reporter
from shared.mongodb.ports import TargetDatabase
from shared.pitr.tail import OplogTail
from shared.records.holds import Holds
from shared.restore.erasures import LedgerReading
from shared.restore.estimate import TimingRecord
from shared.restore.journal import JournalStore


@dataclass(frozen=True)
class RestoreDeps:
    """What a restore needs: a laptop with a SAS and the key is enough.

    Without `holds` the schedule may stop the machine meanwhile, without `journals` a restore that breaks off
    cannot be resumed. `jobs` parts, batches of one part, collections and index builds go
    at once. A drill does not write users.
    """

    catalogue: SetCatalogue  # knows the signers whose manifests are accepted
    target: TargetDatabase
    identities: Sequence[Identity]
    reporter: Reporter
    clock: Clock
    holds: Holds | None = None
    journals: JournalStore | None = None
    jobs: int = 1
    writes_users: bool = True
    timing: Callable[[], TimingRecord] = TimingRecord  # the restore that the estimate goes by
    erasures: Callable[[], LedgerReading] = LedgerReading  # what is deleted again afterwards
    tail: OplogTail | None = None  # captured oplog to replay after the set's own, up to a moment

    @property
    def backups(self) -> Blobs:
        """The container of backup sets."""
        return self.catalogue.blobs
