"""The verdict on every certificate: by the fraction of its lifetime that is left, by renewals that did not
happen, and by what its clients would see.

Days do not work as thresholds: Let's Encrypt issues for 90, 64, 45 and 6 days, and an internal CA for ten
years. What was not seen is unknown; its last known end still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.certificates.model import (
    BlindSpot,
    CertificateEntry,
    CertificateFinding,
    CertificateState,
    ExpiringItem,
    HostTarget,
    ManagedCertificate,
    ObservedCertificates,
    ServedChain,
    SourceKind,
    TlsSecret,
)
from shared.formats.x509 import CertificateFacts, names_host
from shared.kernel.durations import format_duration

if TYPE_CHECKING:
    from shared.policy import CertificatePolicy

_ORDER = tuple(CertificateState)
# A quarter of ten years would be a warning for thirty months.
_MAX_WARNING, _MAX_CRITICAL = timedelta(days=30), timedelta(days=7)
# How long cert-manager may take for a renewal that is due: a twentieth of the lifetime within these bounds.
_MIN_RENEWAL_GRACE, _MAX_RENEWAL_GRACE = timedelta(hours=1), timedelta(days=1)
_ISSUING_GRACE = timedelta(minutes=30)  # an ACME order takes minutes
_RELOAD_GRACE = timedelta(hours=1)  # ingress controllers take a new Secret within seconds
_CLOCK_SKEW = timedelta(minutes=5)
_OLD_PROTOCOLS = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"})  # RFC 8996
Findings = Iterator[CertificateFinding]


def judge_certificates(
    observed: ObservedCertificates,
    rules: CertificatePolicy,
    now: datetime,
    previous: Mapping[str, CertificateEntry],
    offline: str,
) -> tuple[CertificateEntry, ...]:
    """One entry for everything seen, and for everything that could not be; the worst first.

    `previous` has the entries of the scan before by their keys. `offline` says why the machine is off as
    planned; empty if it ought to be up.
    """
    judge = _Judge(observed, rules, now)
    entries = [*judge.entries()]
    blind = [*_carry_unseen(observed.blind, previous, rules, now, offline)]
    merged = [_with_history(entry, previous.get(entry.key), now) for entry in (*entries, *blind)]
    return tuple(sorted(merged, key=lambda one: (-_ORDER.index(one.state), one.kind, one.name)))


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
        return _critical(f"expired {format_duration(now - not_after)} ago")
    if not_before is not None and now < not_before - _CLOCK_SKEW:
        return _critical(f"not valid before {_time(not_before)}")
    remaining, lifetime = not_after - now, not_after - (not_before or now)
    text = f"expires in {format_duration(remaining)} ({_time(not_after)})"
    if remaining <= min(lifetime * rules.critical_percent / 100, _MAX_CRITICAL):
        return _critical(text)
    waits = renews_at is not None and now < renews_at
    if remaining <= min(lifetime * rules.warning_percent / 100, _MAX_WARNING) and not waits:
        return _warning(text)
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


class _Judge:
    """Goes through what was observed. A host and a Secret know the renewal of the Certificate behind them."""

    def __init__(self, observed: ObservedCertificates, rules: CertificatePolicy, now: datetime) -> None:
        self._observed, self._rules, self._now = observed, rules, now
        self._secrets = {secret.reference: secret for secret in observed.secrets}
        self._renewals = {f"{one.namespace}/{one.secret}": one.renews_at for one in observed.managed}

    def entries(self) -> Iterator[CertificateEntry]:
        for target, shown in self._observed.served:
            yield self._host(target, shown)
        yield from map(self._secret, self._observed.secrets)
        yield from map(self._certificate, self._observed.managed)
        yield from map(self._item, self._observed.items)

    def _host(self, target: HostTarget, shown: ServedChain) -> CertificateEntry:
        leaf = shown.chain[0]
        renews_at = self._renewals.get(target.secret)
        refused = [*_look_at_handshake(target, shown)]
        valid = not refused and leaf.not_before - _CLOCK_SKEW <= self._now < leaf.not_after
        findings = [*self._lifetime(leaf, renews_at), *refused]
        findings += self._intermediates(shown)
        findings += self._compare_with_secret(target, leaf)
        entry = self._entry(
            SourceKind.HOST, target.name, findings, leaf.not_before, leaf.not_after, renews_at
        )
        return replace(entry, valid=valid)

    def _intermediates(self, shown: ServedChain) -> Findings:
        leaf = shown.chain[0]
        for other in shown.chain[1:]:
            if not other.self_issued and other.not_after < leaf.not_after:
                for finding in self._lifetime(other, None):
                    yield replace(finding, reason=f"issuer {other.subject} {finding.reason}")

    def _compare_with_secret(self, target: HostTarget, leaf: CertificateFacts) -> Findings:
        if not target.secret or target.host in self._rules.behind_proxy:
            return
        secret = self._secrets.get(target.secret)
        if secret is None:
            if not self._is_blind(target.secret):
                yield _warning(f"Secret {target.secret} does not exist")
            return
        if not secret.chain or secret.chain[0].fingerprint == leaf.fingerprint:
            return
        stored = secret.chain[0]
        if leaf.not_before < stored.not_before <= self._now - _RELOAD_GRACE:
            yield _warning(
                f"still shows the old certificate (serial {leaf.serial}): Secret {secret.reference} has one"
                f" since {_time(stored.not_before)}; restart what serves it"
            )
        elif leaf.not_before >= stored.not_before:
            yield _warning(f"shows another certificate than Secret {secret.reference} (serial {leaf.serial})")

    def _is_blind(self, secret: str) -> bool:
        probe = CertificateEntry(SourceKind.SECRET, secret, CertificateState.UNKNOWN)
        return any(spot.covers(probe) for spot in self._observed.blind)

    def _secret(self, secret: TlsSecret) -> CertificateEntry:
        findings = [_critical(secret.problem)] if secret.problem else []
        if not secret.chain:
            return self._entry(SourceKind.SECRET, secret.reference, findings, None, None, None)
        leaf, renews_at = secret.chain[0], self._renewals.get(secret.reference)
        findings += self._lifetime(leaf, renews_at)
        if leaf.weakness:
            findings.append(_critical(leaf.weakness))
        return self._entry(
            SourceKind.SECRET, secret.reference, findings, leaf.not_before, leaf.not_after, renews_at
        )

    def _certificate(self, one: ManagedCertificate) -> CertificateEntry:
        findings = [*judge_issuance(one, self._now)]
        over = judge_lifetime(one.not_before, one.not_after, self._rules, self._now, renews_at=one.renews_at)
        findings = [*([over] if over else []), *findings]
        return self._entry(
            SourceKind.CERTIFICATE, one.reference, findings, one.not_before, one.not_after, one.renews_at
        )

    def _item(self, item: ExpiringItem) -> CertificateEntry:
        findings = [_critical(item.problem)] if item.problem else []
        over = judge_lifetime(item.not_before, item.not_after, self._rules, self._now)
        return self._entry(
            item.kind,
            item.name,
            [*findings, *([over] if over else [])],
            item.not_before,
            item.not_after,
            None,
        )

    def _lifetime(self, facts: CertificateFacts, renews_at: datetime | None) -> Findings:
        over = judge_lifetime(facts.not_before, facts.not_after, self._rules, self._now, renews_at=renews_at)
        if over:
            yield over

    def _entry(
        self,
        kind: SourceKind,
        name: str,
        findings: Iterable[CertificateFinding],
        not_before: datetime | None,
        not_after: datetime | None,
        renews_at: datetime | None,
    ) -> CertificateEntry:
        state, reasons = _worst(findings)
        return CertificateEntry(
            kind, name, state, reasons, not_before, not_after, renews_at, seen=self._now, since=self._now
        )


def _look_at_handshake(target: HostTarget, shown: ServedChain) -> Findings:
    """What a client would refuse, or soon will."""
    leaf = shown.chain[0]
    if not names_host(leaf, target.host):
        names = ", ".join(leaf.names[:5]) or "no host"
        yield _critical(f"is for {names}, not for {target.host}")
    if shown.error:
        yield _critical(f"clients refuse it: {shown.error}")
    if leaf.weakness:
        yield _critical(leaf.weakness)
    if shown.protocol in _OLD_PROTOCOLS:
        yield _critical(f"speaks no newer protocol than {shown.protocol}")


def judge_issuance(one: ManagedCertificate, now: datetime) -> Findings:
    """What keeps cert-manager from issuing, in its own words."""
    why = f": {one.failure or one.reason}" if one.failure or one.reason else ""
    if one.failed_attempts:
        times = "once" if one.failed_attempts == 1 else f"{one.failed_attempts} times"
        yield _warning(f"issuance failed {times}{why}")
    elif one.ready is not True and _is_late(one, now):
        # Without any certificate nobody can connect; otherwise the old one still serves.
        state = CertificateState.WARNING if one.not_after else CertificateState.CRITICAL
        yield CertificateFinding(state, f"not ready{why}")


def _is_late(one: ManagedCertificate, now: datetime) -> bool:
    return one.ready_since is not None and now - one.ready_since >= _ISSUING_GRACE


def _carry_unseen(
    blind: Iterable[BlindSpot],
    previous: Mapping[str, CertificateEntry],
    rules: CertificatePolicy,
    now: datetime,
    offline: str,
) -> Iterator[CertificateEntry]:
    """An entry for each blind spot, and one for each thing known from before that it hides."""
    for spot in blind:
        carried = [one for one in previous.values() if spot.covers(one)]
        for one in carried or [CertificateEntry(spot.kind, spot.name, CertificateState.UNKNOWN)]:
            yield _unseen(one, spot, rules, now, offline)
        if carried and not any(one.name == spot.name for one in carried):
            yield _unseen(
                CertificateEntry(spot.kind, spot.name, CertificateState.UNKNOWN), spot, rules, now, offline
            )


def _unseen(
    one: CertificateEntry, spot: BlindSpot, rules: CertificatePolicy, now: datetime, offline: str
) -> CertificateEntry:
    last = f", last seen {format_duration(now - one.seen)} ago" if one.seen else ""
    findings = [CertificateFinding(CertificateState.UNKNOWN, f"cannot be looked at{last}: {spot.reason}")]
    # A renewal cannot be seen either, so that it is no reason to wait.
    over = judge_lifetime(one.not_before, one.not_after, rules, now)
    if over:
        findings.append(over)
    too_long = one.seen is not None and now - one.seen > rules.blind_after
    excused = bool(offline) and not too_long
    state, reasons = _worst(findings)
    if excused:
        reasons = (*reasons, offline)
    return replace(one, state=state, reasons=reasons, since=now, excused=excused)


def _with_history(
    entry: CertificateEntry, before: CertificateEntry | None, now: datetime
) -> CertificateEntry:
    """The entry with what only time shows: since when it is so, and since when a renewal is overdue."""
    due = entry.renews_at
    if entry.seen == now and due is not None and due <= now:
        overdue = (before.overdue_since if before else None) or now
        entry = replace(entry, overdue_since=overdue)
        if entry.kind is SourceKind.CERTIFICATE and now - overdue >= renewal_grace(entry.lifetime):
            late = _warning(f"should have been renewed at {_time(due)}, and was not")
            entry = add_finding(entry, late)
    if before is not None and (before.state, before.excused) == (entry.state, entry.excused):
        entry = replace(entry, since=before.since or now)
    return entry


def _worst(findings: Iterable[CertificateFinding]) -> tuple[CertificateState, tuple[str, ...]]:
    ordered = sorted(findings, key=lambda one: -_ORDER.index(one.state))
    state = ordered[0].state if ordered else CertificateState.GOOD
    return state, tuple(dict.fromkeys(one.reason for one in ordered))


def add_finding(entry: CertificateEntry, finding: CertificateFinding) -> CertificateEntry:
    """The entry with one more finding, its state the worse of both."""
    worst = max(entry.state, finding.state, key=_ORDER.index)
    return replace(entry, state=worst, reasons=(*entry.reasons, finding.reason))


def _critical(reason: str) -> CertificateFinding:
    return CertificateFinding(CertificateState.CRITICAL, reason)


def _warning(reason: str) -> CertificateFinding:
    return CertificateFinding(CertificateState.WARNING, reason)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%MZ}"
