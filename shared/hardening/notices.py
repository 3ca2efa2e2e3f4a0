"""What people are told: what changed for the worse, and what is open, once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from shared.hardening.deps import HardeningDeps
from shared.hardening.model import AuditVerdict, HardeningFinding, RuleSeverity
from shared.hardening.records import HardeningAudit
from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Severity

log = logging.getLogger(__name__)

_MAX_LISTED = 20
_HINT = "`groundcrew hardening audit` shows all; `groundcrew hardening plan` what can be set right from here."


def notify_audit(deps: HardeningDeps, audit: HardeningAudit) -> None:
    """Drift first, with who and when; then what is missed and critical, and what cannot be seen."""
    drifted = [audit.by_id[rule] for rule in audit.drifted]
    if drifted:
        title = f"Hardening: {len(drifted)} settings are weaker than before"
        _send(deps, _notice(Severity.CRITICAL, title, drifted, "drift"))
    critical = [
        one
        for one in audit.open
        if one.severity is RuleSeverity.CRITICAL and one.verdict is AuditVerdict.MISSED
    ]
    if critical:
        title = f"Hardening: {len(critical)} critical findings"
        _send(deps, _notice(Severity.WARNING, title, critical, "critical"))
    # Apart from what is missed: the cure is a right to read, and not a setting.
    unseen = [one for one in audit.open if one.verdict is AuditVerdict.UNKNOWN]
    if unseen:
        title = f"Hardening: {len(unseen)} rules cannot be judged"
        _send(deps, _notice(Severity.WARNING, title, unseen, "unknown"))


def _notice(severity: Severity, title: str, findings: Sequence[HardeningFinding], kind: str) -> Notice:
    """The key changes when another finding joins, so that a new one is told at once."""
    lines = [str(one) for one in findings[:_MAX_LISTED]]
    lines += [f"and {len(findings) - _MAX_LISTED} more"] if len(findings) > _MAX_LISTED else []
    # By their ids alone: a count of days in a sentence would be a new message every day.
    known = "\n".join(sorted(one.id for one in findings))
    key = f"hardening/{kind}/{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    return Notice(severity, title, "\n".join(lines), _HINT, key=key)


def _send(deps: HardeningDeps, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("hardening.notification_failed", extra={"title": notice.title, "error": str(error)})
