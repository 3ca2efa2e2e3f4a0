"""The high-water mark of the data: the newest version that may have touched them, though it did not get well.

Helm knows which revision succeeded, not which one started: after an upgrade that failed half way it calls
the old version deployed, while the new one may have migrated the data. The mark is set before a version is
applied and taken away when it is well, when it is proven that it never touched the data, or after the restore
of the backup that was taken before. While it stands nothing older is started.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import datetime

from shared.deploy.state_machine import Record


@dataclass(frozen=True, slots=True)
class Mark:
    """`version` may have touched the data. The pair to go back to, together and only together, is `backup`
    (class/id, empty if none was taken) and `revision` (0: nothing was deployed), which runs `old`."""

    version: str
    old: str
    revision: int
    backup: str
    schema: int | None  # Rocket.Chat's migration counter in the backup; None if it is not known
    deploy: str  # the key of the deploy that set it
    at: datetime


def raised(mark: Mark | None, record: Record, now: datetime) -> Mark:
    """The mark as it must be before the deploy is applied: an earlier pair stays, since only it is whole."""
    if mark is not None:
        return replace(mark, version=record.version_after, deploy=record.key)
    return Mark(
        record.version_after,
        record.revision_version,
        record.revision_before,
        record.backup,
        record.schema_before,
        record.key,
        now,
    )


@dataclass(frozen=True, slots=True)
class Proposal:
    """The paired restore: what to run, in this order, once two people agreed."""

    reason: str
    commands: tuple[str, ...]
    warnings: tuple[str, ...] = ()


RUNBOOK = "docs/runbooks/restore-after-a-deploy.md"


def propose_restore(mark: Mark, reason: str, *, namespace: str) -> Proposal:
    """The data as they were, with the version that wrote them; the commands can be pasted as they are.

    RESTORE_URI names an empty MongoDB, which a restore insists on.
    """
    old = mark.old or "what ran before"
    backup, place = shlex.quote(mark.backup or "CLASS/SET"), shlex.quote(namespace)
    commands = (
        f"kubectl --namespace {place} scale deployment --all --replicas=0",
        f"groundcrew backups verify {backup}",
        f'groundcrew restore {backup} --to-uri "$RESTORE_URI" --dry-run',
        f'groundcrew restore {backup} --to-uri "$RESTORE_URI"',
        f"groundcrew deploy rollback {mark.revision} --restored {backup}",
    )
    warnings = [f"before the last command the chat and MONGODB_URI must use the restored database: {RUNBOOK}"]
    if mark.backup:
        warnings.append(f"what was written since the backup {mark.backup} is lost")
    else:
        warnings.append(
            f"no backup was taken for this: CLASS/SET is the newest one from before {mark.at:%F %T} UTC"
        )
    if not mark.revision:
        warnings.append("nothing was deployed before: deploy the version that wrote the restored data")
    why = f"{old} is not started on data that {mark.version} may have migrated: {reason}"
    return Proposal(why, commands, tuple(warnings))
