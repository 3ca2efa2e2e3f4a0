"""Whether the newest backup is good and recent enough: what `/api/health` asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.backup.catalogue import SetCatalogue
from shared.backup.extra import describe_state, find_unread
from shared.backup.sets import SetInfo
from shared.kernel.durations import format_duration
from shared.kernel.errors import Unavailable
from shared.kernel.timestamps import format_minute

# infra/terraform deletes a day later than policy says; rules run once a day, and may take a day to end:
# https://learn.microsoft.com/en-us/azure/storage/blobs/lifecycle-management-overview
_LIFECYCLE_DELAY = timedelta(days=5)


def check_newest_backup(
    catalogue: SetCatalogue, now: datetime, alarm_after: timedelta, retained_since: Mapping[str, datetime]
) -> str:
    """The age of the newest good backup, as a text.

    Raises Unavailable if it is older than `alarm_after`, if there is none, if the set that was sealed last is
    not stored as it was (an older good one must not hide that), or if one that policy keeps was deleted.
    """
    hint = "Run: groundcrew backups verify"
    if problem := catalogue.head_problem():
        raise Unavailable("the backup that was sealed last is missing or damaged", value=problem, hint=hint)
    if missing := catalogue.missing(retained_since):
        raise Unavailable("a backup that policy keeps is missing", value="; ".join(missing[:3]), hint=hint)
    newest = catalogue.newest_good()
    if newest is None:
        raise Unavailable("there is no good backup", hint="See: groundcrew backups list --all")
    age = now - newest.info.created
    if age > alarm_after:
        limit = format_duration(alarm_after)
        raise Unavailable(
            f"the newest backup is older than {limit}", value=format_duration(age), hint="See its job's runs."
        )
    return f"the newest is {format_duration(age)} old"


def check_expired_gone(sets: Sequence[SetInfo], ages: Mapping[str, timedelta], now: datetime) -> str:
    """Whether the storage's lifecycle rules delete what policy keeps no longer, by what is still there.

    The rules themselves are not read: the app has no right to. Raises Unavailable if a set outlived its class
    by more than five days. As long as none could, it is unknown, and told so.
    """
    # By the storage's own dates: a folder's name is whatever its writer chose.
    expiries = sorted(
        (max(blob.last_modified for blob in one.files.values()) + ages[one.klass], one.reference)
        for one in sets
        if one.klass in ages
    )
    overdue = [reference for expiry, reference in expiries if now - expiry > _LIFECYCLE_DELAY]
    if overdue:
        hint = "Apply infra/terraform, whose lifecycle rules delete them, or set backup.retention to self."
        shown = ", ".join(overdue[:3])
        raise Unavailable(
            "the storage does not delete expired backups", value=f"{len(overdue)} sets: {shown}", hint=hint
        )
    if not expiries:
        return "unknown: there is no set that could have expired"
    return f"no set has outlived its class; the next expires {format_minute(expiries[0][0])}"


def check_newest_state(catalogue: SetCatalogue, *, required: bool) -> str:
    """What the newest good backup holds of the cluster, as a text; what could not be read is unknown.

    Raises Unavailable if something is unknown although policy requires all of it, and without a good backup.
    """
    newest = catalogue.newest_good()
    if newest is None:
        raise Unavailable("there is no good backup", hint="See: groundcrew backups list --all")
    extra = newest.manifest.extra_parts
    unread = find_unread(extra)
    if required and unread:
        hint = "See infra/chart/rbac-cluster-state.yaml, then: groundcrew backups create"
        raise Unavailable("the newest backup lacks cluster state", value="; ".join(unread[:3]), hint=hint)
    return describe_state(extra)
