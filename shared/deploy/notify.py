"""Tells how a deploy goes: statuses on the forge, a message to people, a comment where somebody must act.

The forge and the chat may be down: what is told of progress is told once or not at all, what is told of the
end is told until it was heard.
"""

from __future__ import annotations

import logging

from shared.deploy.deps import MADE_BY, Shipping
from shared.deploy.records.deploys import Kept
from shared.deploy.state_machine import State
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, NotFound, Refused, UsageError
from shared.notifications.ports import Notice, Severity
from shared.records.audit import Audit

log = logging.getLogger(__name__)

_FORGE = {
    State.DONE: "success",
    State.SUPERSEDED: "inactive",
    State.FAILED: "failure",
    State.ROLLED_BACK: "failure",
    State.RESTORE_PROPOSED: "error",
}
_TITLES = {
    State.DONE: "is deployed",
    State.SUPERSEDED: "was superseded",
    State.FAILED: "was not deployed",
    State.ROLLED_BACK: "was rolled back",
    State.RESTORE_PROPOSED: "failed, and a restore is proposed",
}
_SEVERITY = {
    State.DONE: Severity.INFO,
    State.SUPERSEDED: Severity.INFO,
    State.FAILED: Severity.WARNING,
    State.ROLLED_BACK: Severity.WARNING,
    State.RESTORE_PROPOSED: Severity.CRITICAL,
}
_UNCLEAR = (
    "What runs may be neither the old nor the new release. Look: groundcrew deploy history. "
    "Then go back: groundcrew deploy rollback {back}. Or mend it and merge again."
)


def open_deployment(shipping: Shipping, kept: Kept) -> int:
    """The forge's deployment of this commit: one that a killed worker made, or a new one; 0 if refused."""
    record = kept.record
    if record.deployment:
        return record.deployment
    try:
        known = shipping.forge.deployments(record.environment, sha=record.sha)
        ours = [one for one in known if one.description.startswith(MADE_BY)]
        waiting = [one.id for one in ours if one.state in ("pending", "queued", "in_progress")]
        made = waiting[0] if waiting else shipping.forge.create_deployment(
            record.sha, record.environment, f"{MADE_BY} {record.sha[:7]}"
        )  # fmt: skip
        link = shipping.link(record.key)
        shipping.forge.set_deployment_status(made, "in_progress", "the gates are asked", link)
    except (NotFound, Refused) as error:
        log.warning("deploy.no_deployment", extra={"deploy": record.key, "error": str(error)})
        return 0
    return made


def progress(shipping: Shipping, kept: Kept, text: str) -> None:
    """A new step, on the forge; its failure changes nothing."""
    record, told = kept.record, f"{kept.state.value}: {text}"
    log.info("deploy.step", extra={"deploy": record.key, "state": kept.state.value, "reason": text})
    if not record.deployment:
        return
    try:
        link = shipping.link(record.key)
        shipping.forge.set_deployment_status(record.deployment, "in_progress", told, link)
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": record.key, "error": str(error)})


def tell_forge(shipping: Shipping, kept: Kept) -> None:
    """How it ended, to the forge and its readers. Raises if that must be told again."""
    record = kept.record
    if record.deployment:
        state = _FORGE[record.state]
        try:
            link = shipping.link(record.key)
            shipping.forge.set_deployment_status(record.deployment, state, record.reason or state, link)
        except (NotFound, Refused, UsageError) as error:
            log.warning("deploy.not_told", extra={"deploy": record.key, "error": str(error)})
    if record.state in (State.ROLLED_BACK, State.RESTORE_PROPOSED, State.FAILED):
        _comment(shipping, kept)


def tell_people(shipping: Shipping, kept: Kept) -> None:
    """How it ended, to people and the audit trail. Raises if that must be told again."""
    record = kept.record
    shipping.notifications.notify(notice(shipping, kept))
    Audit(shipping.state, shipping.clock).append(
        kept.by or "groundcrew", "deploy", f"{record.sha} to {record.environment}", record.state.value
    )
    log.info(
        "deploy.ended", extra={"deploy": record.key, "state": record.state.value, "reason": record.reason}
    )


def _comment(shipping: Shipping, kept: Kept) -> None:
    """Under the pull request, where its author looks."""
    pull = kept.record.pull
    if not pull:
        return
    told = notice(shipping, kept)
    try:
        shipping.forge.comment(pull, f"**{told.title}**\n\n{told.text}\n\n{told.hint}".strip())
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": kept.record.key, "error": str(error)})


def notice(shipping: Shipping, kept: Kept) -> Notice:
    """Who, what, how it ended, how long it took."""
    record, policy = kept.record, shipping.policy
    what = kept.title or record.sha[:7]
    version = record.version_after or "it"
    if record.changes_version:
        version = f"{record.version_before or 'what was there'} → {record.version_after}"
    lines = [
        f"{kept.title or 'A change'} (#{record.pull}) by {kept.by or 'somebody'}" if record.pull else what,
        f"Rocket.Chat {version}, release {policy.release}, commit {record.sha[:7]}",
        f"{record.reason}" if record.reason else "",
        f"It took {format_duration(kept.took)}.",
    ]
    if record.backup:
        lines.append(f"The backup {record.backup} was taken before.")
    lines.append(_progress_line(shipping, kept))
    title = f"{policy.release} {record.sha[:7]} {_TITLES[record.state]} ({record.environment})"
    text = "\n".join(line for line in lines if line)
    severity = Severity.CRITICAL if record.unclear else _SEVERITY[record.state]
    return Notice(severity, title, text, hint(kept), key=f"deploy/{record.key}/{record.state}")


def _progress_line(shipping: Shipping, kept: Kept) -> str:
    link = shipping.link(kept.record.key)
    return f"Progress: {link}" if link else ""


def hint(kept: Kept) -> str:
    """What somebody has to do now; empty if nothing."""
    match kept.state:
        case State.RESTORE_PROPOSED:
            return kept.proposal
        case State.FAILED if kept.record.unclear:
            return _UNCLEAR.format(back=kept.record.revision_before)
        case State.FAILED:
            return "\n".join(line for line in kept.gates if not line.startswith("passed"))
        case State.ROLLED_BACK:
            return "Mend it and merge again; what ran before runs again."
    return ""


def stuck(shipping: Shipping, kept: Kept, why: str) -> None:
    """A deploy in the middle of which an outside system went away for long."""
    record = kept.record
    title = f"the deploy of {record.sha[:7]} is stuck ({kept.state.value})"
    text = "\n".join(line for line in (why, _progress_line(shipping, kept)) if line)
    wait = "It goes on by itself when that answers again. Is the VM up? See groundcrew deploy status."
    try:
        shipping.notifications.notify(
            Notice(Severity.CRITICAL, title, text, wait, key=f"deploy/{record.key}/stuck", again=True)
        )
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"deploy": record.key, "error": str(error)})
