"""A secret with two homes and two readers, and everything else a rotation needs, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.notifications import MemoryNotifications
from local.fakes.secrets import MemoryAuthority, MemoryHomes, MemoryReaders, Way
from shared.formats.agekeys import generate_identity
from shared.policy import SecretEntry, SecretsPolicy
from shared.records.audit import AuditEntry, AuditTrail
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.records import JournalKeys

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND = "kubernetes:rocketchat/mongodb/mongo-uri", "kubernetes:rocketchat/mongodb/mongo-oplog-uri"
CHAT, WORKER = "deployment:rocketchat/chat", "statefulset:rocketchat/worker"
KEY = generate_identity(post_quantum=False)[0]
NAME = "mongodb-app"


def entry(**changes: object) -> SecretEntry:
    fields: dict[str, object] = {
        "name": NAME, "kind": "mongodb-user", "homes": (FIRST, SECOND), "readers": (CHAT, WORKER),
        "rotate_every": timedelta(days=90), "automatic": True, "users": ("a", "b"),
    }  # fmt: skip
    return SecretEntry.model_validate({**fields, **changes})


@dataclass
class World:
    """Everything outside of the job; `deps(plan)` has a process that fails as planned."""

    way: Way = "turns"
    entries: tuple[SecretEntry, ...] = field(default_factory=lambda: (entry(),))
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))

    def __post_init__(self) -> None:
        self.state = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.authority = MemoryAuthority(self.way)
        first = self.authority.first.reveal()
        self.homes = MemoryHomes(self.clock, {FIRST: first, SECOND: first})
        self.readers = MemoryReaders(self.homes, {CHAT: FIRST, WORKER: SECOND})
        self.offline = ""

    def deps(self, plan: FaultPlan | None = None, *, key: str = KEY) -> RotationDeps:
        plan = plan or FaultPlan()
        authority = with_faults(self.authority, plan, "authority")
        return RotationDeps(
            policy=SecretsPolicy(known=self.entries),
            homes=with_faults(self.homes, plan, "homes"),
            readers=with_faults(self.readers, plan, "readers"),
            authority=lambda _: authority,
            keys=JournalKeys.parse(key) if key else None,
            offline_reason=lambda: self.offline,
            pause=lambda seconds: self.clock.advance(timedelta(seconds=seconds)),
            state=with_faults(self.state, plan, "state"),
            clock=self.clock,
            notifications=self.people,
        )

    def lockouts(self) -> list[str]:
        """Who would not get in now: readers with what they run with, or that start anew from their home."""
        values = {**self.readers.running, **{home: self.homes.value(home) for home in (FIRST, SECOND)}}
        return [name for name, value in values.items() if not self.authority.accepts(value)]

    def audit(self) -> list[AuditEntry]:
        return list(AuditTrail(self.state, self.clock).verify())

    def stored(self) -> bytes:
        """All that was ever left in the container."""
        return b"\n".join(self.state.read(blob.name)[0] for blob in self.state.list())
