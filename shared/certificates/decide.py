"""The verdict on every certificate: by the fraction of its lifetime that is left, by renewals that did not
happen, and by what its clients would see.

What was not seen is unknown; its last known end still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.certificates.findings import (
    SEVERITY_ORDER,
    add_finding,
    critical_finding,
    find_worst,
    warning_finding,
)
from shared.certificates.lifetime import CLOCK_SKEW, judge_lifetime, renewal_grace
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
    TokenSecret,
)
from shared.formats.x509 import CertificateFacts, names_host
from shared.kernel.durations import format_duration
from shared.kernel.timestamps import format_minute

if TYPE_CHECKING:
    from shared.policy import CertificatePolicy

_ISSUING_GRACE = timedelta(minutes=30)  # an ACME order takes minutes
_RELOAD_GRACE = timedelta(hours=1)  # ingress controllers take a new Secret within seconds
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
    return tuple(sorted(merged, key=lambda one: (-SEVERITY_ORDER.index(one.state), one.kind, one.name)))


class _Judge:
    """Goes through what was observed. A host and a Secret know the renewal of the Certificate behind them."""

    def __init__(self, observed: ObservedCertificates, rules: CertificatePolicy, now: datetime) -> None:
        self._observed, self._rules, self._now = observed, rules, now
        self._secrets = {secret.reference: secret for secret in observed.secrets}
        # By the Secret that the Certificate writes: what is behind a host or a Secret is renewed at that
        # time.
        self._renewals = {f"{one.namespace}/{one.secret}": one.renews_at for one in observed.managed}

    def entries(self) -> Iterator[CertificateEntry]:
        for target, shown in self._observed.served:
            yield self._host(target, shown)
        yield from map(self._secret, self._observed.secrets)
        yield from map(self._certificate, self._observed.managed)
        yield from map(self._item, self._observed.items)
        yield from map(self._token, self._observed.tokens)

    def _host(self, target: HostTarget, shown: ServedChain) -> CertificateEntry:
        leaf = shown.chain[0]
        renews_at = self._renewals.get(target.secret)
        refused = [*_look_at_handshake(target, shown)]
        # Of the clients' view alone: a certificate that ends tomorrow is valid, and a finding.
        valid = not refused and leaf.not_before - CLOCK_SKEW <= self._now < leaf.not_after
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
            # Roots are in the clients, whatever the server sends; an intermediate that ends after its leaf
            # harms nobody.
            if not other.self_issued and other.not_after < leaf.not_after:
                for finding in self._lifetime(other, None):
                    yield replace(finding, reason=f"issuer {other.subject} {finding.reason}")

    def _compare_with_secret(self, target: HostTarget, leaf: CertificateFacts) -> Findings:
        if not target.secret or target.host in self._rules.behind_proxy:
            return
        secret = self._secrets.get(target.secret)
        if secret is None:
            if not self._is_blind(target.secret):
                yield warning_finding(f"Secret {target.secret} does not exist")
            return
        if not secret.chain or secret.chain[0].fingerprint == leaf.fingerprint:
            return
        stored = secret.chain[0]
        if leaf.not_before < stored.not_before <= self._now - _RELOAD_GRACE:
            yield warning_finding(
                f"still shows the old certificate (serial {leaf.serial}): Secret {secret.reference} has one"
                f" since {format_minute(stored.not_before)}; restart what serves it"
            )
        elif leaf.not_before >= stored.not_before:
            yield warning_finding(
                f"shows another certificate than Secret {secret.reference} (serial {leaf.serial})"
            )

    def _is_blind(self, secret: str) -> bool:
        probe = CertificateEntry(SourceKind.SECRET, secret, CertificateState.UNKNOWN)
        return any(spot.covers(probe) for spot in self._observed.blind)

    def _secret(self, secret: TlsSecret) -> CertificateEntry:
        findings = [critical_finding(secret.problem)] if secret.problem else []
        if not secret.chain:
            return self._entry(SourceKind.SECRET, secret.reference, findings, None, None, None)
        leaf, renews_at = secret.chain[0], self._renewals.get(secret.reference)
        findings += self._lifetime(leaf, renews_at)
        if leaf.weakness:
            findings.append(critical_finding(leaf.weakness))
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
        findings = [critical_finding(item.problem)] if item.problem else []
        over = judge_lifetime(item.not_before, item.not_after, self._rules, self._now)
        return self._entry(
            item.kind,
            item.name,
            [*findings, *([over] if over else [])],
            item.not_before,
            item.not_after,
            None,
        )

    def _token(self, secret: TokenSecret) -> CertificateEntry:
        """Such a token never ends: so its age counts, and the end of the CA that is beside it."""
        findings = [warning_finding(secret.problem)] if secret.problem else []
        age = self._now - secret.created if secret.created else None
        if age is not None and age > self._rules.token_max_age:
            findings.append(
                warning_finding(
                    f"the token of service account {secret.account} is {format_duration(age)} old and never "
                    "ends: delete the Secret, and use `kubectl create token` or a projected volume"
                )
            )
        authority = secret.authority
        if authority is not None:
            findings += [
                replace(one, reason=f"CA bundle {one.reason}") for one in self._lifetime(authority, None)
            ]
        end = authority.not_after if authority else None
        return self._entry(SourceKind.TOKEN, secret.reference, findings, None, end, None)

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
        state, reasons = find_worst(findings)
        return CertificateEntry(
            kind, name, state, reasons, not_before, not_after, renews_at, seen=self._now, since=self._now
        )


def _look_at_handshake(target: HostTarget, shown: ServedChain) -> Findings:
    """What a client would refuse, or soon will."""
    leaf = shown.chain[0]
    if not names_host(leaf, target.host):
        names = ", ".join(leaf.names[:5]) or "no host"
        yield critical_finding(f"is for {names}, not for {target.host}")
    if shown.error:
        yield critical_finding(f"clients refuse it: {shown.error}")
    if leaf.weakness:
        yield critical_finding(leaf.weakness)
    if shown.protocol in _OLD_PROTOCOLS:
        yield critical_finding(f"speaks no newer protocol than {shown.protocol}")


def judge_issuance(one: ManagedCertificate, now: datetime) -> Findings:
    """What keeps cert-manager from issuing, in its own words."""
    why = f": {one.failure or one.reason}" if one.failure or one.reason else ""
    # cert-manager itself waits longer after each: https://cert-manager.io/docs/reference/api-docs/
    # (failedIssuanceAttempts)
    if one.failed_attempts:
        times = "once" if one.failed_attempts == 1 else f"{one.failed_attempts} times"
        yield warning_finding(f"issuance failed {times}{why}")
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
        # The place itself as well: what is new in it since the last scan is hidden, too.
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
    # Planned off explains a weekend, not a month in which nobody could look.
    too_long = one.seen is not None and now - one.seen > rules.blind_after
    excused = bool(offline) and not too_long
    state, reasons = find_worst(findings)
    if excused:
        reasons = (*reasons, offline)
    return replace(one, state=state, reasons=reasons, since=now, excused=excused)


def _with_history(
    entry: CertificateEntry, before: CertificateEntry | None, now: datetime
) -> CertificateEntry:
    """The entry with what only time shows: since when it is so, and since when a renewal is overdue."""
    due = entry.renews_at
    # Only what was seen in this scan: of the others nobody knows whether they were renewed.
    if entry.seen == now and due is not None and due <= now:
        overdue = (before.overdue_since if before else None) or now
        entry = replace(entry, overdue_since=overdue)
        if entry.kind is SourceKind.CERTIFICATE and now - overdue >= renewal_grace(entry.lifetime):
            late = warning_finding(f"should have been renewed at {format_minute(due)}, and was not")
            entry = add_finding(entry, late)
    if before is not None and (before.state, before.excused) == (entry.state, entry.excused):
        entry = replace(entry, since=before.since or now)
    return entry
