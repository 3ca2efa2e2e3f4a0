"""Tells how a deploy goes: statuses on the forge, a message to people, a comment where somebody must act.

The forge and the chat may be down: what is told of progress is told once or not at all, what is told of the
end is told until it was heard.
"""

from __future__ import annotations

import logging

from shared.deploy.deps import DEPLOYMENT_PREFIX, DeployDeps
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, NotFound, Refused, UsageError
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

_FORGE = {
    DeployState.DONE: "success",
    DeployState.SUPERSEDED: "inactive",
    DeployState.FAILED: "failure",
    DeployState.ROLLED_BACK: "failure",
    DeployState.RESTORE_PROPOSED: "error",
}
_TITLES = {
    DeployState.DONE: "is deployed",
    DeployState.SUPERSEDED: "was superseded",
    DeployState.FAILED: "was not deployed",
    DeployState.ROLLED_BACK: "was rolled back",
    DeployState.RESTORE_PROPOSED: "failed, and a restore is proposed",
}
_SEVERITY = {
    DeployState.DONE: Severity.INFO,
    DeployState.SUPERSEDED: Severity.INFO,
    DeployState.FAILED: Severity.WARNING,
    DeployState.ROLLED_BACK: Severity.WARNING,
    DeployState.RESTORE_PROPOSED: Severity.CRITICAL,
}
_UNCLEAR = (
    "What runs may be neither the old nor the new release. Look: groundcrew deploy history. "
    "Then go back: groundcrew deploy rollback {back}. Or mend it and merge again."
)


def open_deployment(deps: DeployDeps, record: DeployRecord) -> int:
    """The forge's deployment of this commit: one that a killed worker made, or a new one; 0 if refused."""
    progress = record.progress
    if progress.deployment:
        return progress.deployment
    try:
        known = deps.forge.deployments(progress.environment, sha=progress.sha)
        ours = [one for one in known if one.description.startswith(DEPLOYMENT_PREFIX)]
        waiting = [one.id for one in ours if one.state in ("pending", "queued", "in_progress")]
        made = waiting[0] if waiting else deps.forge.create_deployment(
            progress.sha, progress.environment, f"{DEPLOYMENT_PREFIX} {progress.sha[:7]}"
        )  # fmt: skip
        link = deps.page_link(progress.key)
        deps.forge.set_deployment_status(made, "in_progress", "the gates are asked", link)
    except (NotFound, Refused) as error:
        log.warning("deploy.no_deployment", extra={"deploy": progress.key, "error": str(error)})
        return 0
    return made


def report_step(deps: DeployDeps, record: DeployRecord, text: str) -> None:
    """A new step, on the forge; its failure changes nothing."""
    progress, told = record.progress, f"{record.state.value}: {text}"
    log.info("deploy.step", extra={"deploy": progress.key, "state": record.state.value, "reason": text})
    if not progress.deployment:
        return
    try:
        link = deps.page_link(progress.key)
        deps.forge.set_deployment_status(progress.deployment, "in_progress", told, link)
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": progress.key, "error": str(error)})


def report_deployment_status(deps: DeployDeps, record: DeployRecord) -> None:
    """How it ended, to the forge and its readers. Raises if that must be told again."""
    progress = record.progress
    if progress.deployment:
        state = _FORGE[progress.state]
        try:
            link = deps.page_link(progress.key)
            deps.forge.set_deployment_status(progress.deployment, state, progress.reason or state, link)
        except (NotFound, Refused, UsageError) as error:
            log.warning("deploy.not_told", extra={"deploy": progress.key, "error": str(error)})
    if progress.state in (DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED, DeployState.FAILED):
        _comment(deps, record)


def notify_people(deps: DeployDeps, record: DeployRecord) -> None:
    """How it ended, to people and the audit trail. Raises if that must be told again."""
    progress = record.progress
    deps.notifications.notify(build_notice(deps, record))
    AuditTrail(deps.state, deps.clock).append(
        record.author or "groundcrew",
        "deploy",
        f"{progress.sha} to {progress.environment}",
        progress.state.value,
    )
    log.info(
        "deploy.ended",
        extra={"deploy": progress.key, "state": progress.state.value, "reason": progress.reason},
    )


def _comment(deps: DeployDeps, record: DeployRecord) -> None:
    """Under the pull request, where its author looks."""
    pull = record.progress.pull
    if not pull:
        return
    told = build_notice(deps, record)
    try:
        deps.forge.comment(pull, f"**{told.title}**\n\n{told.text}\n\n{told.hint}".strip())
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": record.progress.key, "error": str(error)})


def build_notice(deps: DeployDeps, record: DeployRecord) -> Notice:
    """Who, what, how it ended, how long it took."""
    progress, policy = record.progress, deps.policy
    what = record.title or progress.sha[:7]
    version = progress.version_after or "it"
    if progress.changes_version:
        version = f"{progress.version_before or 'what was there'} → {progress.version_after}"
    lines = [
        f"{record.title or 'A change'} (#{progress.pull}) by {record.author or 'somebody'}"
        if progress.pull
        else what,
        f"Rocket.Chat {version}, release {policy.release}, commit {progress.sha[:7]}",
        f"{progress.reason}" if progress.reason else "",
        f"It took {format_duration(record.duration)}.",
    ]
    if progress.backup:
        lines.append(f"The backup {progress.backup} was taken before.")
    lines.append(_progress_line(deps, record))
    title = f"{policy.release} {progress.sha[:7]} {_TITLES[progress.state]} ({progress.environment})"
    text = "\n".join(line for line in lines if line)
    severity = Severity.CRITICAL if progress.outcome_unknown else _SEVERITY[progress.state]
    return Notice(severity, title, text, build_hint(record), key=f"deploy/{progress.key}/{progress.state}")


def _progress_line(deps: DeployDeps, record: DeployRecord) -> str:
    link = deps.page_link(record.progress.key)
    return f"Progress: {link}" if link else ""


def build_hint(record: DeployRecord) -> str:
    """What somebody has to do now; empty if nothing."""
    match record.state:
        case DeployState.RESTORE_PROPOSED:
            return record.proposal
        case DeployState.FAILED if record.progress.outcome_unknown:
            return _UNCLEAR.format(back=record.progress.revision_before)
        case DeployState.FAILED:
            return "\n".join(line for line in record.gates if not line.startswith("passed"))
        case DeployState.ROLLED_BACK:
            return "Mend it and merge again; what ran before runs again."
    return ""


def notify_stuck(deps: DeployDeps, record: DeployRecord, why: str) -> None:
    """A deploy in the middle of which an outside system went away for long."""
    progress = record.progress
    title = f"the deploy of {progress.sha[:7]} is stuck ({record.state.value})"
    text = "\n".join(line for line in (why, _progress_line(deps, record)) if line)
    wait = "It goes on by itself when that answers again. Is the VM up? See groundcrew deploy status."
    try:
        deps.notifications.notify(
            Notice(Severity.CRITICAL, title, text, wait, key=f"deploy/{progress.key}/stuck", again=True)
        )
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": progress.key, "error": str(error)})
