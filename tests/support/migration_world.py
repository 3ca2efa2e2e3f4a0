"""Two servers in memory, the chat that writes to the first, and where the journal is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import bson

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.migration import MemoryChat, MemoryConnection, MemoryControl, MovableDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from shared.kernel.errors import Refused
from shared.migrate.deps import MigrationDeps
from shared.migrate.model import ChatClient

DB = "rocketchat"


class MigrationWorld:
    """What is left when a process is killed; `deps` is what a new one begins with."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.state = MemoryBlobs(self.clock)
        self.source, self.target = MovableDatabase("old:27017"), MovableDatabase("new:27017")
        self.source_control = MemoryControl(self.source)
        self.target_control = MemoryControl(self.target)
        self.chat, self.connection = MemoryChat(), MemoryConnection()
        self.source_control.connected = partial(self._list_connected, "source")
        self.target_control.connected = partial(self._list_connected, "target")
        self.reporter, self.notifications = ListReporter(), MemoryNotifications()
        self.accepted = 0

    def seed(self, documents: int = 5) -> None:
        """Messages, and a collection with indexes beside them."""
        for number in range(documents):
            self.source.write(DB, "message", {"_id": f"m{number}", "v": 0})
        self.source.write(DB, "users", {"_id": "u1", "name": "ana"})

    def _list_connected(self, side: str) -> list[ChatClient]:
        pods = self.chat.list_pods() if self.connection.address == side else []
        return [ChatClient(name, "rocketchat") for name in pods]

    def write(self) -> None:
        """What the chat writes while it is moved: one more message, and a change of an old one."""
        number = self.accepted + 1
        server = self.source if self.connection.address == "source" else self.target
        server.write(DB, "message", {"_id": f"w{number}", "v": number})
        server.write(DB, "message", {"_id": "m0", "v": number})
        self.accepted = number  # only now: what was refused was not accepted

    def try_write(self) -> bool:
        """As the chat: if it is up, to where its Secret leads; whether it was taken."""
        try:
            if self.chat.list_pods():
                self.write()
        except Refused:
            return False
        return bool(self.chat.list_pods())

    def is_lost(self, number: int) -> bool:
        """Whether a message that was accepted is not on the server that is the chat's."""
        server = self.source if self.connection.address == "source" else self.target
        row = bson.encode({"_id": f"w{number}", "v": number})
        return row not in server.contents()[f"{DB}.message"]

    def deps(self, plan: FaultPlan | None = None, **changes: Any) -> MigrationDeps:
        """Those of a new process; with a plan every step of the outside can fail."""
        outside = {
            "source": self.source, "target": self.target, "target_oplog": self.target,
            "source_control": self.source_control, "target_control": self.target_control,
            "state": self.state, "chat": self.chat, "connection": self.connection,
            "notifications": self.notifications,
        }  # fmt: skip
        if plan is not None:
            outside = {name: with_faults(port, plan, name) for name, port in outside.items()}
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
