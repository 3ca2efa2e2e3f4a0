"""The audit: look, judge, tell, keep. Level-triggered: each one looks at everything anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from shared.hardening.decide import accept_risks, judge_chat
from shared.hardening.deps import HardeningDeps
from shared.hardening.host import judge_host
from shared.hardening.model import AuditVerdict, HardeningFinding, ObservedChat, RuleSeverity
from shared.hardening.notices import notify_audit
from shared.hardening.own_token import judge_own_token
from shared.hardening.platform import judge_namespaces, judge_network
from shared.hardening.ports import HostPosture
from shared.hardening.records import HardeningAudit, load_last_audit, save_audit
from shared.hardening.sign_on import find_jwks_address, judge_oidc, judge_saml
from shared.kernel.errors import GroundcrewError

if TYPE_CHECKING:
    from shared.policy.hardening import SignOnProvider

log = logging.getLogger(__name__)

T = TypeVar("T")
_LEASE = timedelta(seconds=60)
_OVERDUE = timedelta(hours=26)  # the timer looks once a day


def preview_audit(deps: HardeningDeps) -> HardeningAudit:
    """Look and judge. Changes and tells nothing."""
    now, last = deps.clock.now(), load_last_audit(deps.state)
    findings = tuple(accept_risks([*_judge(deps)], deps.policy, now.date()))
    # Without an audit before, everything is new and nothing has drifted.
    before = last.by_id if last else {}
    # Met before and missed now is somebody's act, which what was never met is not.
    drifted = tuple(
        one.id
        for one in findings
        if one.verdict is AuditVerdict.MISSED
        and one.id in before
        and before[one.id].verdict is AuditVerdict.MET
    )
    return HardeningAudit(now, findings, drifted)


def run_audit(deps: HardeningDeps) -> HardeningAudit:
    """Look, judge, tell, keep. Raises Locked."""
    with deps.state.lease("locks/hardening", duration=_LEASE) as lease:
        audit = preview_audit(deps)
        lease.check()
        # Told before it is kept: a run that dies in between tells twice rather than never.
        notify_audit(deps, audit)
        save_audit(deps.state, audit)
    counts = {str(one): sum(each.verdict is one for each in audit.findings) for one in AuditVerdict}
    log.info("hardening.audited", extra={"findings": len(audit.findings), **counts})
    return audit


def run_tick(deps: HardeningDeps) -> str:
    """What the timer does; returns it in a sentence."""
    return describe_audit(run_audit(deps))


def run_overdue(deps: HardeningDeps) -> str:
    """What `catch_up` does: an audit that was missed."""
    # By the record and not by the timer's own: an audit by hand counts, too.
    last = load_last_audit(deps.state)
    if last is not None and deps.clock.now() - last.at < _OVERDUE:
        return "nothing to do: last audit less than a day ago"
    return run_tick(deps)


def describe_audit(audit: HardeningAudit) -> str:
    """`60 rules: 50 met, 8 missed, 2 unknown`."""
    counts = ((sum(each.verdict is one for each in audit.findings), one) for one in AuditVerdict)
    counts_text = ", ".join(f"{count} {verdict}" for count, verdict in counts if count)
    return f"{len(audit.findings)} rules: {counts_text or 'none'}"


def _judge(deps: HardeningDeps) -> Iterator[HardeningFinding]:
    """Each system by itself: one that cannot be read hides no other."""
    chat = deps.chat
    names = [rule.setting for rule in deps.baseline.settings]
    chat_read = _try(lambda: chat().read_chat(names)) if chat is not None else "no database is set"
    # Also where the chat cannot be seen: what the provider answers is judged by itself.
    for provider in deps.policy.sign_on:
        settings = chat_read.settings if isinstance(chat_read, ObservedChat) else {}
        yield from _judge_provider(deps, provider, settings)
    if isinstance(chat_read, ObservedChat):
        yield from judge_chat(deps.baseline, chat_read, deps.policy, deps.clock.now())
    else:
        yield from _cannot_see_chat(deps, chat_read)
    if deps.cluster is not None:
        yield from _judge_cluster(deps)
    if deps.kubeconfig is not None:
        kubeconfig = _try(deps.kubeconfig)
        if isinstance(kubeconfig, str):
            yield _unknown("cluster/own-token", kubeconfig)
        else:
            yield from judge_own_token(kubeconfig)
    if deps.network is not None:
        network = _try(deps.network.read_network)
        if isinstance(network, str):
            yield _unknown("network", network)
        else:
            yield from judge_network(network)
    if deps.hosts is not None:
        yield from _judge_hosts(deps, deps.hosts)


def _judge_provider(
    deps: HardeningDeps, provider: SignOnProvider, settings: Mapping[str, Any]
) -> list[HardeningFinding]:
    """One provider; what it answers with may be of no readable form, which is unknown too."""
    findings = _try(partial(_fetch_and_judge, deps, provider, settings))
    return [_unknown(f"sign-on/{provider.name}", findings)] if isinstance(findings, str) else findings


def _fetch_and_judge(
    deps: HardeningDeps, provider: SignOnProvider, settings: Mapping[str, Any]
) -> list[HardeningFinding]:
    metadata = deps.metadata.fetch_metadata(provider.metadata)
    if provider.kind == "saml":
        return [*judge_saml(provider, metadata, settings, deps.clock.now())]
    address = find_jwks_address(metadata)
    # One that fails is no failure of the provider: without keys only what depends on them is unknown.
    keys = _try(partial(deps.metadata.fetch_metadata, address)) if address else None
    keys = keys if isinstance(keys, bytes) else None
    return [*judge_oidc(provider, metadata, keys, settings, deps.chat_address)]


def _judge_hosts(deps: HardeningDeps, hosts: HostPosture) -> Iterator[HardeningFinding]:
    for name in deps.policy.hosts:
        host = _try(partial(hosts.read_host, name))
        if isinstance(host, str):
            yield _unknown(f"host/{name.lower()}", host)
        else:
            yield from judge_host(host, deps.clock.now())


def _judge_cluster(deps: HardeningDeps) -> Iterator[HardeningFinding]:
    cluster, now = deps.cluster, deps.clock.now()
    for name in deps.namespaces if cluster is not None else ():
        assert cluster is not None  # noqa: S101 - for mypy
        namespace = _try(partial(cluster.read_namespace, name))
        if isinstance(namespace, str):
            yield _unknown(f"namespaces/{name}", namespace)
        else:
            yield from judge_namespaces([namespace], deps.policy.image_age, now)


def _cannot_see_chat(deps: HardeningDeps, reason: str) -> Iterator[HardeningFinding]:
    for rule in deps.baseline.settings:
        yield HardeningFinding(rule.id, AuditVerdict.UNKNOWN, rule.severity, reason, "", rule.why)
    # All of them by name: an audit with fewer findings must not look like a better one.
    for name in ("admins", "tokens", "integrations", "permissions"):
        yield _unknown(name, reason)


def _unknown(rule: str, reason: str) -> HardeningFinding:
    return HardeningFinding(rule, AuditVerdict.UNKNOWN, RuleSeverity.WARNING, reason)


def _try(read: Callable[[], T]) -> T | str:
    """What was read, or why it cannot be."""
    try:
        return read()
    except GroundcrewError as error:
        # Without the error's value, which may name hosts and accounts: findings go into messages.
        return f"cannot be seen: {error.message}"
