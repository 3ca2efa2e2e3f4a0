"""A cluster's certificates, hosts and a vault in memory, read by the same rules as the real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.certificates.model import (
    AcmeIssuer,
    ExpiringItem,
    HostTarget,
    ManagedCertificate,
    ServedChain,
    TlsSecret,
    TokenSecret,
)
from shared.certificates.objects import (
    issuing_status,
    parse_acme_issuer,
    parse_ingress_hosts,
    parse_managed,
    parse_tls_secret,
    parse_token_secret,
)
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Unavailable

Json = Mapping[str, Any]


class MemoryCertificates:
    """`CertificateCluster` for tests: what a test puts there. `failure` is raised by every call."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._writes = 0
        self.failure: GroundcrewError | None = None

    def add(self, *items: Json) -> None:
        """Put objects in place, or others of the same kind and name instead."""
        for item in items:
            self._put(json.loads(json.dumps(item)))

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        """An object. Raises NotFound."""
        try:
            return self._items[kind, namespace, name]
        except KeyError:
            raise NotFound("the cluster does not have it", value=name) from None

    def list_tls_secrets(self, namespace: str) -> list[TlsSecret]:
        """See `CertificateCluster.list_tls_secrets`."""
        secrets = [
            one for one in self._items_of("Secret", namespace) if one.get("type") == "kubernetes.io/tls"
        ]
        return sorted(map(parse_tls_secret, secrets), key=lambda one: one.name)

    def list_token_secrets(self, namespace: str) -> list[TokenSecret]:
        """See `CertificateCluster.list_token_secrets`."""
        kind = "kubernetes.io/service-account-token"
        secrets = [one for one in self._items_of("Secret", namespace) if one.get("type") == kind]
        return sorted(map(parse_token_secret, secrets), key=lambda one: one.name)

    def list_ingress_hosts(self, namespace: str) -> list[HostTarget]:
        """See `CertificateCluster.list_ingress_hosts`."""
        hosts = {
            t.host: t for item in self._items_of("Ingress", namespace) for t in parse_ingress_hosts(item)
        }
        return [hosts[host] for host in sorted(hosts)]

    def list_managed_certificates(self, namespace: str) -> list[ManagedCertificate]:
        """See `CertificateCluster.list_managed_certificates`."""
        requests, orders = self._items_of("CertificateRequest", namespace), self._items_of("Order", namespace)
        challenges = self._items_of("Challenge", namespace)
        certificates = self._items_of("Certificate", namespace)
        parsed = (parse_managed(item, requests, orders, challenges) for item in certificates)
        return sorted(parsed, key=lambda one: one.name)

    def trigger_renewal(self, namespace: str, name: str, now: datetime) -> bool:
        """See `CertificateCluster.trigger_renewal`."""
        self._raise_failure()
        status = issuing_status(self.get("Certificate", name, namespace), f"{now:%Y-%m-%dT%H:%M:%SZ}")
        if status is not None:
            self._put(status)
        return status is not None

    def list_acme_issuers(self) -> list[AcmeIssuer]:
        """See `CertificateCluster.list_acme_issuers`."""
        issuers = map(parse_acme_issuer, self._items_of("ClusterIssuer", ""))
        return sorted((one for one in issuers if one), key=lambda one: one.name)

    def set_issuer_email(self, issuer: AcmeIssuer, email: str) -> None:
        """See `CertificateCluster.set_issuer_email`."""
        self._raise_failure()
        item = dict(self.get("ClusterIssuer", issuer.name))
        if item["metadata"]["resourceVersion"] != issuer.version:
            raise Conflict("the cluster changed meanwhile", value=issuer.name)
        self._put({**item, "spec": {**item["spec"], "acme": {**item["spec"]["acme"], "email": email}}})

    def _put(self, item: dict[str, Any]) -> None:
        self._writes += 1
        meta = {**item["metadata"], "resourceVersion": str(self._writes)}
        meta.setdefault("uid", f"uid-{self._writes}")
        self._items[item["kind"], meta.get("namespace", ""), meta["name"]] = {**item, "metadata": meta}

    def _items_of(self, kind: str, namespace: str) -> list[Json]:
        self._raise_failure()
        return [item for (k, n, _), item in self._items.items() if (k, n) == (kind, namespace)]

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure


class MemoryHosts:
    """`HostProbe` for tests: what each host shows, or the error it answers with."""

    def __init__(self) -> None:
        self.shown: dict[str, ServedChain | GroundcrewError] = {}
        self.asked: list[HostTarget] = []

    def probe_host(self, target: HostTarget) -> ServedChain:
        """See `HostProbe.probe_host`; a host that no test named does not answer."""
        self.asked.append(target)
        answer = self.shown.get(target.host)
        if isinstance(answer, ServedChain):
            return answer
        raise answer or Unavailable("no TLS", value="connection refused")


class MemoryVault:
    """`CertificateVault` for tests."""

    def __init__(self, *items: ExpiringItem) -> None:
        self.items: Sequence[ExpiringItem] = items
        self.failure: GroundcrewError | None = None

    def list_certificates(self) -> Sequence[ExpiringItem]:
        """See `CertificateVault.list_certificates`."""
        if self.failure is not None:
            raise self.failure
        return self.items
