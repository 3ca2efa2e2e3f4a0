"""The version watermark: the newest version that may have touched the data, though it never became healthy.

Helm knows which revision succeeded, not which one started: after an upgrade that failed half way it calls
the old version deployed, while the new one may have migrated the data. The watermark is set before a version
is applied. It is cleared when that version is healthy, when it is proven that it never touched the data, or
after the restore of the backup that was taken before. While it is set nothing older is started.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import datetime

from shared.deploy.progress import DeployProgress
from shared.kernel.timestamps import format_second


@dataclass(frozen=True, slots=True)
class VersionWatermark:
    """The version that may have touched the data, and the pair to return to, together and only together."""

    version: str  # the newest Rocket.Chat that may have migrated the data
    previous_version: str  # what `revision` runs
    revision: int  # Helm's revision to return to; 0 if nothing was deployed
    backup: str  # class/id of the set that was taken before; empty if none was
    schema: int | None  # Rocket.Chat's migration counter in that backup; None if it is not known
    deploy: str  # the key of the deploy that set it last
    raised_at: datetime  # when it was set first, UTC
    earlier_version: str = ""  # what `version` was before `deploy` raised it; empty if it was not set then
    earlier_deploy: str = ""  # and what `deploy` was


def raise_watermark(
    current: VersionWatermark | None, progress: DeployProgress, now: datetime
) -> VersionWatermark:
    """The watermark as it must be before the deploy is applied.

    The pair of an earlier one stays: the data may have been migrated since, so only that pair is whole.
    """
    if current is not None and current.deploy == progress.key:
        return replace(current, version=progress.version_after)
    if current is not None:
        return replace(
            current,
            version=progress.version_after,
            deploy=progress.key,
            earlier_version=current.version,
            earlier_deploy=current.deploy,
        )
    return VersionWatermark(
        progress.version_after,
        progress.rollback_version,
        progress.revision_before,
        progress.backup,
        progress.schema_before,
        progress.key,
        now,
    )


def lower_watermark(current: VersionWatermark, progress: DeployProgress) -> VersionWatermark | None:
    """The watermark after the deploy is proven to have left the data alone; None if there is to be none.

    One that another deploy set stays, since that one may have touched the data.
    """
    if current.deploy != progress.key:
        return current
    if current.earlier_version:
        return replace(
            current,
            version=current.earlier_version,
            deploy=current.earlier_deploy,
            earlier_version="",
            earlier_deploy="",
        )
    if progress.rollback_is_downgrade:  # raised by a version that did not keep the earlier one
        return replace(current, version=progress.version_before)
    return None


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
    old = watermark.previous_version or "what ran before"
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
            "no backup was taken for this: CLASS/SET is the newest one from before "
            f"{format_second(watermark.raised_at)}"
        )
    if not watermark.revision:
        warnings.append("nothing was deployed before: deploy the version that wrote the restored data")
    why = f"{old} is not started on data that {watermark.version} may have migrated: {reason}"
    return RestoreProposal(why, commands, tuple(warnings))
