"""What is wrong with a certificate, and how the worst of it becomes its state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shared.certificates.model import (
    CertificateEntry,
    CertificateFinding,
    CertificateState,
)

# The order in which the type itself has them.
SEVERITY_ORDER = tuple(CertificateState)


def find_worst(findings: Iterable[CertificateFinding]) -> tuple[CertificateState, tuple[str, ...]]:
    """The state that they amount to, and their reasons, the worst first and none twice."""
    ordered = sorted(findings, key=lambda one: -SEVERITY_ORDER.index(one.state))
    state = ordered[0].state if ordered else CertificateState.GOOD
    return state, tuple(dict.fromkeys(one.reason for one in ordered))


def add_finding(entry: CertificateEntry, finding: CertificateFinding) -> CertificateEntry:
    """The entry with one more finding, its state the worse of both."""
    worst = max(entry.state, finding.state, key=SEVERITY_ORDER.index)
    return replace(entry, state=worst, reasons=(*entry.reasons, finding.reason))


def critical_finding(reason: str) -> CertificateFinding:
    """Clients are refused, or soon will be."""
    return CertificateFinding(CertificateState.CRITICAL, reason)


def warning_finding(reason: str) -> CertificateFinding:
    """Somebody has to look, and has days for it."""
    return CertificateFinding(CertificateState.WARNING, reason)
