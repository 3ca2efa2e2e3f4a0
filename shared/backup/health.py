"""Whether the newest backup is good and recent enough: what `/api/health` asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.backup.catalogue import SetCatalogue
from shared.backup.extra import describe_state, find_unread
from shared.kernel.durations import format_duration
from shared.kernel.errors import Unavailable


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
