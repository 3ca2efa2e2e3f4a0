"""Which kinds of the cluster a backup takes along, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class StateKind:
    """How the API serves a kind: `plural` is its name in paths."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True


NAMESPACE = StateKind("v1", "Namespace", "namespaces", namespaced=False)
SECRET = StateKind("v1", "Secret", "secrets")
# https://cert-manager.io/docs/reference/api-docs/
CLUSTER_ISSUER = StateKind("cert-manager.io/v1", "ClusterIssuer", "clusterissuers", namespaced=False)
ISSUER = StateKind("cert-manager.io/v1", "Issuer", "issuers")
CERTIFICATE = StateKind("cert-manager.io/v1", "Certificate", "certificates")

# In the order in which they are applied: an issuer without its Secrets registers another ACME account, and a
# Certificate without its TLS Secret orders a new one, of which there are five a week:
# https://letsencrypt.org/docs/rate-limits/
KINDS = (NAMESPACE, SECRET, CLUSTER_ISSUER, ISSUER, CERTIFICATE)


@dataclass(frozen=True, slots=True)
class StateScope:
    """What is read.

    - `namespaces`: whose Secrets, issuers, Certificates and Helm releases.
    - `issuer_namespace`: where cert-manager looks for the Secrets of ClusterIssuers.
    - `secrets`: patterns `namespace/name`, beside TLS Secrets and those that issuers name.
    """

    namespaces: tuple[str, ...]
    issuer_namespace: str
    secrets: tuple[str, ...]

    def wants_secret(self, namespace: str, name: str) -> bool:
        """Whether a pattern names it."""
        return any(fnmatchcase(f"{namespace}/{name}", pattern) for pattern in self.secrets)
