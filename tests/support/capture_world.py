"""The capture of the oplog in memory, beside a world of backups whose clock is the server's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from local.fakes.faults import FaultPlan, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from shared.backup.begin import begin_set
from shared.formats.agekeys import parse_identities
from shared.formats.backupset import set_folder
from shared.mongodb.model import Timestamp
from shared.pitr.capture import capture_oplog
from shared.pitr.catalogue import SliceCatalogue
from shared.pitr.deps import CaptureDeps
from shared.pitr.records import CaptureState, read_capture_state
from shared.pitr.tail import OplogTail
from shared.restore.deps import RestoreDeps
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult
from tests.support.backup_world import SECRET, SIGNER, World

TRUSTED = (SIGNER.public_text(),)


@dataclass
class CaptureWorld:
    """`deps(plan)` is the capture with faults in all it touches."""

    world: World = field(default_factory=World)
    offline: str = ""
    begun: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifications = MemoryNotifications(self.world.clock)
        self.sync()

    @property
    def database(self) -> MemoryDatabase:
        return self.world.database

    def sync(self) -> None:
        """Let our clock be a little after the server's; it never goes back."""
        at = datetime.fromtimestamp(self.database.newest().seconds + 2, UTC)
        self.world.clock.set(max(at, self.world.clock.now()))

    def seal(self) -> str:
        """A set of now; its reference."""
        self.sync()
        plan = begin_set(self.world.job(), "manual", reason="a test")
        self.world.work(self.world.job())
        self.pass_second()
        return f"{plan.klass}/{plan.set}"

    def pass_second(self) -> None:
        self.world.clock.advance(timedelta(seconds=1))

    def deps(self, plan: FaultPlan | None = None, **changes: object) -> CaptureDeps:
        plan = plan or FaultPlan()
        catalogue = self.world.catalogue
        settings: dict[str, object] = {
            "connect": lambda: with_faults(self.database, plan, "database"),
            "catalogue": replace(catalogue, blobs=with_faults(self.world.backups, plan, "slices")),
            "state": with_faults(self.world.state, plan, "state"),
            "clock": self.world.clock,
            "recipients": self.world.job().recipients,
            "signer": SIGNER,
            "notifications": self.notifications,
            "begin_backup": self.begin_backup,
            "policy": self.world.job().policy,
            "offline_reason": lambda: self.offline,
        }
        return CaptureDeps(**{**settings, **changes})  # type: ignore[arg-type]

    def begin_backup(self, reason: str) -> str:
        plan = begin_set(self.world.job(), "daily", reason=reason)
        self.begun.append(reason)
        return set_folder(plan.klass, plan.set)

    def finish_backup(self) -> None:
        self.world.work(self.world.job())

    def capture(self, **changes: object) -> str:
        self.sync()
        return capture_oplog(self.deps(**changes))

    @property
    def slices(self) -> SliceCatalogue:
        return SliceCatalogue(self.world.catalogue)

    def names(self) -> list[str]:
        return [blob.name for blob in self.world.backups.list("pitr/")]

    @property
    def state(self) -> CaptureState:
        return read_capture_state(self.world.state, TRUSTED)

    def restore(self, until: Timestamp, reference: str = "latest") -> tuple[RestoreResult, MemoryDatabase]:
        """What the command line does with `--until`."""
        target = MemoryDatabase("target:27017")
        identities = parse_identities(SECRET)
        plan = self.slices.plan(until, reference)
        deps = RestoreDeps(
            self.world.catalogue,
            target,
            identities,
            ListReporter(),
            self.world.clock,
            tail=OplogTail(self.world.backups, plan, identities),
        )
        return restore_set(deps, plan.base.reference), target
