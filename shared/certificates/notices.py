"""What people are told about certificates: one message for each severity, however many are concerned."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from shared.certificates.deps import CertificateDeps
from shared.certificates.model import CertificateEntry, CertificateState
from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Severity

log = logging.getLogger(__name__)

# A message is read on a phone, and chats cut long ones in the middle.
_MAX_LISTED = 20
_HINTS = {
    CertificateState.CRITICAL: "`groundcrew certs list` shows all; `groundcrew certs renew NAME` renews one.",
    CertificateState.WARNING: "`groundcrew certs list` shows all, `kubectl describe certificate -A` more.",
    CertificateState.UNKNOWN: "Their last known end still counts; renewals and faults are not seen. "
    "Check whether the cluster, the host and the vault answer.",
}
_TITLES = {
    CertificateState.CRITICAL: "Certificates: {count} critical",
    CertificateState.WARNING: "Certificates: {count} need attention",
    CertificateState.UNKNOWN: "Certificates: {count} cannot be looked at",
}
_SEVERITIES = {
    CertificateState.CRITICAL: Severity.CRITICAL,
    CertificateState.WARNING: Severity.WARNING,
    CertificateState.UNKNOWN: Severity.WARNING,
}


def state_notice(state: CertificateState, entries: Sequence[CertificateEntry]) -> Notice:
    """Those of one state. The key changes when another joins, and when one is in this state anew."""
    lines = [str(entry) for entry in entries]
    more = [f"and {len(lines) - _MAX_LISTED} more"] if len(lines) > _MAX_LISTED else []
    known = "\n".join(sorted(f"{entry.key} {entry.since}" for entry in entries))
    return Notice(
        _SEVERITIES[state],
        _TITLES[state].format(count=len(entries)),
        "\n".join([*lines[:_MAX_LISTED], *more]),
        _HINTS[state],
        key=f"certificates/{state}/{hashlib.sha256(known.encode()).hexdigest()[:16]}",
        again=True,
    )


def recovered_notice(entries: Sequence[CertificateEntry]) -> Notice:
    """That what people were told of is over."""
    names = "\n".join(f"{entry.kind} {entry.name}" for entry in entries[:_MAX_LISTED])
    known = "\n".join(sorted(f"{entry.key} {entry.since}" for entry in entries))
    key = f"certificates/good/{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    return Notice(Severity.INFO, f"Certificates: {len(entries)} good again", names, key=key)


def deleted_notice(entries: Sequence[CertificateEntry]) -> Notice:
    """That something is not there any more, which nobody would be warned of by its end."""
    names = "\n".join(f"{entry.kind} {entry.name}" for entry in entries[:_MAX_LISTED])
    known = "\n".join(sorted(f"{entry.key} {entry.seen}" for entry in entries))
    key = f"certificates/deleted/{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    hint = "If that was not meant: `kubectl get events -A`, or the vault's deleted certificates, tell more."
    return Notice(Severity.WARNING, f"Certificates: {len(entries)} deleted", names, hint, key=key)


def notify_scan(
    deps: CertificateDeps,
    entries: Sequence[CertificateEntry],
    recovered: Sequence[CertificateEntry],
    deleted: Sequence[CertificateEntry] = (),
) -> None:
    """Tell what is wrong, by severity, what no longer is, and what is not there any more."""
    if deleted:
        send_notice(deps, deleted_notice(deleted))
    for state in _SEVERITIES:
        concerned = [entry for entry in entries if entry.state is state]
        if concerned:
            send_notice(deps, state_notice(state, concerned))
    if recovered:
        send_notice(deps, recovered_notice(recovered))


def send_notice(deps: CertificateDeps, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("certificates.notification_failed", extra={"title": notice.title, "error": str(error)})
