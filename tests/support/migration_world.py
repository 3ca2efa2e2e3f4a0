"""Two servers in memory, the chat that writes to the first, and where the journal is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, faulty
from local.fakes.migration import MemoryChat, MemoryControl, MovableDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from shared.migrate.deps import MigrationDeps

DB = "rocketchat"


class MigrationWorld:
    """What is left when a process is killed; `deps` is what a new one begins with."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.state = MemoryBlobs(self.clock)
        self.source, self.target = MovableDatabase("old:27017"), MovableDatabase("new:27017")
        self.source_control = MemoryControl(self.source)
        self.target_control = MemoryControl(self.target)
        self.chat = MemoryChat()
        self.reporter, self.notifications = ListReporter(), MemoryNotifications()
        self.accepted = 0

    def seed(self, documents: int = 5) -> None:
        """Messages, and a collection with indexes beside them."""
        for number in range(documents):
            self.source.write(DB, "message", {"_id": f"m{number}", "v": 0})
        self.source.write(DB, "users", {"_id": "u1", "name": "ana"})

    def write(self) -> None:
        """What the chat writes while it is moved: one more message, and a change of an old one."""
        self.accepted += 1
        self.source.write(DB, "message", {"_id": f"w{self.accepted}", "v": self.accepted})
        self.source.write(DB, "message", {"_id": "m0", "v": self.accepted})

    def deps(self, plan: FaultPlan | None = None, **changes: Any) -> MigrationDeps:
        """Those of a new process; with a plan every step of the outside can fail."""
        outside = {
            "source": self.source, "target": self.target,
            "source_control": self.source_control, "target_control": self.target_control,
            "state": self.state, "chat": self.chat, "notifications": self.notifications,
        }  # fmt: skip
        if plan is not None:
            outside = {name: faulty(port, plan, name) for name, port in outside.items()}
        values: dict[str, Any] = {
            **outside, "clock": self.clock, "reporter": self.reporter, "pause": self.pause,
            "jobs": 1, **changes,
        }  # fmt: skip
        return MigrationDeps(**values)

    def pause(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(timedelta(seconds=seconds))

    def die(self) -> None:
        """The process is gone: its leases end after their time."""
        self.state.holders_died()
        self.clock.advance(timedelta(minutes=2))

    def at_source(self) -> dict[str, set[bytes]]:
        """What the source holds of what is moved."""
        return {name: rows for name, rows in self.source.contents().items() if name.startswith(f"{DB}.")}

    def at_target(self) -> dict[str, set[bytes]]:
        """The same of the target."""
        return {name: rows for name, rows in self.target.contents().items() if name.startswith(f"{DB}.")}
