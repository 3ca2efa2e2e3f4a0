"""What a migration is told of the two servers, and what it decides from it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

# Ours at both servers: the marker that shows how far the copy has followed. It goes when the migration ends.
MARKER_DATABASE, MARKER_COLLECTION = "groundcrew_migration", "marker"
# What a server keeps for itself: users and roles are the target's own, and never copied.
SERVER_DATABASES = ("admin", "config", "local")
# Expiry that never comes. Between copy and cut-over the source alone deletes what expires: a target that
# lags would delete a document whose date is about to be moved, and never get it back. As mongosync does it:
# https://www.mongodb.com/docs/cluster-to-cluster-sync/current/reference/disaster-recovery/
PAUSED_EXPIRY = 2147483647


class Phase(StrEnum):
    """How far a migration is. Each name is what a run that is killed now goes on with."""

    COPYING = "copying"
    FOLLOWING = "following"  # copied; the oplog is replayed until the lag is zero
    READY = "ready"  # followed and compared once: waits for the word to cut over
    STOPPING = "stopping"  # deploys frozen, the chat goes to zero, its connections must end
    BLOCKING = "blocking"  # the source becomes read-only
    DRAINING = "draining"  # the last of the oplog, and what changed is compared
    SWITCHED = "switched"  # the target is the one that may be written to
    DONE = "done"  # written to on the target: the way back is shut
    RETURNING = "returning"  # from the target, to which nobody wrote
    ABORTING = "aborting"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self in (Phase.DONE, Phase.ABORTED)

    @property
    def switched(self) -> bool:
        """Whether the chat belongs to the target."""
        return self in (Phase.SWITCHED, Phase.DONE)


class CheckState(StrEnum):
    """What a check of the plan says; `unknown` could not be looked at, and is not good."""

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """One thing that was looked at, what it came to, and what to do about it."""

    name: str
    state: CheckState
    reason: str
    cure: str = ""

    def describe(self) -> str:
        """One line for people."""
        return f"{self.state}: {self.name}: {self.reason}" + (f". {self.cure}" if self.cure else "")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server, as it answers.

    - `hosts`: its members' `host:port`.
    - `version`, `features`: `8.0.13` and `8.0`; `features` is empty where it is not told.
    - `replica_set`: its name; empty for a server that is no replica set.
    - `missing_rights`: actions that our user lacks; None if the server does not say what it may.
    - `free_bytes`: of its disk; None if it is not told.
    """

    hosts: tuple[str, ...]
    version: str
    features: str
    replica_set: str
    missing_rights: tuple[str, ...] | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class UploadFacts:
    """Where Rocket.Chat's uploads lie.

    - `storage_type`: its setting `FileUpload_Storage_Type`; empty if no database holds one.
    - `stores`: how many uploads name each store, `GridFS:Uploads`; an empty name is none at all.
    """

    storage_type: str = ""
    stores: Mapping[str, int] = field(default_factory=dict)

    @property
    def outside(self) -> Mapping[str, int]:
        """Those whose bytes are not in the database. One that names no store cannot be found either."""
        return {name: count for name, count in self.stores.items() if not name.startswith("GridFS:")}


@dataclass(frozen=True, slots=True)
class OplogFacts:
    """How far the source's oplog reaches back.

    `fill` is the share of its room that is used, from 0 to 1; None if it is not told. A full oplog drops its
    oldest entry for each new one.
    """

    length: timedelta
    fill: float | None = None

    @property
    def capacity(self) -> timedelta | None:
        """How long an entry stays at today's pace of writes; None if that is not known."""
        if self.fill is None or self.fill <= 0:
            return None
        return self.length / min(self.fill, 1.0)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The server that is moved away from; what it holds is counted by its catalogue's statistics."""

    server: ServerFacts
    databases: tuple[str, ...]
    namespaces: int
    documents: int
    data_bytes: int
    oplog: OplogFacts
    uploads: UploadFacts
    blocks_writes: bool | None  # whether it can be made read-only; None if that is not known
    sees_clients: bool  # whether our user is shown the connections of others


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The server that is moved to.

    `foreign` is what it holds that is not of this migration, `own_bytes` what an earlier run has copied.
    """

    server: ServerFacts
    foreign: tuple[str, ...] = ()
    own_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """What a person has decided beforehand."""

    uploads_copied: bool = False  # files outside the database are moved by other means
    databases: tuple[str, ...] = ()  # empty: all that are not the server's own


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What will be moved, whether that can work, and what changes around it."""

    source: SourceFacts
    target: TargetFacts
    checks: tuple[PlanCheck, ...]
    expected: timedelta  # of the copy, at an assumed pace
    changes: tuple[str, ...]  # what else has to change with the server's address

    @property
    def refusals(self) -> tuple[PlanCheck, ...]:
        """What is in the way."""
        return tuple(check for check in self.checks if check.state is CheckState.REFUSED)


@dataclass(frozen=True, slots=True)
class ChatClient:
    """A connection at the source."""

    address: str
    app: str  # what the client calls itself; empty if it does not

    def __str__(self) -> str:
        return f"{self.address} ({self.app or 'it gives no name'})"


@dataclass(frozen=True, slots=True)
class MarkerState:
    """The marker at one of the servers: which migration wrote it, and its number; 0 where there is none.

    `databases` are those that are moved: at the target they are the migration's own, whatever a journal says.
    """

    migration: str = ""
    number: int = 0
    databases: tuple[str, ...] = ()
