"""How a deploy ends: what is recorded of a success, what is undone or proposed after a failure.

The version watermark outlives a deploy that may have touched the data, and no other.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from shared.deploy.progress import DeployState, ObservedRelease
from shared.deploy.records.deploy_record import AGREED
from shared.deploy.rollout.session import DeploySession
from shared.deploy.state_machine import NextStep
from shared.deploy.watermark import (
    RUNBOOK,
    VersionWatermark,
    lower_watermark,
    propose_restore,
    raise_watermark,
)
from shared.kernel.errors import Corrupt, GroundcrewError

log = logging.getLogger(__name__)


def record_success(session: DeploySession) -> None:
    """Record what is deployed now and clear the watermark, for the deploys that come after.

    Does nothing unless the deploy is done and applied something; calling it again is fine.
    """
    record, progress, watermarks = session.record, session.progress, session.deps.watermarks
    # Without an attempt it applied nothing (the commit was deployed already): the ledger is another's.
    if record.state is not DeployState.DONE or not progress.attempts:
        return
    deployed = progress.sha, progress.revision_after, progress.version_after
    try:
        session.deps.ledger.record_deploy(progress.environment, *deployed, record.state_since)
        watermark = watermarks.read()
        # One that was raised after this deploy became healthy is a later deploy's.
        if watermark is not None and (
            watermark.deploy == progress.key or watermark.raised_at <= record.state_since
        ):
            watermarks.clear()
    except Corrupt as error:  # it closes the gates of those that come after, until somebody looks
        facts = {"deploy": progress.key, "error": str(error)}
        log.error("deploy.success_not_recorded", extra=facts)  # noqa: TRY400


def end_deploy(session: DeploySession, step: NextStep, observed: ObservedRelease) -> None:
    """End the deploy as `step` says; its state is final afterwards."""
    match step.action:
        case "propose_restore":
            _propose_restore(session, step.reason)
        case "fail_unknown":
            session.transition(step.state, step.reason, outcome_unknown=True)
        case "fail_first_release":
            # A first release is uninstalled again, but its volume may stay, with data of the new version on
            # it.
            if not _has_data(session):
                _lower_watermark(session)
            session.transition(step.state, step.reason)
        case _:
            _lower_watermark(session)
            if step.state is DeployState.ROLLED_BACK:
                _record_rollback(session, observed)
            session.transition(step.state, step.reason)


def _has_data(session: DeploySession) -> bool:
    """Whether a first release, which is uninstalled again, left data of its version."""
    try:
        return session.deps.database().schema is not None
    except GroundcrewError as error:
        facts = {"deploy": session.progress.key, "error": str(error)}
        log.warning("deploy.data_unknown", extra=facts)
        return session.progress.had_data


def _record_rollback(session: DeploySession, observed: ObservedRelease) -> None:
    progress, now = session.progress, session.deps.clock.now()
    session.deps.ledger.record_rollback(
        progress.environment, progress.revision_before, observed.revision, progress.rollback_version, now
    )


def _propose_restore(session: DeploySession, reason: str) -> None:
    """Propose the paired restore to two people; the watermark stays until it was done."""
    watermark = _watermark_with_pair(session)
    if watermark is None:
        lines = [f"{reason}; which backup belongs to which revision is unknown: see {RUNBOOK}"]
    else:
        proposal = propose_restore(watermark, reason, namespace=session.deps.policy.namespace)
        warnings = list(proposal.warnings)
        # Two deploys in a row may have failed: the pair to go back to is that of the first, and people should
        # know that the second took a backup too.
        own = session.progress.backup
        if own and own != watermark.backup:
            warnings.append(f"the data as they were right before this deploy are in the backup {own}")
        lines = [proposal.reason, *warnings, AGREED, *proposal.commands]
    session.record = replace(session.record, proposal="\n".join(lines))
    session.transition(DeployState.RESTORE_PROPOSED, reason)


def _watermark_with_pair(session: DeploySession) -> VersionWatermark | None:
    """The watermark; raised anew if it is gone and this deploy's own pair is whole."""
    progress, watermarks = session.progress, session.deps.watermarks
    try:
        watermark = watermarks.read()
    except Corrupt as error:
        facts = {"deploy": progress.key, "error": str(error)}
        log.error("deploy.restore_pair_unreadable", extra=facts)  # noqa: TRY400
        return None
    if watermark is None and not progress.rollback_is_downgrade:
        watermark = raise_watermark(None, progress, session.deps.clock.now())
        watermarks.save(watermark)
    return watermark


def _lower_watermark(session: DeploySession) -> None:
    """This deploy is proven to have left the data alone: only then an end like this is reached."""
    progress, watermarks = session.progress, session.deps.watermarks
    try:
        watermark = watermarks.read()
    except Corrupt as error:  # it stays, and closes the gates until somebody looks
        facts = {"deploy": progress.key, "error": str(error)}
        log.error("deploy.watermark_not_lowered", extra=facts)  # noqa: TRY400
        return
    lowered = lower_watermark(watermark, progress) if watermark else None
    if lowered is None:
        watermarks.clear()
    elif lowered != watermark:
        watermarks.save(lowered)
