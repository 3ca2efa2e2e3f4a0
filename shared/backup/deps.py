"""What the backup job needs: the outside systems as ports, and what policy and settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.backup.catalogue import SetCatalogue
from shared.backup.seals import SealLog
from shared.formats.agekeys import Recipient
from shared.formats.backupset import ChainLink
from shared.formats.cluster_state import ClusterState
from shared.formats.extra_parts import ExtraPart
from shared.formats.manifest import Signer
from shared.kernel.ports import Blobs, Clock, Queues
from shared.mongodb.ports import SourceDatabase
from shared.records.holds import Holds
from shared.records.run_record import RunRecord
from shared.records.runs import Runs

if TYPE_CHECKING:
    from shared.policy import BackupPolicy

JOB = "backup"
QUEUE = "backup-parts"
LEASE = timedelta(seconds=30)
# Renewed with each part; the machine is not stopped while a set is on its way.
_HOLD = timedelta(hours=6)


@dataclass(frozen=True)
class BackupDeps:
    """The ports and the settings of the backup job."""

    connect: Callable[[], SourceDatabase]  # connects when called, so that a refusal can be recorded
    backups: Blobs  # the container of backup sets
    state: Blobs  # the container of run records, locks, holds and the audit trail
    queues: Queues
    clock: Clock
    recipients: dict[str, Recipient]  # by their text form
    signer: Signer
    tool: str  # what writes the archives, `groundcrew <version>`
    zone: ZoneInfo  # in which weeks and months begin
    policy: BackupPolicy
    trusted_signers: tuple[str, ...] = ()  # beside our own: keys of before a rotation
    threads: int = 3  # of zstd, beside the caller: on two cores one always has a job that it may go on with
    timeout: timedelta = timedelta(hours=20)  # a set that is not sealed by then has failed
    daily_at: time = time(1)  # UTC, when the timer fires
    # Tells people of each sealed set: the hash that is now the head of the chain, and what it holds of the
    # cluster.
    tell_head: Callable[[ChainLink, Sequence[ExtraPart]], None] = lambda _head, _extra: None
    # Reads the cluster's state for the set `class/id`, and never raises for what cannot be read. None if the
    # sets hold none.
    read_state: Callable[[str], ClusterState] | None = None
    # Why the database is out of reach on purpose; empty if it is not.
    offline_reason: Callable[[], str] = lambda: ""
    # Hears of each run record that is written; must not fail.
    on_run_saved: Callable[[RunRecord], object] = lambda _run: None

    @property
    def runs(self) -> Runs:
        """The run records."""
        return Runs(self.state, self.clock, self.on_run_saved)

    @property
    def own_signer(self) -> tuple[str, ...]:
        """The public key of our signer alone: only what it signed is gone on with."""
        return (self.signer.public_text(),)

    @property
    def seals(self) -> SealLog:
        """The log of sealed sets."""
        return SealLog(self.state, (*self.own_signer, *self.trusted_signers))

    @property
    def catalogue(self) -> SetCatalogue:
        """What the sets in storage are worth."""
        return SetCatalogue(self.backups, self.clock, self.seals.trusted, self.seals)

    def place_hold(self, set_id: str) -> None:
        """Keep the machine from being stopped while the set is being made."""
        Holds(self.state, self.clock).add_hold(f"backup/{set_id}", f"backup {set_id}", _HOLD)

    def release_hold(self, set_id: str) -> None:
        """The set is sealed or failed."""
        Holds(self.state, self.clock).release_hold(f"backup/{set_id}")
