"""A whole backup in memory: database, storage, queue, clock, keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.queues import MemoryQueues
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup import sets, verify
from shared.backup.catalogue import SetCatalogue, SetState
from shared.backup.deps import QUEUE, BackupDeps
from shared.backup.seals import SealLog
from shared.formats.agekeys import Identity, generate_identity, parse_identities, parse_recipient
from shared.formats.backupset import Manifest
from shared.formats.manifest import Signer
from shared.kernel.ports import Clock
from shared.policy import BackupPolicy
from shared.restore import job as restore

SECRET, RECIPIENT = generate_identity(post_quantum=False)
SIGNER = Signer.generate()


@dataclass
class World:
    """Everything outside of the job; `job(plan)` is the job with faults in all it touches."""

    part_bytes: int = 1 << 20
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 11, 23, 1, tzinfo=UTC)))
    database: MemoryDatabase = field(default_factory=MemoryDatabase)
    storage_clock: Clock | None = None  # where the storage's is another than ours

    def __post_init__(self) -> None:
        of_storage = self.storage_clock or self.clock
        self.backups, self.state = MemoryBlobs(of_storage), MemoryBlobs(of_storage)
        self.queues = MemoryQueues(self.clock)

    @property
    def identities(self) -> list[Identity]:
        return parse_identities(SECRET)

    def seed(self, collections: int = 3, documents: int = 8) -> None:
        for c in range(collections):
            for d in range(documents):
                self.database.write("rocketchat", f"c{c}", {"_id": d, "msg": f"message {c}/{d} — 猫"})

    def job(self, plan: FaultPlan | None = None) -> BackupDeps:
        plan = plan or FaultPlan()
        policy = BackupPolicy().model_copy(update={"part_target": self.part_bytes})
        return BackupDeps(
            connect=lambda: with_faults(self.database, plan, "database"),
            backups=with_faults(self.backups, plan, "backups"),
            state=with_faults(self.state, plan, "state"),
            queues=with_faults(self.queues, plan, "queues"),
            clock=self.clock,
            recipients={RECIPIENT: parse_recipient(RECIPIENT)},
            signer=SIGNER,
            tool="groundcrew test",
            zone=ZoneInfo("Europe/Berlin"),
            policy=policy,
            threads=0,
        )

    def work(self, job: BackupDeps, between: Callable[[], None] = lambda: None) -> list[str]:
        """What the host does: one message after the other, gone only when its function has returned."""
        done = []
        while waiting := self.queues.visible(QUEUE):
            message = json.loads(waiting[0])
            done.append(backup.run_part(job, message["set"], message["part"]))
            self.queues.take(QUEUE)
            between()
        return done

    def die(self) -> None:
        """The process is gone: its leases end, its message comes back."""
        self.backups.holders_died()
        self.state.holders_died()
        self.clock.advance(timedelta(minutes=6))

    def sealed(self) -> list[sets.SetInfo]:
        return self.in_state(SetState.SEALED)

    def in_state(self, state: SetState) -> list[sets.SetInfo]:
        return [entry.info for entry in self.catalogue.entries() if entry.state is state]

    @property
    def catalogue(self) -> SetCatalogue:
        trusted = (SIGNER.public_text(),)
        return SetCatalogue(self.backups, self.clock, trusted, SealLog(self.state, trusted))

    def manifest(self, info: sets.SetInfo) -> Manifest:
        return self.catalogue.examine(info).manifest

    def verify(self, foreign: Collection[str] = ()) -> None:
        """Every set that is listed as a backup is whole, to the last document, but for the `foreign` ones."""
        for info in self.sealed():
            verify.verify_content(self.backups, self.manifest(info), parse_identities(SECRET), ListReporter())
        problems = verify.verify_chain(self.catalogue, self.catalogue.entries(), {})
        assert {problem.folder for problem in problems} == set(foreign), problems

    def restore(
        self, target: MemoryDatabase, reference: str = "latest", **options: object
    ) -> restore.RestoreResult:
        job = restore.RestoreDeps(
            self.catalogue, target, parse_identities(SECRET), ListReporter(), self.clock
        )
        return restore.restore_set(job, reference, **options)


@pytest.fixture
def world() -> World:
    made = World()
    made.seed()
    return made


@pytest.fixture
def make_world() -> type[World]:
    return World
