"""What a decision about a machine depends on, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from shared.power.attempts import Act, Attempt
from shared.power.overrides import Override
from shared.power.schedule import Schedule
from shared.power.unplanned import UnplannedStop
from shared.records.hold import Hold

if TYPE_CHECKING:
    from shared.policy import DayOff, MachinePolicy


class PowerStatus(StrEnum):
    """What the instance view shows. STOPPED is stopped by its guest and still paid for."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"
    UNKNOWN = "unknown"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class BackupNeed:
    """When the next backup still to be made is or was due, and when the newest good one was finished."""

    due: datetime
    last_good: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about one machine depends on, besides policy and the time."""

    state: PowerStatus
    schedule: Schedule
    orders: tuple[Override, ...] = ()
    holds: tuple[Hold, ...] = ()
    history: tuple[Attempt, ...] = ()  # oldest first
    backup: BackupNeed | None = None
    when_vm_off: Literal["wake", "before_stop", "skip"] = "skip"
    alternatives: tuple[str, ...] = ()  # sizes to name when Azure has no capacity
    unplanned: UnplannedStop | None = None  # it went off while it should run


@dataclass(frozen=True, slots=True)
class PowerDecision:
    """What to do now, and why. The reasons are what dry run, log and chat show."""

    act: Act
    id: str  # the desired state and since when, such as "up@2026-03-02T06:00:00Z"; attempts are counted by it
    desired_up: bool
    reasons: tuple[str, ...]
    next_change: datetime | None = None  # when schedule and orders next ask for the opposite
    not_before: datetime | None = None  # when waiting ends at the earliest
    stop_at: datetime | None = None  # the time that a warning announces
    backup_first: bool = False  # a backup is to run before the machine stops
    alarm: bool = False  # a person should look
    alternatives: tuple[str, ...] = ()  # sizes to name when Azure has no capacity

    def __str__(self) -> str:
        return f"{self.act}: {'; '.join(self.reasons)}"


def schedule_for(machine: MachinePolicy, timezone: str, day_off: DayOff) -> Schedule:
    """The machine's windows in its own zone or, without one, in the policy's, less the days off."""
    zone = ZoneInfo(machine.timezone or timezone)
    return (
        Schedule(zone, machine.windows) if machine.on_days_off else Schedule(zone, machine.windows, day_off)
    )
