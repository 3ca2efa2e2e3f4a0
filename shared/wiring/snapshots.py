"""The wiring of snapshots."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import azure, load_policy, open_state, system_clock
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.mongodb.freeze_port import Freezable
    from shared.snapshots.check.deps import CheckDeps
    from shared.snapshots.deps import SnapshotDeps


def is_enabled() -> bool:
    """Whether policy chooses disks, or there may be snapshots of ours. Raises UsageError."""
    # Without disks in the policy as well: snapshots of before are still pruned, and a lock that was left is
    # released.
    return load_policy().snapshots.disks is not None or azure.is_configured()


def run_cycle() -> str:
    """What `snapshot_cycle` does; nothing where no snapshots are wanted. Raises UsageError."""
    from shared.snapshots import job

    return str(job.run_tick(snapshot_deps())) if is_enabled() else "no snapshots: policy chooses no disks"


@cache
def snapshot_deps() -> SnapshotDeps:
    """All that the job needs; MongoDB is connected to only if it is to be locked. Raises UsageError."""
    from shared.snapshots.deps import SnapshotDeps
    from shared.snapshots.freeze import Freezer

    read = all_or_nothing(
        disks=azure.connect_disks,
        machines=azure.connect_machines,
        state=open_state,
        notifications=build_notifier,
        policy=load_policy,
    )
    rules = read.pop("policy")
    # With the state: a lock that outlives its process is found and released by whoever comes next.
    freezer = Freezer(_connect_freezable, read["state"], system_clock())
    return SnapshotDeps(
        clock=system_clock(), freezer=freezer, policy=rules.snapshots, zone=ZoneInfo(rules.timezone), **read
    )


@cache
def check_deps() -> CheckDeps:
    """All that the check of snapshots needs. Raises UsageError."""
    from shared.snapshots.check.deps import CheckDeps
    from shared.wiring.cost import list_prices

    read = all_or_nothing(
        disks=azure.connect_disks, prices=list_prices, state=open_state, notifications=build_notifier
    )
    return CheckDeps(clock=system_clock(), **read)


def run_weekly_check() -> str:
    """The check of the week, if policy wants one; what was done, or nothing."""
    from shared.snapshots.check import job as snapshot_check

    is_wanted = is_enabled() and load_policy().snapshots.check == "weekly"
    return snapshot_check.run_weekly_check(check_deps()) if is_wanted else ""


@cache
def _connect_freezable() -> Freezable:
    from shared.adapters.mongodb import connect_freezer

    return connect_freezer(read_environment().secret(definitions.MONGODB).reveal())
