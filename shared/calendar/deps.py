"""What the calendar depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo

from shared.calendar.growth import SetSizes
from shared.calendar.model import PlannedSpan
from shared.calendar.ports import LockoutSource
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier


@dataclass(frozen=True)
class CalendarDeps:
    """The ports of the job.

    - `chat`: the database; None where none is set.
    - `kubernetes`: asks the cluster's version; None where there is no kubeconfig.
    - `sets`: what the newest good backups counted, in the order of time; None without trusted backups.
    - `plan`: the plan of the machine that carries the server, so far ahead; empty without a schedule.
    """

    state: Blobs
    clock: Clock
    notifications: Notifier
    chat: LockoutSource | None
    kubernetes: Callable[[], str] | None
    plan: Callable[[timedelta], Sequence[PlannedSpan]]
    sets: Callable[[], Sequence[SetSizes]] | None
    zone: tzinfo
