"""Reports how a deploy goes: statuses on GitHub, a notification to people, a comment on the pull request.

GitHub and the chat may be down: progress is reported once or not at all, the end until it was delivered.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.deploy.deps import DEPLOYMENT_PREFIX, DeployDeps
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, NotFound, Refused, UsageError
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

# The states of GitHub's deployments:
# https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
_GITHUB_STATES = {
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
_OUTCOME_UNKNOWN = (
    "Neither the old nor the new release may be running. Look: groundcrew deploy history. "
    "Then roll back: groundcrew deploy rollback {revision}. Or fix it and merge again."
)


def open_deployment(deps: DeployDeps, record: DeployRecord) -> int:
    """The id of GitHub's deployment of this commit: one that a killed worker made, or a new one; 0 if GitHub
    refuses it."""
    progress = record.progress
    if progress.deployment:
        return progress.deployment
    try:
        known = deps.forge.list_deployments(progress.environment, sha=progress.sha)
        reported = [
            deployment for deployment in known if deployment.description.startswith(DEPLOYMENT_PREFIX)
        ]
        # A worker that was killed after creating it: a second one would show two deploys of one commit.
        running = [
            deployment.id
            for deployment in reported
            if deployment.state in ("pending", "queued", "in_progress")
        ]
        description = f"{DEPLOYMENT_PREFIX} {progress.sha[:7]}"
        identity = running[0] if running else deps.forge.create_deployment(
            progress.sha, progress.environment, description
        )  # fmt: skip
        link = deps.page_link(progress.key)
        deps.forge.set_deployment_status(identity, "in_progress", "evaluating gates", link)
    except (NotFound, Refused) as error:
        facts = {"deploy": progress.key, "error": str(error)}
        log.warning("deploy.deployment_not_created", extra=facts)
        return 0
    return identity


def report_step(deps: DeployDeps, record: DeployRecord, reason: str) -> None:
    """Report a new state to GitHub; a failure to do so changes nothing."""
    progress, state = record.progress, record.state.value
    log.info("deploy.state_entered", extra={"deploy": progress.key, "state": state, "reason": reason})
    # GitHub refused to make one: the deploy goes on, and people are told by the chat.
    if not progress.deployment:
        return
    try:
        link = deps.page_link(progress.key)
        deps.forge.set_deployment_status(progress.deployment, "in_progress", f"{state}: {reason}", link)
    except GroundcrewError as error:
        log.warning("deploy.progress_not_reported", extra={"deploy": progress.key, "error": str(error)})


def report_deployment_status(deps: DeployDeps, record: DeployRecord) -> None:
    """Report the end to GitHub, a bad one to the pull request too. Raises if that must be retried."""
    progress = record.progress
    if progress.deployment:
        state = _GITHUB_STATES[progress.state]
        try:
            link = deps.page_link(progress.key)
            deps.forge.set_deployment_status(progress.deployment, state, progress.reason or state, link)
        # What trying again cannot mend; everything else is raised, and tried again.
        except (NotFound, Refused, UsageError) as error:
            log.warning("deploy.status_update_failed", extra={"deploy": progress.key, "error": str(error)})
    # Not of a success: GitHub shows that beside the merge, and a comment notifies everybody who took part.
    if progress.state in (DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED, DeployState.FAILED):
        _comment_on_pull(deps, record)


def announce_downtime(deps: DeployDeps, record: DeployRecord, downtime: timedelta) -> None:
    """Tell people how long the chat will be away, before the release is changed; once for each deploy.

    A failure to do so changes nothing: the upgrade was approved, and waits for nobody's reading.
    """
    progress = record.progress
    title = f"Rocket.Chat will be away for about {format_duration(downtime)}: {describe_version(record)}"
    text = (
        f"Measured by a rehearsal on the newest backup. A backup is taken first.\n{_page_line(deps, record)}"
    )
    notice = Notice(Severity.INFO, title, text.strip(), key=f"deploy/{progress.key}/downtime")
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("deploy.downtime_not_announced", extra={"deploy": progress.key, "error": str(error)})


def notify_people(deps: DeployDeps, record: DeployRecord) -> None:
    """Notify people of the end, and record it in the audit trail. Raises if that must be retried."""
    progress = record.progress
    deps.notifications.notify(build_notice(deps, record))
    author, subject = record.author or "groundcrew", f"{progress.sha} to {progress.environment}"
    AuditTrail(deps.state, deps.clock).append(author, "deploy", subject, progress.state.value)
    facts = {"deploy": progress.key, "state": progress.state.value, "reason": progress.reason}
    log.info("deploy.ended", extra=facts)


def _comment_on_pull(deps: DeployDeps, record: DeployRecord) -> None:
    """Under the pull request, where its author looks."""
    pull = record.progress.pull
    if not pull:
        return
    notice = build_notice(deps, record)
    try:
        deps.forge.create_comment(pull, f"**{notice.title}**\n\n{notice.text}\n\n{notice.hint}".strip())
    except GroundcrewError as error:
        log.warning("deploy.comment_failed", extra={"deploy": record.progress.key, "error": str(error)})


def build_notice(deps: DeployDeps, record: DeployRecord) -> Notice:
    """Who, what, how it ended, how long it took."""
    progress, policy = record.progress, deps.policy
    change = record.title or f"commit {progress.sha[:7]}"
    if progress.pull:
        author = record.author or "an unknown author"
        change = f"{record.title or 'A change'} (#{progress.pull}) by {author}"
    lines = [
        change,
        f"Rocket.Chat {describe_version(record)}, release {policy.release}, commit {progress.sha[:7]}",
        progress.reason,
        f"It took {format_duration(record.duration)}.",
        f"The backup {progress.backup} was taken before." if progress.backup else "",
        _page_line(deps, record),
    ]
    title = f"{policy.release} {progress.sha[:7]} {_TITLES[progress.state]} ({progress.environment})"
    text = "\n".join(line for line in lines if line)
    severity = Severity.CRITICAL if progress.outcome_unknown else _SEVERITY[progress.state]
    return Notice(severity, title, text, build_hint(record), key=f"deploy/{progress.key}/{progress.state}")


def describe_version(record: DeployRecord) -> str:
    """`8.2.0 → 8.3.0` where the version changes, else the version; `(unknown version)` if it is not known."""
    before, after = record.progress.version_before, record.progress.version_after
    if record.progress.changes_version:
        return f"{before or '(unknown version)'} → {after}"
    return after or "(unknown version)"


def _page_line(deps: DeployDeps, record: DeployRecord) -> str:
    link = deps.page_link(record.progress.key)
    return f"Progress: {link}" if link else ""


def build_hint(record: DeployRecord) -> str:
    """What somebody has to do now; empty if nothing."""
    match record.state:
        case DeployState.RESTORE_PROPOSED:
            return record.proposal
        case DeployState.FAILED if record.progress.outcome_unknown:
            return _OUTCOME_UNKNOWN.format(revision=record.progress.revision_before)
        case DeployState.FAILED if record.progress.attempts and record.progress.revision_before:
            return "Nothing was changed. Fix the change and merge again."
        case DeployState.FAILED:
            return "\n".join(line for line in record.gates if line.startswith(("closed", "waits")))
        case DeployState.ROLLED_BACK:
            return "The previous release is running again. Fix the change and merge again."
    return ""


def notify_stuck(deps: DeployDeps, record: DeployRecord, reason: str) -> None:
    """Notify people that an outside system has been away for long in the middle of a deploy."""
    progress = record.progress
    title = f"the deploy of {progress.sha[:7]} is stuck ({record.state.value})"
    text = "\n".join(line for line in (reason, _page_line(deps, record)) if line)
    hint = "It continues by itself when that answers again. Is the VM up? See groundcrew deploy status."
    key = f"deploy/{progress.key}/stuck"
    try:
        deps.notifications.notify(Notice(Severity.CRITICAL, title, text, hint, key=key, again=True))
    except GroundcrewError as error:
        log.warning("deploy.stuck_not_notified", extra={"deploy": progress.key, "error": str(error)})
