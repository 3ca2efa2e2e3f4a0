"""What a rehearsal starts in the cluster, and what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared.kubernetes.chat_container import ChatContainer

RIGHTS_FILE = "infra/chart/rbac-rehearsal.yaml"
DATABASE, START_GATE, CHAT = "mongodb", "start-gate", "rocketchat"  # the containers of its pod
# Where Rocket.Chat's container waits for: a document that is written when the copy is ready to be started on.
MARKER_DATABASE, MARKER_COLLECTION = "groundcrew_rehearsal", "start"
PROBE_USER = "groundcrew-rehearsal"  # id and name of the administrator who tries the copy


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """What a commit would start: its container, and the version that the data are of now."""

    container: ChatContainer
    version: str  # of Rocket.Chat; empty if its image does not say
    running: str  # the newest that touched the data; empty if unknown
    pull: int = 0


@dataclass(frozen=True, slots=True)
class RehearsalSpec:
    """The Job of one rehearsal. Sizes in bytes."""

    name: str
    owner: str  # which Groundcrew it belongs to
    mongodb_image: str
    chat: ChatContainer
    database: str  # that Rocket.Chat's data are in
    cpus: int
    memory_bytes: int
    chat_memory_bytes: int
    storage_bytes: int
    deadline: timedelta


@dataclass(frozen=True, slots=True)
class RehearsalPod:
    """The pod of a rehearsal, or why there is none."""

    name: str = ""
    database_running: bool = False
    chat_running: bool = False
    reason: str = ""  # why it is not further, in the cluster's words
    ended: bool = False  # it will not run (again)
    exit_message: str = ""  # the last lines that Rocket.Chat wrote before it ended


@dataclass(frozen=True, slots=True)
class MigrationControl:
    """Rocket.Chat's row `control` in `migrations`."""

    version: int
    locked: bool


@dataclass(frozen=True, slots=True)
class ScriptState:
    """An integration with a script. `error` is why it does not compile, as the server said when it was saved
    anew: empty if it does, None if the server did not say."""

    name: str
    error: str | None = None
