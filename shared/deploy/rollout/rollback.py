"""The manual rollback to an earlier revision: between versions only after a restore, and by two people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.deploy.deps import LEASE_DURATION, DeployDeps
from shared.deploy.gates.base import last_deployed_revision
from shared.deploy.gates.evaluate import find_revision
from shared.deploy.gates.versions import newer_version
from shared.deploy.ports.releases import HelmResult, Revision
from shared.deploy.rollout.session import HOLD_DURATION
from shared.deploy.watermark import VersionWatermark
from shared.kernel.errors import GroundcrewError, Locked, NotFound, Refused, Unavailable
from shared.kernel.ports import Lease
from shared.kubernetes.images import find_chat_version
from shared.notifications.ports import Notice, Severity
from shared.records.approvals import describe_how_to_approve
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

ACTION = "deploy.rollback"
_HOLD = "deploy/rollback"


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """From where to where.

    - `target`: the revision to return to; None where nothing was deployed before.
    - `version_now`, `version_then`: the Rocket.Chat that the data belong to, and that of `target`; empty if
      its image does not say.
    - `restored`: class/id of the backup that was restored for it; empty if none was.
    - `schema`: Rocket.Chat's migration counter in that backup; None if it is not known.
    - `current`: the revision that was deployed last; 0 if none was. An approval does not outlive it.
    """

    target: Revision | None
    version_now: str
    version_then: str
    restored: str = ""
    schema: int | None = None
    current: int = 0

    @property
    def changes_version(self) -> bool:
        """Whether another version of Rocket.Chat would start on the data."""
        return self.version_now != self.version_then or not self.version_then

    @property
    def number(self) -> int:
        """The number of the revision to return to; 0 where nothing was deployed before."""
        return self.target.number if self.target else 0

    @property
    def arguments(self) -> dict[str, str]:
        """What an approval of it is bound to."""
        return {
            "revision": str(self.number),
            "current": str(self.current),
            "from": self.version_now,
            "to": self.version_then,
            "restored": self.restored,
        }

    def __str__(self) -> str:
        if self.target is None:
            return f"the data are those of {self.restored}"
        return (
            f"rolled back to revision {self.number}, Rocket.Chat {self.version_then or '(unknown version)'}"
        )


def plan_rollback(deps: DeployDeps, number: int, restored: str = "") -> RollbackPlan:
    """What a rollback to the revision of that number would do.

    Number 0 starts nothing: it only records that the data were restored, where nothing was deployed before.

    Raises NotFound for a revision or a backup that does not exist, Refused for a backup that does not belong
    to the revision.
    """
    watermark = deps.watermarks.read()
    deployed = last_deployed_revision(deps.releases.history())
    running = find_chat_version(deps.releases.manifests(deployed.number)) if deployed else None
    if not number and (watermark is None or watermark.revision):
        raise NotFound("the release has no such revision", value=0, hint="See groundcrew deploy history.")
    if watermark is None and running is None:
        raise NotFound("nothing is deployed", hint="There is nothing to roll back from.")
    target = find_revision(deps, number) if number else None
    version_then = find_chat_version(deps.releases.manifests(number)) if target else ""
    version_now = newer_version(watermark.version if watermark else "", running or "")
    if restored:
        _check_backup_matches(deps, restored, watermark)
    schema = _schema_before(deps, version_now, watermark)
    current = deployed.number if deployed else 0
    return RollbackPlan(target, version_now, version_then, restored, schema, current)


def _check_backup_matches(deps: DeployDeps, restored: str, watermark: VersionWatermark | None) -> None:
    """Raises Refused unless it is a sealed set, and the very one that a proposal names: later ones hold
    migrated data."""
    # By the catalogue, signature and all: the name of a folder proves nothing.
    if deps.backups.state(restored) != "sealed":
        raise Refused("not a sealed backup", value=restored, hint="See groundcrew backups list.")
    if watermark is not None and watermark.backup and watermark.backup != restored:
        hint = f"The backup that belongs to it is {watermark.backup}."
        raise Refused("the backup does not belong to this rollback", value=restored, hint=hint)


def _schema_before(deps: DeployDeps, version: str, watermark: VersionWatermark | None) -> int | None:
    """The schema of the data before that version was started; None if it is not known."""
    # The watermark was raised by the deploy that failed, and knows the schema from before it; the records
    # below are for a success that is undone.
    if watermark is not None:
        return watermark.schema
    deploys = [record.progress for record in deps.deploys.list_recent()]
    applied = [progress for progress in deploys if progress.attempts and progress.changes_version]
    schemas = [progress.schema_before for progress in applied if progress.version_after == version]
    return schemas[-1] if schemas else None


def rollback(deps: DeployDeps, plan: RollbackPlan, *, by: str, on_progress: Callable[[str], None]) -> str:
    """Do it; returns what was done, in a sentence.

    Raises Refused without the restore or the approval that another version needs, saying how to get it, and
    if the release changed since the plan; Locked while a deploy is in progress; Unavailable if Helm fails.
    """
    with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
        # Under the lease: from here on no deploy can change what two people have approved.
        _check_unchanged(deps, plan)
        if plan.changes_version:
            _require_restored(deps, plan)
        approver = _require_approval(deps, plan, by) if plan.changes_version else ""
        deps.holds.add_hold(_HOLD, f"rollback by {by}", HOLD_DURATION, needs_up=True)
        try:
            result = _run_helm_rollback(deps, plan, lease, on_progress)
            succeeded = result is None or result.succeeded
            if succeeded:
                _record_rollback(deps, plan, result)
                # Only after a success: two people need not approve again because Helm timed out.
                deps.approvals().consume_approval(ACTION, plan.arguments)
        finally:
            # Also after a failure: whoever tries again adds it anew.
            deps.holds.release_hold(_HOLD)
    outcome = "done" if succeeded else "failed"
    AuditTrail(deps.state, deps.clock).append(by, ACTION, f"revision {plan.number}", outcome)
    # After the audit entry: a failed attempt of people is on record too.
    if result is not None and not result.succeeded:
        raise Unavailable("rollback failed", value=result.reason, hint="See groundcrew deploy history.")
    approvers = f"by {by}" + (f", approved by {approver}" if approver else "")
    return _notify_rollback(deps, f"{deps.policy.release}: {plan}", approvers)


def _notify_rollback(deps: DeployDeps, title: str, approvers: str) -> str:
    try:
        deps.notifications.notify(Notice(Severity.WARNING, title, approvers))
    except GroundcrewError as error:
        facts = {"release": deps.policy.release, "error": str(error)}
        log.warning("rollback.notification_failed", extra=facts)
    return f"{title}, {approvers}"


def _require_restored(deps: DeployDeps, plan: RollbackPlan) -> None:
    """Raises Refused unless the data are those of before; where nothing shows it the two people decide."""
    if not plan.restored:
        raise Refused(
            f"{plan.version_then or 'another version'} is not started on data that {plan.version_now} may "
            "have migrated",
            hint="Restore the backup that was taken before, then name it with --restored CLASS/SET.",
        )
    # Then the database cannot contradict, and what two people say has to do.
    if plan.schema is None:
        return
    schema = deps.database().schema
    if schema != plan.schema:
        raise Refused(
            f"the database of MONGODB_URI is not that of {plan.restored}",
            value=f"schema {'unknown or locked' if schema is None else schema} instead of {plan.schema}",
            hint="Restore the backup, and let Rocket.Chat and MONGODB_URI use it.",
        )


def _check_unchanged(deps: DeployDeps, plan: RollbackPlan) -> None:
    """Raises Refused if the release changed since the plan, Locked while a deploy is in progress."""
    if plan_rollback(deps, plan.number, plan.restored) != plan:
        raise Refused("the release changed since the plan", hint="Look again: groundcrew deploy history.")
    if busy := deps.deploys.busy_reason():
        raise Locked(busy, hint="Wait for it to finish, then try again.")


def _run_helm_rollback(
    deps: DeployDeps, plan: RollbackPlan, lease: Lease, on_progress: Callable[[str], None]
) -> HelmResult | None:
    """Let Helm roll back; None where nothing is to be started."""
    if plan.target is None:
        return None

    def report_progress(line: str) -> None:
        lease.check()
        if line:
            on_progress(line)

    newest = deps.releases.status()
    if newest is not None and newest.pending:
        age = deps.clock.now() - (newest.at or deps.clock.now())
        # Hooks before and after, the wait, a rollback: each may take the timeout. What is older was left by a
        # client that was killed.
        if age < 4 * deps.policy.helm_timeout:
            raise Locked(
                f"revision {newest.number} is {newest.status}",
                hint="Another Helm operation is in progress; wait for it to finish.",
            )
        # A release that is pending refuses everything: what a killed client left is closed first.
        deps.releases.repair()
    return deps.releases.rollback(
        plan.target.number, timeout=deps.policy.helm_timeout, on_progress=report_progress
    )


def _record_rollback(deps: DeployDeps, plan: RollbackPlan, result: HelmResult | None) -> None:
    """Another commit is deployed now, and GitHub no longer calls the last one active."""
    # The data are those of the older version again: the next deploy is compared with that.
    deps.watermarks.clear()
    if plan.target is None or result is None or result.revision is None:
        return
    now, revision = deps.clock.now(), result.revision.number
    for environment in deps.policy.environments:
        before = deps.ledger.read(environment)
        if before.revision:
            deps.ledger.record_rollback(environment, plan.number, revision, plan.version_then, now)
        # Best effort, below: GitHub's view is for people, the ledger is what the next deploy goes by.
        if before.sha:
            _deactivate_deployments(deps, environment, before.sha, str(plan))


def _deactivate_deployments(deps: DeployDeps, environment: str, sha: str, reason: str) -> None:
    try:
        for deployment in deps.forge.list_deployments(environment, sha=sha):
            if deployment.state == "success":
                deps.forge.set_deployment_status(deployment.id, "inactive", reason)
    except GroundcrewError as error:
        facts = {"environment": environment, "sha": sha, "error": str(error)}
        log.warning("rollback.status_update_failed", extra=facts)


def _require_approval(deps: DeployDeps, plan: RollbackPlan, by: str) -> str:
    """Who approved it. Raises Refused, with the id to approve, if nobody has."""
    approvals = deps.approvals()
    granted = approvals.find_granted(ACTION, plan.arguments)
    if granted is not None:
        return granted.approver
    lasting = deps.policy.approval_timeout
    request = approvals.request_approval(ACTION, plan.arguments, by=by, lasting=lasting)
    raise Refused(
        f"a rollback from {plan.version_now} to {plan.version_then} needs the approval of a second person",
        value=request.id,
        hint=describe_how_to_approve(request.id),
    )
