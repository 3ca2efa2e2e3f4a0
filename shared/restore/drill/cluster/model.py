"""What the drill's Job is to be, and what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

MONGODB_PORT = 27017
# The namespace, its isolation and the app's rights in it: what the hints of this package name.
RIGHTS_FILE = "infra/chart/rbac-drill.yaml"


@dataclass(frozen=True, slots=True)
class ScratchSpec:
    """The Job of one drill."""

    name: str  # of the Job, unique to the drill's run
    owner: str  # which Groundcrew it belongs to: another one's Jobs are not ours to remove
    image: str  # as policy pins it
    cpus: int
    memory_bytes: int
    storage_bytes: int  # the most that its data may take on the node
    deadline: timedelta  # after which the cluster itself ends it


@dataclass(frozen=True, slots=True)
class NamespaceSetup:
    """What keeps a copy of production in: read, never written, so that the app cannot weaken it."""

    level: str  # that pod security enforces; empty for none
    isolated: bool  # whether network policies deny all traffic of all pods, both ways


@dataclass(frozen=True, slots=True)
class ScratchJob:
    """A drill's Job in the cluster."""

    name: str
    owner: str
    created: datetime | None
    finished: bool = False  # complete, failed, or ended by its deadline
    deadline: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ScratchPod:
    """The pod of a Job, or why there is none."""

    name: str = ""  # empty while there is no pod
    running: bool = False
    reason: str = ""  # why it does not run, in the cluster's words
    ended: bool = False  # it will not run (again): evicted, killed, past its deadline, or refused for good
    stopping: bool = False  # it is being removed
