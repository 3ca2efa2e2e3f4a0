"""When MicroK8s' snap may be refreshed, and what came of it. Pure.

Snaps refresh by themselves several times a day, which has broken clusters in the middle of work
(https://github.com/canonical/microk8s/issues/1022, 4691). So they are held, and Groundcrew refreshes in a
window of policy, once in each, only after every disk of the machine has a good snapshot of the same day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from shared.cloud.disks import Disk, Snapshot

# A refresh takes minutes; past this it is told as stuck, and no stop waits for it any longer.
REFRESH_LIMIT = timedelta(minutes=45)
# snapd before 2.58 holds 60 days at most, as the script asks of it.
HOLD_INTERVAL = timedelta(days=30)
# What snapd calls the states of a change: https://snapcraft.io/docs/managing-changes
_FAILED = frozenset({"Error", "Undone", "Undo", "Undoing", "Abort", "Hold"})


class RefreshProgress(StrEnum):
    """How far a refresh is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class RefreshState:
    """What is on record of refreshes of one machine."""

    window: datetime | None = None  # the beginning of the newest window that was dealt with
    begun: datetime | None = None  # a refresh was begun then whose end was not seen yet
    change: str = ""  # snapd's number of it
    before: str = ""  # the snap's revision before it
    held: datetime | None = None  # refreshes were last seen to be held then


def needs_hold(state: RefreshState, now: datetime) -> bool:
    """Whether the hold is to be looked at: it ends with time, and with whoever lifts it."""
    return state.held is None or now - state.held >= HOLD_INTERVAL


def find_unsnapped(
    disks: Iterable[Disk], snapshots: Iterable[Snapshot], machine: str, zone: tzinfo, now: datetime
) -> list[str]:
    """The names of the machine's disks that have no good snapshot of today on the zone's clock.

    A machine whose disks are not seen counts as one such disk: what cannot be seen is not secured.
    """
    today = now.astimezone(zone).date()
    complete = {
        one.disk.lower()
        for one in snapshots
        # The copy in the background may fail still; a disk can be made of it at 100 only.
        if one.provisioned
        and one.complete_percent >= 100
        and one.created <= now
        and one.created.astimezone(zone).date() == today
    }
    attached = [disk for disk in disks if disk.attached_to.lower() == machine.lower()]
    return (
        [disk.name for disk in attached if disk.id.lower() not in complete]
        if attached
        else ["(none is seen)"]
    )


def judge_progress(
    state: RefreshState, status: str, now: datetime, *, ready: bool, healthy: bool
) -> RefreshProgress:
    """How far the refresh is by snapd's word for its change, MicroK8s' readiness and the server's health."""
    if status in _FAILED:
        return RefreshProgress.FAILED
    if status == "Done" and ready and healthy:
        return RefreshProgress.DONE
    over = state.begun is None or now - state.begun >= REFRESH_LIMIT
    return RefreshProgress.STUCK if over else RefreshProgress.RUNNING
