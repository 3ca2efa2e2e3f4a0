"""Verdicts on the cluster and the network around the machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from shared.hardening.model import (
    AuditVerdict,
    HardeningFinding,
    NetworkGroup,
    ObservedNamespace,
    ObservedNetwork,
    ObservedPod,
    RuleSeverity,
)
from shared.kernel.durations import format_duration

# https://kubernetes.io/docs/concepts/security/pod-security-standards/
# `privileged` is a level as well, and lets everything in.
_LEVELS = ("baseline", "restricted")
# Ports that nobody on the internet has any business with: SSH, the API servers of MicroK8s and the kubelet,
# MicroK8s' cluster agent, MongoDB. https://microk8s.io/docs/services-and-ports
SENSITIVE_PORTS = {22: "SSH", 16443: "Kubernetes", 10250: "kubelet", 25000: "MicroK8s", 27017: "MongoDB"}
_ANYWHERE = frozenset({"*", "0.0.0.0/0", "::/0", "internet", "any"})
_MET, _MISSED = AuditVerdict.MET, AuditVerdict.MISSED
_CRITICAL, _WARNING = RuleSeverity.CRITICAL, RuleSeverity.WARNING


def judge_namespaces(
    namespaces: Sequence[ObservedNamespace], image_age: timedelta, now: datetime
) -> Iterator[HardeningFinding]:
    """Pod security, what pods may do on their node, and how old their images are at least."""
    for namespace in namespaces:
        yield _judge_level(namespace)
        for pod in namespace.pods:
            rule_id = f"pods/{namespace.name}/{pod.name}"
            if pod.risks:
                observed = f"{pod.name} has {', '.join(pod.risks)}"
                why = "who breaks out of it has the node, and every secret on it"
                yield HardeningFinding(f"{rule_id}/risks", _MISSED, _CRITICAL, observed, "none", why)
            if pod.floating_images:
                observed = f"{pod.name} runs {', '.join(pod.floating_images)}"
                why = "what runs after a restart is not what was reviewed"
                yield HardeningFinding(f"{rule_id}/image", _MISSED, _WARNING, observed, "a version", why)
            yield _judge_age(f"{rule_id}/age", pod, image_age, now)


def _judge_age(rule_id: str, pod: ObservedPod, limit: timedelta, now: datetime) -> HardeningFinding:
    """By how long it has run: no registry is asked, and an image is never younger than its pod."""
    expected = f"newer than {format_duration(limit)}"
    if pod.started is None:
        observed = f"since when {pod.name} runs cannot be seen"
        return HardeningFinding(rule_id, AuditVerdict.UNKNOWN, _WARNING, observed, expected)
    # A restart makes it younger: the rule is about what never changes, and may be too kind, never too strict.
    verdict = _MISSED if now - pod.started > limit else _MET
    observed = f"{pod.name} has run the same image since {pod.started:%Y-%m-%d}"
    return HardeningFinding(
        rule_id, verdict, _WARNING, observed, expected, "fixes of its system come with new images"
    )


def _judge_level(namespace: ObservedNamespace) -> HardeningFinding:
    rule_id = f"namespaces/{namespace.name}/pod-security"
    if namespace.enforced is None:
        return HardeningFinding(rule_id, AuditVerdict.UNKNOWN, _WARNING, "the namespace cannot be read")
    verdict = _MET if namespace.enforced in _LEVELS else _MISSED
    observed = f"pod-security.kubernetes.io/enforce is {namespace.enforced or 'not set'}"
    return HardeningFinding(rule_id, verdict, _WARNING, observed, " or ".join(_LEVELS))


def judge_network(network: ObservedNetwork) -> Iterator[HardeningFinding]:
    """Which sensitive ports the internet reaches through each group, by the first rule that fits."""
    for interface in network.unguarded:
        observed = f"no network security group guards {interface}"
        yield HardeningFinding(f"network/{interface.lower()}/guard", _MISSED, _CRITICAL, observed, "one")
    for interface in network.public:
        # Somebody has to reach the chat; that it is guarded is the rule above.
        observed = f"{interface} has a public address"
        yield HardeningFinding(
            f"network/{interface.lower()}/public-address", _MET, RuleSeverity.INFO, observed
        )
    for group in network.groups:
        opened = [f"{port} ({name})" for port, name in SENSITIVE_PORTS.items() if _lets_in(group, port)]
        verdict = _MISSED if opened else _MET
        observed_ports = (
            f"the internet reaches {', '.join(opened)}" if opened else "no sensitive port is open"
        )
        yield HardeningFinding(
            f"network/{group.name.lower()}", verdict, _CRITICAL, observed_ports, "none of them"
        )


def _lets_in(group: NetworkGroup, port: int) -> bool:
    # As Azure does: the first rule that fits decides, later ones do not count.
    for rule in sorted(group.rules, key=lambda one: one.priority):
        # All of these ports are TCP: a rule for UDP neither opens nor closes them.
        if rule.protocol.lower() not in ("*", "tcp") or not _covers(rule.ports, port):
            continue
        # A range that is not everywhere may still hold attackers, but was somebody's decision.
        if any(source.lower() in _ANYWHERE for source in rule.sources):
            return rule.allow
    return False  # DenyAllInBound, priority 65500


def _covers(ports: Sequence[str], port: int) -> bool:
    for text in ports:
        first, _, last = text.partition("-")
        if text == "*" or (first.isdigit() and int(first) <= port <= int(last or first)):
            return True
    return False
