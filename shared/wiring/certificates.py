"""The wiring of certificates: the cluster, the hosts, the vaults, and the plan of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.notifications import build_notifier
from shared.wiring.people import open_approvals

if TYPE_CHECKING:
    from shared.certificates.deps import CertificateDeps
    from shared.certificates.model import HostTarget, UptimeSpan
    from shared.certificates.ports import CertificateCluster, CertificateVault, ClusterCredentials


def is_enabled() -> bool:
    """Whether there is anything to look at. Raises UsageError if the policy cannot be read."""
    # Three sources, any of which is enough.
    return bool(
        read_environment().get(definitions.KUBECONFIG) or load_policy().certificates.vaults or _host_targets()
    )


@cache
def certificate_deps() -> CertificateDeps:
    """All that the jobs need. Raises UsageError."""
    from shared.adapters.tls_hosts import connect
    from shared.certificates.deps import CertificateDeps

    read = all_or_nothing(
        cluster=_connect_cluster, credentials=_credentials_reader, hosts=_host_targets,
        vaults=_connect_vaults, uptime=_uptime_reader, state=open_state,
        notifications=build_notifier, policy=load_policy,
    )  # fmt: skip
    rules = read.pop("policy")
    # The role of infra/chart/rbac.yaml reads this one namespace: to look into all by default would be
    # refused.
    namespaces = rules.certificates.namespaces or (rules.deploy.namespace,)
    return CertificateDeps(
        probe=connect(), namespaces=namespaces, clock=system_clock(), policy=rules.certificates,
        approvals=open_approvals, **read,
    )  # fmt: skip


def run_if_enabled(job: Callable[[CertificateDeps], str]) -> str:
    """What a trigger does where there may be nothing to look at. Raises UsageError for bad settings."""
    return job(certificate_deps()) if is_enabled() else "no certificates are watched"


def _connect_cluster() -> CertificateCluster | None:
    from shared.adapters.kubernetes.certificates import connect_certificates
    from shared.wiring.kubernetes import read_kubeconfig

    return connect_certificates(read_kubeconfig()) if read_environment().get(definitions.KUBECONFIG) else None


def _credentials_reader() -> Callable[[], ClusterCredentials] | None:
    from shared.certificates.credentials import parse_credentials
    from shared.wiring.kubernetes import read_kubeconfig

    # A server without Kubernetes still has a certificate on its port: that part is not switched off.
    if not read_environment().get(definitions.KUBECONFIG):
        return None
    return lambda: parse_credentials(read_kubeconfig())


def _host_targets() -> Sequence[HostTarget]:
    """Those of policy, and the chat's if it is served over TLS."""
    from shared.certificates.model import HostTarget

    targets = []
    chat = urlsplit(read_environment().get(definitions.CHAT))
    # The one certificate that everybody sees: watched without a word in policy.
    if chat.scheme == "https" and chat.hostname:
        targets.append(HostTarget(chat.hostname, chat.port or 443))
    for text in load_policy().certificates.hosts:
        host, _, port = text.partition(":")
        targets.append(HostTarget(host, int(port or 443)))
    return targets


def _connect_vaults() -> dict[str, CertificateVault]:
    from shared.adapters.key_vault import connect
    from shared.wiring.azure import build_credential

    # Each by itself: a vault whose firewall shuts us out hides its own certificates only.
    return {name: connect(name, build_credential()) for name in load_policy().certificates.vaults}


def _uptime_reader() -> Callable[[], Sequence[UptimeSpan]]:
    """The plan of the machine that carries the server, and so cert-manager; none if no machine is planned."""
    power = load_policy().power
    carrying = [machine.label for machine in power.machines if "rocketchat" in power.carried_by(machine)]
    # The first: cert-manager runs on one machine, and a second one that carries the chat is its standby.
    return lambda: _forecast_uptime(carrying[0]) if carrying else ()


def _forecast_uptime(machine: str) -> Sequence[UptimeSpan]:
    from shared.certificates.model import UptimeSpan
    from shared.certificates.outlook import FORECAST_REACH
    from shared.power.forecast import forecast_spans
    from shared.wiring.inventory import build_inventory

    # By schedule and orders alone: whether it runs this minute says nothing of the days ahead.
    spans = forecast_spans(build_inventory(asks=False), machine, FORECAST_REACH)
    return [UptimeSpan(span.up, span.since, span.until) for span in spans]
