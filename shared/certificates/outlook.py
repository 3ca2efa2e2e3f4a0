"""Whether the machine will be up to renew a certificate before it runs out. No stopped machine renews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.certificates.lifetime import renewal_grace
from shared.certificates.model import (
    CertificateEntry,
    CertificateFinding,
    CertificateState,
    SourceKind,
    UptimeSpan,
)
from shared.kernel.timestamps import format_minute

if TYPE_CHECKING:
    from shared.policy import CertificatePolicy

# Start of the machine, of MicroK8s, of cert-manager, and an ACME order with its retries.
RENEWAL_NEEDS = timedelta(hours=1)
FORECAST_REACH = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class WakeRecord:
    """A renewal for which the machine is held up: since when, and until when at most."""

    since: datetime
    until: datetime


def first_chance(spans: Sequence[UptimeSpan], start: datetime, end: datetime) -> datetime | None:
    """When the machine is first up for long enough between two moments; None if it never is.

    Spans are in order and without gaps; neighbours that are both up count as one. Beyond the last span
    nothing is known, and nothing is claimed: if `end` lies there, the last known moment is the answer.
    """
    up_since: datetime | None = None
    for span in spans:
        if not span.up:
            up_since = None
            continue
        up_since = max(start, span.since) if up_since is None else up_since
        if min(span.until, end) - up_since >= RENEWAL_NEEDS:
            return up_since
    return max(start, spans[-1].until) if spans and spans[-1].until < end else None


def judge_outlook(
    entry: CertificateEntry, spans: Sequence[UptimeSpan], rules: CertificatePolicy, now: datetime
) -> CertificateFinding | None:
    """A warning if the machine is off as planned in the whole renewal window of a Certificate."""
    if entry.kind is not SourceKind.CERTIFICATE or entry.renews_at is None or entry.not_after is None:
        return None
    # Too far away to be told from the plan of today, or too late for a plan.
    if not spans or entry.renews_at > now + FORECAST_REACH or now >= entry.not_after:
        return None
    if first_chance(spans, max(now, entry.renews_at), _deadline(entry, rules)) is not None:
        return None
    return CertificateFinding(
        CertificateState.WARNING,
        f"the machine is planned off when this is to be renewed, from {format_minute(entry.renews_at)}"
        f" until it expires at {format_minute(entry.not_after)}",
    )


def needs_wake(
    entry: CertificateEntry, spans: Sequence[UptimeSpan], rules: CertificatePolicy, now: datetime
) -> bool:
    """Whether the machine is to be up now for this renewal: it is due, and the plan has no time for it."""
    if rules.when_vm_off != "wake" or entry.renews_at is None or now < entry.renews_at:
        return False
    return judge_outlook(entry, spans, rules, now) is not None


def plan_wake(
    entry: CertificateEntry, before: WakeRecord | None, rules: CertificatePolicy, now: datetime
) -> WakeRecord:
    """The hold for a renewal: the one that runs or, after a pause as long as it was, a new one.

    A renewal that fails must not keep the machine up for ever, so a hold that has ended is not prolonged.
    """
    if before is None or now >= before.until + max(rules.wake_for, renewal_grace(entry.lifetime)):
        return WakeRecord(now, now + rules.wake_for)
    return before


def _deadline(entry: CertificateEntry, rules: CertificatePolicy) -> datetime:
    """Until when it had better be renewed: before its alarm becomes critical."""
    assert entry.not_after is not None  # noqa: S101 - judge_outlook has looked
    return entry.not_after - (entry.lifetime or timedelta()) * rules.critical_percent / 100
