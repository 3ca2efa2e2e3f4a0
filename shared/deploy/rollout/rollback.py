"""Going back to an earlier revision by hand: between versions only after a restore, and by two people."""

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
from shared.records.approvals import Approvals
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

ACTION = "deploy.rollback"
_HOLD = "deploy/rollback"


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """From where to where. `target` is None where nothing was deployed before; `restored` is the backup that
    was restored for it, `schema` Rocket.Chat's migration counter in that backup, None if it is not known."""

    target: Revision | None
    version_now: str
    version_then: str
    restored: str = ""
    schema: int | None = None

    @property
    def crosses(self) -> bool:
        """Whether another version of Rocket.Chat would start on the data."""
        return self.version_now != self.version_then or not self.version_then

    @property
    def arguments(self) -> dict[str, str]:
        """What an approval of it is bound to."""
        return {
            "revision": str(self.target.number if self.target else 0),
            "from": self.version_now,
            "to": self.version_then,
            "restored": self.restored,
        }

    def __str__(self) -> str:
        if self.target is None:
            return f"the data are those of {self.restored}"
        version = self.version_then or "of a version that its image does not tell"
        return f"went back to revision {self.target.number}, Rocket.Chat {version}"


def plan_rollback(deps: DeployDeps, number: int, restored: str = "") -> RollbackPlan:
    """What going back would mean.

    Raises NotFound for a revision or a backup there is not, Refused for a backup that does not belong to it.

    Number 0 starts nothing: it only says that the data were restored, where nothing was deployed before.
    """
    watermark = deps.watermarks.read()
    running = _running_version(deps)
    if not number and (watermark is None or watermark.revision):
        raise NotFound("the release has no such revision", value=0, hint="See groundcrew deploy history.")
    if watermark is None and running is None:
        raise NotFound("nothing is deployed", hint="There is nothing to go back from.")
    target = find_revision(deps, number) if number else None
    then = find_chat_version(deps.releases.manifests(number)) if target else ""
    now = newer_version(watermark.version if watermark else "", running or "")
    if restored:
        _check_backup_matches(deps, restored, watermark)
    return RollbackPlan(target, now, then, restored, _schema_before(deps, now, watermark))


def _running_version(deps: DeployDeps) -> str | None:
    """The version of the good revision; None if there is none, empty if its image does not tell."""
    now = last_deployed_revision(deps.releases.history())
    return find_chat_version(deps.releases.manifests(now.number)) if now else None


def _check_backup_matches(deps: DeployDeps, restored: str, watermark: VersionWatermark | None) -> None:
    """Whether it is a backup, and the very one while a restore is proposed: later ones hold migrated data."""
    if deps.backups.state(restored) != "sealed":
        raise Refused("that is no sealed backup", value=restored, hint="See groundcrew backups list.")
    if watermark is not None and watermark.backup and watermark.backup != restored:
        raise Refused("that backup does not belong to it", value=restored, hint=f"It is {watermark.backup}.")


def _schema_before(deps: DeployDeps, version: str, watermark: VersionWatermark | None) -> int | None:
    """Of the data before that version came, as its deploy noted it; None if that is not known."""
    if watermark is not None:
        return watermark.schema
    applied = [
        one for one in deps.deploys.list_recent() if one.progress.attempts and one.progress.changes_version
    ]
    found = [one.progress.schema_before for one in applied if one.progress.version_after == version]
    return found[-1] if found else None


def rollback(deps: DeployDeps, way: RollbackPlan, *, by: str, on_progress: Callable[[str], None]) -> str:
    """Do it; returns what was done, in a sentence.

    Raises Refused without the restore or the approval that another version needs, naming how to get it, and
    if the release is not any more as it was when the way was planned; Locked if a deploy is at it.
    """
    with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
        _check_unchanged(deps, way)
        if way.crosses:
            _require_restored(deps, way)
        approver = _require_approval(deps, way, by) if way.crosses else ""
        deps.holds.put(_HOLD, f"going back by {by}", HOLD_DURATION, needs_up=True)
        try:
            outcome = _run_helm_rollback(deps, way, lease, on_progress)
            done = outcome is None or outcome.succeeded
            if done:
                _record_rollback(deps, way, outcome)
                Approvals(deps.state, deps.clock).use(ACTION, way.arguments)
        finally:
            deps.holds.release(_HOLD)
    who = f"by {by}" + (f", approved by {approver}" if approver else "")
    subject = f"revision {way.arguments['revision']}"
    AuditTrail(deps.state, deps.clock).append(by, ACTION, subject, "done" if done else "failed")
    if outcome is not None and not outcome.succeeded:
        raise Unavailable("the way back failed", value=outcome.reason, hint="See groundcrew deploy history.")
    told = f"{deps.policy.release}: {way}"
    try:
        deps.notifications.notify(Notice(Severity.WARNING, told, who))
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"error": str(error)})
    return f"{told}, {who}"


def _require_restored(deps: DeployDeps, way: RollbackPlan) -> None:
    """Whether the data are really those of before. Without a way to tell it is left to the two people."""
    if not way.restored:
        raise Refused(
            f"{way.version_then or 'another version'} is not started on data that {way.version_now} may have "
            "migrated",
            hint="Restore the backup that was taken before, then give it with --restored CLASS/SET.",
        )
    if way.schema is None:
        return
    there = deps.database().schema
    if there != way.schema:
        raise Refused(
            f"the database that MONGODB_URI names is not that of {way.restored}",
            value=f"schema {'unknown or locked' if there is None else there} instead of {way.schema}",
            hint="Restore it, and let the chat and MONGODB_URI use it.",
        )


def _check_unchanged(deps: DeployDeps, way: RollbackPlan) -> None:
    """Nobody deployed since the way was planned, and no deploy is in the middle of it."""
    number = way.target.number if way.target else 0
    if plan_rollback(deps, number, way.restored) != way:
        raise Refused("the release changed meanwhile", hint="Look again: groundcrew deploy history.")
    if busy := deps.deploys.busy_reason():
        raise Locked(busy, hint="Let it end, then look again.")


def _run_helm_rollback(
    deps: DeployDeps, way: RollbackPlan, lease: Lease, on_progress: Callable[[str], None]
) -> HelmResult | None:
    """Let Helm go back; None where nothing is to be started."""
    if way.target is None:
        return None

    def report_progress(line: str) -> None:
        lease.check()
        if line:
            on_progress(line)

    last = deps.releases.status()
    if last is not None and last.pending:
        age = deps.clock.now() - (last.at or deps.clock.now())
        if age < 4 * deps.policy.helm_timeout:
            raise Locked(
                f"revision {last.number} is {last.status}", hint="Somebody's Helm is at it: let it end."
            )
        deps.releases.repair()
    return deps.releases.rollback(
        way.target.number, timeout=deps.policy.helm_timeout, on_progress=report_progress
    )


def _record_rollback(deps: DeployDeps, way: RollbackPlan, outcome: HelmResult | None) -> None:
    """What is deployed now is another commit's, and the forge no longer says that the last one is."""
    deps.watermarks.clear()
    if way.target is None or outcome is None or outcome.revision is None:
        return
    now = deps.clock.now()
    for environment in deps.policy.environments:
        before = deps.ledger.read(environment)
        if not before.revision:
            continue
        made = outcome.revision.number
        deps.ledger.record_rollback(environment, way.target.number, made, way.version_then, now)
        try:
            for told in deps.forge.deployments(environment, sha=before.sha) if before.sha else ():
                if told.state == "success":
                    deps.forge.set_deployment_status(told.id, "inactive", str(way))
        except GroundcrewError as error:
            log.warning("deploy.not_told", extra={"error": str(error)})


def _require_approval(deps: DeployDeps, way: RollbackPlan, by: str) -> str:
    """Who approved it."""
    approvals = Approvals(deps.state, deps.clock)
    found = approvals.granted(ACTION, way.arguments)
    if found is not None:
        return found.approver
    lasting = deps.policy.approval_timeout
    asked = approvals.request(ACTION, way.arguments, by=by, lasting=lasting)
    raise Refused(
        f"going back from {way.version_now} to {way.version_then} needs the approval of another person",
        value=asked.id,
        hint=f"Let them run: groundcrew deploy approve {asked.id}",
    )
