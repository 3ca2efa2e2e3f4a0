"""`CertificateCluster` over the Kubernetes API: TLS Secrets, Ingresses, and cert-manager's objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from shared.certificates.model import AcmeIssuer, HostTarget, ManagedCertificate, TlsSecret, TokenSecret
from shared.certificates.objects import (
    issuing_status,
    parse_acme_issuer,
    parse_ingress_hosts,
    parse_managed,
    parse_tls_secret,
    parse_token_secret,
)
from shared.kernel.errors import Conflict, NotFound, Refused
from shared.kernel.secret import Secret
from shared.kernel.timestamps import format_rfc3339
from shared.kubernetes.api import Json, KubernetesApi, connect_api, quoted

_CERT_MANAGER, _ACME = "/apis/cert-manager.io/v1", "/apis/acme.cert-manager.io/v1"
_RETRIES = 2  # cert-manager writes the same status


class KubernetesCertificates:
    """The cluster behind `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def list_tls_secrets(self, namespace: str) -> list[TlsSecret]:
        """See `CertificateCluster.list_tls_secrets`."""
        path = f"/api/v1/namespaces/{quoted(namespace)}/secrets"
        secrets = self._api.list_items(path, {"fieldSelector": "type=kubernetes.io/tls"})
        return sorted(map(parse_tls_secret, secrets), key=lambda one: one.name)

    def list_token_secrets(self, namespace: str) -> list[TokenSecret]:
        """See `CertificateCluster.list_token_secrets`."""
        path = f"/api/v1/namespaces/{quoted(namespace)}/secrets"
        query = {"fieldSelector": "type=kubernetes.io/service-account-token"}
        return sorted(map(parse_token_secret, self._api.list_items(path, query)), key=lambda one: one.name)

    def list_ingress_hosts(self, namespace: str) -> list[HostTarget]:
        """See `CertificateCluster.list_ingress_hosts`."""
        path = f"/apis/networking.k8s.io/v1/namespaces/{quoted(namespace)}/ingresses"
        hosts = {
            target.host: target for item in self._api.list_items(path) for target in parse_ingress_hosts(item)
        }
        return [hosts[host] for host in sorted(hosts)]

    def list_managed_certificates(self, namespace: str) -> list[ManagedCertificate]:
        """See `CertificateCluster.list_managed_certificates`."""
        place = f"/namespaces/{quoted(namespace)}"
        items = self._installed(f"{_CERT_MANAGER}{place}/certificates")
        # No further requests for kinds that a cluster without cert-manager does not have.
        if not items:
            return []
        unread: list[str] = []
        requests = self._explaining(f"{_CERT_MANAGER}{place}/certificaterequests", unread)
        orders = self._explaining(f"{_ACME}{place}/orders", unread)
        challenges = self._explaining(f"{_ACME}{place}/challenges", unread)
        blind = f"cannot read {', '.join(unread)}" if unread else ""
        managed = (parse_managed(item, requests, orders, challenges, blind) for item in items)
        return sorted(managed, key=lambda one: one.name)

    def _installed(self, path: str) -> Sequence[Json]:
        """The items; none where the API has no such kind, since cert-manager is not installed."""
        try:
            return [*self._api.list_items(path)]
        except NotFound:
            return ()

    def _explaining(self, path: str, unread: list[str]) -> Sequence[Json]:
        """What only tells why: without the right to it the certificates themselves are still seen."""
        try:
            return self._installed(path)
        except Refused:
            unread.append(path.rpartition("/")[2])
            return ()

    def trigger_renewal(self, namespace: str, name: str, now: datetime) -> bool:
        """See `CertificateCluster.trigger_renewal`."""
        path = f"{_CERT_MANAGER}/namespaces/{quoted(namespace)}/certificates/{quoted(name)}"
        at = format_rfc3339(now)
        for _ in range(_RETRIES):
            with suppress(Conflict):
                return self._set_issuing(path, at)
        return self._set_issuing(path, at)

    def _set_issuing(self, path: str, at: str) -> bool:
        status = issuing_status(self._api.get(path), at)
        if status is not None:
            self._api.put(f"{path}/status", status)
        return status is not None

    def list_acme_issuers(self) -> list[AcmeIssuer]:
        """See `CertificateCluster.list_acme_issuers`."""
        issuers = map(parse_acme_issuer, self._installed(f"{_CERT_MANAGER}/clusterissuers"))
        return sorted((one for one in issuers if one), key=lambda one: one.name)

    def set_issuer_email(self, issuer: AcmeIssuer, email: str) -> None:
        """See `CertificateCluster.set_issuer_email`."""
        # With the version that was read: an issuer that changed meanwhile is refused with 409 instead of
        # overwritten.
        change = {"metadata": {"resourceVersion": issuer.version}, "spec": {"acme": {"email": email}}}
        self._api.merge_patch(f"{_CERT_MANAGER}/clusterissuers/{quoted(issuer.name)}", change)


def connect_certificates(kubeconfig: Secret) -> KubernetesCertificates:
    """The kubeconfig's cluster. Raises UsageError."""
    return KubernetesCertificates(connect_api(kubeconfig))
