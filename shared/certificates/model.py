"""What is known of certificates: as they are found, and as they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.formats.x509 import CertificateFacts


class CertificateState(StrEnum):
    """The verdict on one certificate, from the best to the worst that can be seen."""

    GOOD = "good"
    WARNING = "warning"
    UNKNOWN = "unknown"  # it could not be looked at, which is never good
    CRITICAL = "critical"


class SourceKind(StrEnum):
    """Where a certificate was looked at."""

    HOST = "host"  # what a server shows
    SECRET = "secret"  # noqa: S105 - a kind of Kubernetes, not a secret
    CERTIFICATE = "certificate"  # cert-manager's object
    VAULT = "vault"
    TOKEN = "token"  # noqa: S105 - a Secret that holds a service account's token which never ends
    KUBECONFIG = "kubeconfig"  # the cluster's CA, and what the app signs in with


@dataclass(frozen=True, slots=True)
class TlsSecret:
    """A Secret of type kubernetes.io/tls; the key itself is not kept."""

    namespace: str
    name: str
    chain: tuple[CertificateFacts, ...] = ()  # the host's own first, as it is in the file
    problem: str = ""  # why it is unusable: malformed, or the key is not the certificate's

    @property
    def reference(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class HostTarget:
    """A server to look at.

    - `secret`: `namespace/name` of the Secret whose certificate it ought to show; empty if none is known.
    - `trusted_roots`: PEM of the only roots that count; empty for the public ones.
    - `named`: whether settings or policy name it, rather than an object in the cluster. Only such hosts may
      have an address that is not public.
    """

    host: str
    port: int = 443
    secret: str = ""
    trusted_roots: str = ""
    named: bool = True
    label: str = ""

    @property
    def name(self) -> str:
        """The host, with its port if that is unusual; or what it is called."""
        return self.label or (self.host if self.port == 443 else f"{self.host}:{self.port}")


@dataclass(frozen=True, slots=True)
class ServedChain:
    """What a host showed.

    - `chain`: as it came, the host's own certificate first.
    - `protocol`: `TLSv1.3`, the best that both sides know.
    - `error`: why OpenSSL does not accept the chain for this host; empty if it does.
    """

    chain: tuple[CertificateFacts, ...]
    protocol: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ManagedCertificate:
    """A Certificate of cert-manager.

    - `ready`: its condition; None if it has none yet.
    - `ready_since`: since when the condition has this value.
    - `failure`: what requests, orders and challenges say about why it is not issued.
    """

    namespace: str
    name: str
    secret: str
    ready: bool | None = None
    ready_since: datetime | None = None
    reason: str = ""
    issuing: bool = False  # whether a request is under way
    not_before: datetime | None = None
    not_after: datetime | None = None
    renews_at: datetime | None = None  # as cert-manager computes it, usually two thirds of the lifetime
    failed_attempts: int = 0
    failure: str = ""

    @property
    def reference(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ExpiringItem:
    """Anything else that ends: a certificate in a vault, a CA, a client certificate, a token."""

    kind: SourceKind
    name: str
    not_before: datetime | None
    not_after: datetime | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """A Secret of type kubernetes.io/service-account-token: a token without an end, beside the cluster's CA.

    - `account`: the service account that it signs in as.
    - `created`: when the Secret was made, and the token with it; None if the cluster does not say.
    - `authority`: the newest certificate of its CA bundle; None if there is none that can be read.

    The token itself is not kept. https://kubernetes.io/docs/concepts/configuration/secret/
    #serviceaccount-token-secrets
    """

    namespace: str
    name: str
    account: str
    created: datetime | None = None
    authority: CertificateFacts | None = None
    problem: str = ""

    @property
    def reference(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class AcmeIssuer:
    """A ClusterIssuer that has an ACME account."""

    name: str
    email: str
    server: str
    version: str  # the object's resourceVersion


@dataclass(frozen=True, slots=True)
class UptimeSpan:
    """A span in which the machine of the cluster is planned to be up, or off."""

    up: bool
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class CertificateFinding:
    """One thing that is wrong, and how bad that is."""

    state: CertificateState
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """The verdict on one certificate at one place."""

    kind: SourceKind  # where it was looked at; with the name its key
    name: str  # `namespace/name`, a host, or what the vault calls it
    state: CertificateState
    reasons: tuple[str, ...] = ()  # what is wrong, the worst first; none if it is good
    not_before: datetime | None = None  # None where nothing says it
    not_after: datetime | None = None  # as last seen: it counts, though nothing can be seen now
    renews_at: datetime | None = None  # when cert-manager means to renew it
    seen: datetime | None = None  # when it was last looked at with success; None if it never was
    since: datetime | None = None  # since when it has this state
    overdue_since: datetime | None = None  # since when a renewal is seen not to have happened
    excused: bool = False  # whether what could not be seen is explained by the machine being off as planned
    valid: bool = True  # of a host, whether clients accept its certificate now, whatever is left of it

    @property
    def key(self) -> str:
        """`kind/name`, unique in a scan."""
        return f"{self.kind}/{self.name}"

    @property
    def lifetime(self) -> timedelta | None:
        """From beginning to end, if both are known."""
        if self.not_before is None or self.not_after is None:
            return None
        return self.not_after - self.not_before

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {'; '.join(self.reasons) or self.state}"


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """What could not be looked at: one thing by its name, `namespace/*` for all of a kind there, or `*`."""

    kind: SourceKind
    name: str
    reason: str

    def covers(self, entry: CertificateEntry) -> bool:
        """Whether this is why the thing was not seen."""
        if entry.kind is not self.kind:
            return False
        everything = self.name == "*" or (self.name.endswith("/*") and entry.name.startswith(self.name[:-1]))
        return everything or entry.name == self.name


@dataclass(frozen=True, slots=True)
class ObservedCertificates:
    """All that one scan found, and what it could not look at."""

    secrets: tuple[TlsSecret, ...] = ()
    managed: tuple[ManagedCertificate, ...] = ()
    served: tuple[tuple[HostTarget, ServedChain], ...] = ()
    items: tuple[ExpiringItem, ...] = ()
    tokens: tuple[TokenSecret, ...] = ()
    blind: tuple[BlindSpot, ...] = ()
