"""The wiring of snapshots."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.settings import definitions
from shared.settings.environment import all_or_nothing, environment
from shared.wiring import azure, clock, policy, state
from shared.wiring.notifications import notifier

if TYPE_CHECKING:
    from shared.mongodb.freeze_port import Freezable
    from shared.snapshots.check.deps import CheckDeps
    from shared.snapshots.deps import SnapshotDeps


@cache
def snapshot_deps() -> SnapshotDeps:
    """All that the job needs; MongoDB is connected to only if it is to be locked. Raises UsageError."""
    from shared.snapshots.deps import SnapshotDeps
    from shared.snapshots.freeze import Freezer

    read = all_or_nothing(
        disks=azure.disks, machines=azure.machines, state=state, notifications=notifier, policy=policy
    )
    rules = read.pop("policy")
    freezer = Freezer(_freezable, read["state"], clock())
    return SnapshotDeps(
        clock=clock(), freezer=freezer, policy=rules.snapshots, zone=ZoneInfo(rules.timezone), **read
    )


@cache
def check_deps() -> CheckDeps:
    """All that the check of snapshots needs. Raises UsageError."""
    from shared.snapshots.check.deps import CheckDeps
    from shared.wiring.cost import list_prices

    read = all_or_nothing(disks=azure.disks, prices=list_prices, state=state, notifications=notifier)
    return CheckDeps(clock=clock(), **read)


def run_weekly_check() -> str:
    """The check of the week, if policy wants one; what was done, or nothing."""
    from shared.snapshots.check import job as snapshot_check

    return snapshot_check.run_weekly_check(check_deps()) if policy().snapshots.check == "weekly" else ""


@cache
def _freezable() -> Freezable:
    from shared.adapters.mongodb import connect_freezer

    return connect_freezer(environment().secret(definitions.MONGODB).reveal())
