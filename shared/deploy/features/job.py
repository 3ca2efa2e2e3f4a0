"""Raising MongoDB's feature compatibility version: one step, approved by two people, read back.

It may be killed at any step and run again: the server finishes what it began, and an approval is used up only
when the version is what was approved.
"""

from __future__ import annotations

import logging
from datetime import datetime

from shared.alerts.records import AlertRecords
from shared.deploy.deps import LEASE_DURATION
from shared.deploy.features.decide import (
    WELL_FOR,
    FeatureEvidence,
    FeaturePlan,
    decide_features,
)
from shared.deploy.features.deps import FeatureDeps
from shared.deploy.gates.versions import mongodb_gate
from shared.deploy.model import Gate
from shared.kernel.errors import GroundcrewError, Locked, Refused, Unavailable
from shared.notifications.ports import Notice, Severity
from shared.records.approvals import describe_how_to_approve
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

ACTION = "mongodb.raise_features"


def plan_features(deps: FeatureDeps) -> FeaturePlan:
    """What would be raised, and what is in its way. Changes nothing. Raises Unavailable, Refused, Corrupt."""
    return decide_features(_gather_evidence(deps), deps.clock.now())


def _gather_evidence(deps: FeatureDeps) -> FeatureEvidence:
    state, now = deps.server.read(), deps.clock.now()
    watermark = deps.watermarks.read()
    records = AlertRecords(deps.state)
    version = deps.chat_version()
    health = deps.chat_health(version)
    return FeatureEvidence(
        state,
        deps.backups(),
        watermark.version if watermark else "",
        _critical_alerts(records, now),
        _reports_alerts(records, now),
        "" if health.healthy else health.message,
        _check_compatibility(deps, version, state.server),
    )


def _critical_alerts(records: AlertRecords, now: datetime) -> list[str]:
    """Alerts that somebody would have been woken for, and that fire or were heard of since `WELL_FOR`.

    Those of planned downtime (`muted`) are no sign of a server that is not well.
    """
    known = records.load()[0].values()
    return [
        entry.alert.name
        for entry in sorted(known, key=lambda entry: entry.seen_at)
        if entry.alert.severity is Severity.CRITICAL
        and not entry.muted
        and (entry.alert.firing or now - entry.seen_at < WELL_FOR)
    ]


def _reports_alerts(records: AlertRecords, now: datetime) -> bool:
    """Whether the Watchdog came at least once in the days that are looked back on."""
    heartbeat = records.load_heartbeat()
    return heartbeat.at is not None and now - heartbeat.at < WELL_FOR


def _check_compatibility(deps: FeatureDeps, version: str, server: str) -> Gate | None:
    compatible = deps.compatible_mongodb(version) if version else None
    return mongodb_gate(version, compatible, server) if compatible is not None else None


def raise_features(deps: FeatureDeps, plan: FeaturePlan, *, by: str) -> str:
    """Raise it as planned; returns what was done, in a sentence.

    Raises Refused while something is in its way, if it changed since the plan, and without the approval of a
    second person, which is requested then; Locked while a deploy is in progress; Unavailable if the server
    does not have the version afterwards.
    """
    if plan.done:
        return str(plan)
    # The release's lease: a deploy could bring another MongoDB between the plan and the command.
    with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
        if busy := deps.deploys.busy_reason():
            raise Locked(busy, hint="Wait for it to finish, then try again.")
        current = plan_features(deps)
        # The approval is bound to the arguments: raised with others, it would have been for something else.
        if current.arguments != plan.arguments or current.done:
            raise Refused("MongoDB changed since the plan", value=str(current), hint="Look again.")
        if current.problems:
            hint = "See groundcrew mongodb status."
            raise Refused("the version is not raised yet", value="; ".join(current.problems), hint=hint)
        approver = _require_approval(deps, plan, by)
        trail = AuditTrail(deps.state, deps.clock)
        # Before the command: killed right after it, there must be no raise that nobody answers for.
        trail.append(by, ACTION, str(plan), f"begins, approved by {approver}")
        lease.check()
        deps.server.raise_to(plan.target)
        _verify_raised(deps, plan)
        trail.append(by, ACTION, str(plan), "done")
        # Last: killed before it, the command is run again without asking a second person anew.
        deps.approvals().consume_approval(ACTION, plan.arguments)
    return _notify_raised(deps, plan, by, approver)


def _verify_raised(deps: FeatureDeps, plan: FeaturePlan) -> None:
    state = deps.server.read()
    if state.features != plan.target or state.target:
        observed = (
            f"{state.features or 'unknown'}, on its way to {state.target}" if state.target else state.features
        )
        raise Unavailable(
            "MongoDB does not have the version that was set",
            value=observed or "unknown",
            hint="Run the same command again: the server goes on where it was interrupted.",
        )


def _require_approval(deps: FeatureDeps, plan: FeaturePlan, by: str) -> str:
    """Who approved it. Raises Refused, with the id to approve, if nobody has."""
    approvals = deps.approvals()
    granted = approvals.find_granted(ACTION, plan.arguments)
    if granted is not None:
        return granted.approver
    request = approvals.request_approval(ACTION, plan.arguments, by=by, lasting=deps.approval_timeout)
    raise Refused(
        "raising the feature compatibility version needs the approval of a second person",
        value=request.id,
        hint=describe_how_to_approve(request.id),
    )


def _notify_raised(deps: FeatureDeps, plan: FeaturePlan, by: str, approver: str) -> str:
    """A message that fails changes nothing: the audit trail has it."""
    title = f"MongoDB: raised {plan}"
    text = f"by {by}, approved by {approver}"
    try:
        deps.notifications.notify(Notice(Severity.WARNING, title, text))
    except GroundcrewError as error:
        log.warning("features.notification_failed", extra={"to": plan.target, "error": str(error)})
    return f"{title}, {text}"
