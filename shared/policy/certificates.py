"""The policy of certificates: what is looked at, and when people are told."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .base import Duration, Section, max_hours, reject
from .cluster_values import Label

_HOST = re.compile(
    # A name of at most 253 characters, labels of at most 63 (RFC 1035, section 2.3.4), in lower case as
    # certificates are compared.
    r"(?=.{1,253}(:|$))([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# A token goes there: only to hosts that are Azure's.
# https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#dns-suffixes-for-object-identifiers
_VAULT = re.compile(r"[a-z][a-z0-9-]{1,22}[a-z0-9](\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net))?")


def _host_with_port(text: str) -> str:
    host, _, port = text.partition(":")
    if not _HOST.fullmatch(host) or (":" in text and not (_PORT.fullmatch(port) and int(port) < 65536)):
        reject(f"'{text}' is not a host", "Write it as chat.example.org or mail.example.org:465")
    return text


def _vault(text: str) -> str:
    if not _VAULT.fullmatch(text):
        reject(f"'{text}' is not a Key Vault", "Write its name, as kv-rocketchat")
    return text


HostWithPort = Annotated[str, AfterValidator(_host_with_port)]


class CertificatePolicy(Section):
    """Which certificates are watched, and what is done about those that are not renewed."""

    hosts: tuple[HostWithPort, ...] = Field(
        default=(), description="hosts to look at besides the chat's and those of Ingresses"
    )
    # A CDN shows its own certificate by design: without this each scan would warn of one that is not the
    # Secret's.
    behind_proxy: tuple[HostWithPort, ...] = Field(
        default=(), description="hosts that show a proxy's certificate, not that of their Secret"
    )
    namespaces: tuple[Label, ...] = Field(
        default=(), description="Kubernetes namespaces to look into; empty: that of the release"
    )
    vaults: tuple[Annotated[str, AfterValidator(_vault)], ...] = Field(
        default=(), description="Key Vaults whose certificates are watched"
    )
    warning_percent: int = Field(
        default=25, ge=1, le=90, description="percent of the lifetime left that is a warning, 30 days at most"
    )
    critical_percent: int = Field(
        default=10, ge=1, le=90, description="percent of the lifetime left that is critical, 7 days at most"
    )
    when_vm_off: Literal["warn", "wake"] = Field(
        default="warn",
        description="when the machine that carries rocketchat is planned off in a whole renewal window",
    )
    wake_for: Annotated[Duration, max_hours(24)] = Field(
        default=timedelta(hours=2), description="how long the machine is up at most for one renewal"
    )
    # Four days are longer than a weekend with a holiday; a machine that is off on purpose is no alarm before
    # that.
    blind_after: Duration = Field(
        default=timedelta(days=4), description="time without a look that is an alarm, planned off or not"
    )

    token_max_age: Duration = Field(
        default=timedelta(days=365),
        description="age of a service account's token in a Secret, which never ends, that is a warning",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.critical_percent >= self.warning_percent:
            reject("critical_percent is not below warning_percent", "Be warned earlier than alarmed")
        # The machine, MicroK8s, cert-manager and the authority's checks come after each other, and
        # cert-manager retries a failed order after an hour: https://cert-manager.io/docs/faq/acme/
        if self.wake_for < timedelta(hours=1):
            reject(
                "wake_for is shorter than an hour",
                "Starting and an ACME order take their time: write 1h or more",
            )
        return self
