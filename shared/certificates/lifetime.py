"""What is left of a certificate's lifetime, and whether that is too little: by its fraction.

Days do not work as thresholds: Let's Encrypt issues for 90, 64, 45 and 6 days, and an internal CA for ten
years.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.certificates.findings import (
    critical_finding,
    warning_finding,
)
from shared.certificates.model import (
    CertificateFinding,
)
from shared.kernel.durations import format_duration
from shared.kernel.timestamps import format_minute

if TYPE_CHECKING:
    from shared.policy import CertificatePolicy


# A quarter of ten years would be a warning for thirty months.
_MAX_WARNING, _MAX_CRITICAL = timedelta(days=30), timedelta(days=7)


# How long cert-manager may take for a renewal that is due: a twentieth of the lifetime within these bounds.
_MIN_RENEWAL_GRACE, _MAX_RENEWAL_GRACE = timedelta(hours=1), timedelta(days=1)


# Let's Encrypt dates certificates an hour back; other authorities by their own clock.
CLOCK_SKEW = timedelta(minutes=5)


def judge_lifetime(
    not_before: datetime | None,
    not_after: datetime | None,
    rules: CertificatePolicy,
    now: datetime,
    *,
    renews_at: datetime | None = None,
) -> CertificateFinding | None:
    """Whether it is over, or soon will be. Before `renews_at` a renewal is still to come: no warning yet."""
    if not_after is None:
        return None
    if now >= not_after:
        return critical_finding(f"expired {format_duration(now - not_after)} ago")
    if not_before is not None and now < not_before - CLOCK_SKEW:
        return critical_finding(f"not valid before {format_minute(not_before)}")
    # Without a beginning, what is left is taken for all of it: then only the bounds in days decide.
    remaining, lifetime = not_after - now, not_after - (not_before or now)
    text = f"expires in {format_duration(remaining)} ({format_minute(not_after)})"
    if remaining <= min(lifetime * rules.critical_percent / 100, _MAX_CRITICAL):
        return critical_finding(text)
    # A warning before the renewal is due would be read every day and mean nothing; critical is critical all
    # the same.
    waits = renews_at is not None and now < renews_at
    if remaining <= min(lifetime * rules.warning_percent / 100, _MAX_WARNING) and not waits:
        return warning_finding(text)
    return None


def find_alarm_times(
    not_before: datetime, not_after: datetime, rules: CertificatePolicy, *, renews_at: datetime | None = None
) -> tuple[datetime, datetime]:
    """From when on what is left of its lifetime is a warning, and critical; as `judge_lifetime` has it."""
    lifetime = not_after - not_before
    warning = not_after - min(lifetime * rules.warning_percent / 100, _MAX_WARNING)
    critical = not_after - min(lifetime * rules.critical_percent / 100, _MAX_CRITICAL)
    return max(warning, renews_at) if renews_at else warning, critical


def renewal_grace(lifetime: timedelta | None) -> timedelta:
    """How long after its time a renewal may be seen not to have happened."""
    return min(max((lifetime or timedelta()) / 20, _MIN_RENEWAL_GRACE), _MAX_RENEWAL_GRACE)
