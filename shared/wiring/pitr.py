"""The wiring of the oplog's capture, and of restores of a moment."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.backup import backup_deps
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.pitr.deps import CaptureDeps
    from shared.pitr.plan import MomentPlan


def is_enabled() -> bool:
    """Whether policy wants the oplog captured. Raises UsageError if the policy cannot be read."""
    return load_policy().backup.pitr.enabled


@cache
def capture_deps() -> CaptureDeps:
    """All that the capture needs: what the backup has. Raises one UsageError that lists every bad setting."""
    from shared.pitr.deps import CaptureDeps

    # The same connection, recipients and signer as the backup's: slices go on from where a set ends.
    backup = backup_deps()
    return CaptureDeps(
        connect=backup.connect,
        catalogue=backup.catalogue,
        state=open_state(),
        clock=system_clock(),
        recipients=backup.recipients,
        signer=backup.signer,
        notifications=build_notifier(),
        begin_backup=begin_daily_backup,
        policy=backup.policy,
        offline_reason=backup.offline_reason,
    )


def run_if_enabled() -> str:
    """What the timer does. Raises UsageError for bad settings."""
    from shared.pitr.capture import capture_oplog

    return capture_oplog(capture_deps()) if is_enabled() else "policy does not capture the oplog"


def capture_around_stop() -> str:
    """The last slice before the machine is stopped, and the first after it was started."""
    from shared.pitr.capture import capture_around_stop as capture

    # What was written since the last slice would otherwise be captured at the next start only, hours later.
    return capture(capture_deps()) if is_enabled() else ""


def begin_daily_backup(reason: str) -> str:
    """Begin a set that retention treats like tonight's; its folder."""
    from shared.backup.begin import begin_set
    from shared.formats.backupset import set_folder

    # Not manual, which would be kept for good: one is begun by each gap of the oplog.
    plan = begin_set(backup_deps(), "daily", reason=reason)
    return set_folder(plan.klass, plan.set)


def plan_moment(catalogue: SetCatalogue, until: str, reference: str) -> MomentPlan:
    """How the moment that a person named is restored. Raises UsageError, NotFound with those that can be."""
    from shared.pitr.catalogue import SliceCatalogue
    from shared.pitr.moment import parse_moment

    return SliceCatalogue(catalogue).plan(parse_moment(until), reference)
