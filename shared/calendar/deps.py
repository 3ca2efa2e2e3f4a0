"""What the calendar depends on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo

from shared.calendar.growth import SetSizes
from shared.calendar.limits import CapturedDay, CostTrend
from shared.calendar.model import PlannedSpan
from shared.calendar.ports import LockoutSource
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier


def _nothing() -> None:
    return None


def _no_days() -> Sequence[CapturedDay]:
    return ()


def _no_machines() -> Mapping[str, Mapping[str, str]]:
    return {}


@dataclass(frozen=True)
class GrowthSources:
    """What grows towards a limit. All raise Groundcrew's errors; one that does so hides no other.

    - `sets`: what the newest good backups counted, in the order of time; None without trusted backups.
    - `part_bytes`: the size at which a part is closed, by policy.
    - `costs`: what months were reckoned to cost; None without a budget.
    - `captured`: what the oplog's capture stored on each of the last complete days.
    """

    sets: Callable[[], Sequence[SetSizes] | None] = _nothing
    part_bytes: int = 512 << 20
    costs: Callable[[], CostTrend | None] = _nothing
    captured: Callable[[], Sequence[CapturedDay]] = _no_days


@dataclass(frozen=True)
class CalendarDeps:
    """The ports of the job.

    - `chat`: the database; None where none is set.
    - `kubernetes`: asks the cluster's version; None where there is no kubeconfig.
    - `images`: the images of the pods beside the server; None where there is no kubeconfig.
    - `machines`: by machine, what it last said of itself, its certificates' ends among it.
    - `plan`: the plan of the machine that carries the server, so far ahead; empty without a schedule.
    """

    state: Blobs
    clock: Clock
    notifications: Notifier
    chat: LockoutSource | None
    kubernetes: Callable[[], str] | None
    plan: Callable[[timedelta], Sequence[PlannedSpan]]
    zone: tzinfo
    growth: GrowthSources = field(default_factory=GrowthSources)
    images: Callable[[], Collection[str]] | None = None
    machines: Callable[[], Mapping[str, Mapping[str, str]]] = _no_machines
