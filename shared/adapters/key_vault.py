"""`CertificateVault` over Key Vault's REST API: names and times of certificates, never a value.

https://learn.microsoft.com/rest/api/keyvault/certificates/get-certificates/get-certificates
The right is `Microsoft.KeyVault/vaults/certificates/read`, as the role "Key Vault Reader" has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.certificates.model import ExpiringItem, SourceKind
from shared.kernel.errors import NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_VERSION = "7.4"
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_MOST_PAGES = 40
Json = Mapping[str, Any]


class KeyVaultCertificates:
    """The vault at `address`, which is https but for a stand-in on this machine."""

    def __init__(self, address: str, credential: TokenCredential) -> None:
        self._address, self._credential = address, credential

    def list_certificates(self) -> list[ExpiringItem]:
        """See `CertificateVault.list_certificates`."""
        items: list[ExpiringItem] = []
        url = f"{self._address}/certificates?api-version={_VERSION}&maxresults=25"
        for _ in range(_MOST_PAGES):
            page = self._get(url)
            certificates = map(parse_vault_certificate, page.get("value") or ())
            items += [one for one in certificates if one]
            url = str(page.get("nextLink") or "")
            if not url:
                return sorted(items, key=lambda one: one.name)
            self._check_own(url)
        raise Refused("the vault lists more than is read", value=self._address)

    def _check_own(self, url: str) -> None:
        """The token goes to the vault and to nobody that an answer names."""
        if urlsplit(url)[:2] != urlsplit(self._address)[:2]:
            raise Unavailable("the vault's answer leads elsewhere", value=urlsplit(url).hostname)

    def _get(self, url: str) -> Json:
        import requests

        try:
            answer = requests.get(url, headers=self._headers(), timeout=_TIMEOUT, allow_redirects=False)
            content = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unavailable("the vault does not answer", value=type(error).__name__) from error
        if answer.status_code in (401, 403):
            hint = "Give the app's identity the role Key Vault Reader, and see the vault's firewall"
            raise Refused("the vault does not allow it", value=f"HTTP {answer.status_code}", hint=hint)
        if answer.status_code == 404:
            raise NotFound("there is no such vault", value=self._address)
        if answer.status_code != 200 or not isinstance(content, dict):
            raise Unavailable("the vault does not answer", value=f"HTTP {answer.status_code}")
        return content

    def _headers(self) -> dict[str, str]:
        from azure.core.exceptions import AzureError

        suffix = (urlsplit(self._address).hostname or "").partition(".")[2] or "vault.azure.net"
        try:
            token = self._credential.get_token(f"https://{suffix}/.default").token
        except AzureError as error:
            raise Refused("the app cannot sign in to the vault", value=type(error).__name__) from error
        return {"Authorization": f"Bearer {token}"}


def parse_vault_certificate(item: Json) -> ExpiringItem | None:
    """None for one that is disabled, or of no readable form."""
    attributes = item.get("attributes") or {}
    name = str(item.get("id") or "").rstrip("/").rpartition("/")[2]
    if not name or attributes.get("enabled") is False:
        return None
    return ExpiringItem(
        SourceKind.VAULT, name, _instant(attributes.get("nbf")), _instant(attributes.get("exp"))
    )


def _instant(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None


def connect(name: str, credential: TokenCredential) -> KeyVaultCertificates:
    """The vault of that name, or of that host name in another cloud."""
    return KeyVaultCertificates(f"https://{name if '.' in name else f'{name}.vault.azure.net'}", credential)
