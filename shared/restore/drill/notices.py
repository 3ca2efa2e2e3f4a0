"""What people are told about drills."""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.backup.proofs import describe_proof
from shared.formats.proofs import FAILED, INTERRUPTED, DrillProof
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Notifier, Severity

log = logging.getLogger(__name__)

_FAILED_HINT = "See docs/runbooks/verify-failed.md. Older sets: `groundcrew backups list`."
_RETRY_HINT = "It is tried again. `groundcrew drill run` does it now."


def drill_notice(proof: DrillProof, more: str) -> Notice:
    """How a drill ended; `more` says what is done about it."""
    state = f"Cluster state: {proof.cluster_state}" if proof.cluster_state else ""
    text = "\n".join(filter(None, (describe_proof(proof), more, state)))
    where = f"{proof.klass}/{proof.set}"
    key = f"drill/{proof.run}/{proof.outcome}"
    if proof.outcome == FAILED:
        return Notice(Severity.CRITICAL, f"Backup {where} does not restore", text, _FAILED_HINT, key=key)
    if proof.outcome == INTERRUPTED:
        return Notice(Severity.WARNING, "The restore drill was interrupted", text, _RETRY_HINT, key=key)
    return Notice(Severity.INFO, f"Backup {where} was restored and is proven", text, key=key)


def not_run_notice(error: GroundcrewError) -> Notice:
    """Why a drill could not begin; repeated for as long as it cannot."""
    return Notice(
        Severity.WARNING,
        "The restore drill cannot run",
        str(error),
        _RETRY_HINT,
        key="drill/not-run",
        again=True,
    )


def left_behind_notice(error: GroundcrewError) -> Notice:
    """That the scratch server still holds restored data."""
    hint = "The next drill removes it. It is a copy of production: drop it by hand if that is too late."
    return Notice(
        Severity.WARNING,
        "The restore drill left its copy behind",
        str(error),
        hint,
        key="drill/left",
        again=True,
    )


def send_notice(notifier: Notifier, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        notifier.notify(notice)
    except GroundcrewError as error:
        log.warning("drill.notification_failed", extra={"title": notice.title, "error": str(error)})


def describe_measures(proof: DrillProof) -> str:
    """Recovery time by phase, and what a loss would have cost."""
    slowest = sorted(proof.phases, key=lambda phase: phase.seconds, reverse=True)[:3]
    phases = ", ".join(f"{phase.name.lower()} {phase.seconds:.0f} s" for phase in slowest)
    return f"RTO {proof.restore_seconds:.0f} s ({phases}); RPO {format_seconds(proof.data_loss_seconds)}"


def format_seconds(seconds: float) -> str:
    """A number of seconds for people."""
    return format_duration(timedelta(seconds=seconds))
