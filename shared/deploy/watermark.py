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

from shared.deploy.state_machine import DeployProgress


@dataclass(frozen=True, slots=True)
class VersionWatermark:
    """`version` may have touched the data. The pair to go back to, together and only together, is `backup`
    (class/id, empty if none was taken) and `revision` (0: nothing was deployed), which runs `old`."""

    version: str
    old: str
    revision: int
    backup: str
    schema: int | None  # Rocket.Chat's migration counter in the backup; None if it is not known
    deploy: str  # the key of the deploy that set it
    at: datetime


def raise_watermark(
    watermark: VersionWatermark | None, progress: DeployProgress, now: datetime
) -> VersionWatermark:
    """The mark as it must be before the deploy is applied: an earlier pair stays, since only it is whole."""
    if watermark is not None:
        return replace(watermark, version=progress.version_after, deploy=progress.key)
    return VersionWatermark(
        progress.version_after,
        progress.revision_version,
        progress.revision_before,
        progress.backup,
        progress.schema_before,
        progress.key,
        now,
    )


@dataclass(frozen=True, slots=True)
class RestoreProposal:
    """The paired restore: what to run, in this order, once two people agreed."""

    reason: str
    commands: tuple[str, ...]
    warnings: tuple[str, ...] = ()


RUNBOOK = "docs/runbooks/restore-after-a-deploy.md"


def propose_restore(watermark: VersionWatermark, reason: str, *, namespace: str) -> RestoreProposal:
    """The data as they were, with the version that wrote them; the commands can be pasted as they are.

    RESTORE_URI names an empty MongoDB, which a restore insists on.
    """
    old = watermark.old or "what ran before"
    backup, place = shlex.quote(watermark.backup or "CLASS/SET"), shlex.quote(namespace)
    commands = (
        f"kubectl --namespace {place} scale deployment --all --replicas=0",
        f"groundcrew backups verify {backup}",
        f'groundcrew restore {backup} --to-uri "$RESTORE_URI" --dry-run',
        f'groundcrew restore {backup} --to-uri "$RESTORE_URI"',
        f"groundcrew deploy rollback {watermark.revision} --restored {backup}",
    )
    warnings = [f"before the last command the chat and MONGODB_URI must use the restored database: {RUNBOOK}"]
    if watermark.backup:
        warnings.append(f"what was written since the backup {watermark.backup} is lost")
    else:
        warnings.append(
            f"no backup was taken for this: CLASS/SET is the newest one from before {watermark.at:%F %T} UTC"
        )
    if not watermark.revision:
        warnings.append("nothing was deployed before: deploy the version that wrote the restored data")
    why = f"{old} is not started on data that {watermark.version} may have migrated: {reason}"
    return RestoreProposal(why, commands, tuple(warnings))
