"""The outside systems of certificates: the cluster's objects, the hosts themselves, the vault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.certificates.model import (
    AcmeIssuer,
    ExpiringItem,
    HostTarget,
    ManagedCertificate,
    ServedChain,
    TlsSecret,
    TokenSecret,
)


class CertificateCluster(Protocol):
    """Certificates in a Kubernetes cluster.

    Raises `Unavailable` without an answer and `Refused` without the right; lists raise neither for one bad
    object. Where cert-manager is not installed there are none of its objects.
    """

    def list_tls_secrets(self, namespace: str) -> list[TlsSecret]:
        """Secrets of type kubernetes.io/tls, sorted by name; a malformed one says so in `problem`."""
        ...

    def list_token_secrets(self, namespace: str) -> list[TokenSecret]:
        """Secrets of type kubernetes.io/service-account-token, sorted by name; a bad one says so."""
        ...

    def list_ingress_hosts(self, namespace: str) -> list[HostTarget]:
        """The TLS hosts of Ingresses with the Secret of each, sorted; wildcards cannot be asked and are left
        out."""
        ...

    def list_managed_certificates(self, namespace: str) -> list[ManagedCertificate]:
        """cert-manager's Certificates, sorted by name, with why they are not issued."""
        ...

    def trigger_renewal(self, namespace: str, name: str, now: datetime) -> bool:
        """Set the condition Issuing, as `cmctl renew` does; False if it is set already.

        Raises `NotFound`; `Conflict` if the object goes on changing.
        """
        ...

    def list_acme_issuers(self) -> list[AcmeIssuer]:
        """ClusterIssuers with an ACME account, sorted by name."""
        ...

    def set_issuer_email(self, issuer: AcmeIssuer, email: str) -> None:
        """Write the account's address, if the issuer is as it was read. Raises `Conflict`, `NotFound`."""
        ...


class HostProbe(Protocol):
    """Looks at what a host shows."""

    def probe_host(self, target: HostTarget) -> ServedChain:
        """The chain, and whether clients accept it. Bounded in time and bytes.

        Raises `Unavailable` if there is no TLS to be had, and `Refused` for an address that may not be asked.
        """
        ...


class CertificateVault(Protocol):
    """One Key Vault."""

    def list_certificates(self) -> Sequence[ExpiringItem]:
        """Its enabled certificates, by name. Raises `Unavailable`, `Refused`."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterCredentials:
    """What the kubeconfig holds: things that end, and the API server to look at."""

    items: tuple[ExpiringItem, ...]
    server: HostTarget | None
