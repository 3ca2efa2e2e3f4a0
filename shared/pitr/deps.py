"""What the capture of the oplog needs of the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.backup.catalogue import SetCatalogue
from shared.formats.agekeys import Recipient
from shared.formats.manifest import Signer
from shared.kernel.ports import Blobs, Clock
from shared.mongodb.ports import SourceDatabase
from shared.notifications.ports import Notifier

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

JOB = "oplog"


@dataclass(frozen=True)
class CaptureDeps:
    """The ports and settings of the capture."""

    connect: Callable[[], SourceDatabase]
    catalogue: SetCatalogue  # of the sets, whose newest good one the slices follow
    state: Blobs  # the cursor and the lease
    clock: Clock
    recipients: dict[str, Recipient]
    signer: Signer
    notifications: Notifier
    begin_backup: Callable[[str], str]  # begins a set for this reason; returns its folder
    policy: BackupPolicy
    # Why the database is out of reach on purpose; empty if it is not.
    offline_reason: Callable[[], str] = lambda: ""

    @property
    def slices(self) -> Blobs:
        """The container of slices: that of the sets."""
        return self.catalogue.blobs

    @property
    def trusted(self) -> tuple[str, ...]:
        """The signers whose cursor and slices count."""
        return tuple(self.catalogue.trusted)
