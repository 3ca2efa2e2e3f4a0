"""Key Vault's REST API: `CertificateVault`, names and times of certificates only, and `SecretHomes`.

https://learn.microsoft.com/rest/api/keyvault/certificates/get-certificates/get-certificates
The right is `Microsoft.KeyVault/vaults/certificates/read`, as the role "Key Vault Reader" has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.azure.managed_identity import is_sign_in_error
from shared.certificates.model import ExpiringItem, SourceKind
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.kernel.timestamps import from_unix_seconds
from shared.secrets_rotation.model import HomeValue, SecretHome

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_VERSION = "7.4"
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_MOST_PAGES = 40
# A function is paid for while it waits, and the next tick goes on with what is left.
_TRIES, _MOST_WAIT_SECONDS = 3, 10.0
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
        return call_vault("GET", url, self._credential, address=self._address, role="Key Vault Reader")


class KeyVaultSecrets:
    """`SecretHomes` over vaults: a new version for each write, the one before stays until it is purged.

    https://learn.microsoft.com/rest/api/keyvault/secrets/set-secret/set-secret
    The rights are `secrets/getSecret` and `secrets/setSecret`, as the role "Key Vault Secrets Officer" has
    them. A vault takes no condition on a write, so the version is compared just before.
    """

    def __init__(self, credential: TokenCredential, address: Callable[[str], str]) -> None:
        self._credential, self._address = credential, address

    def read(self, home: SecretHome) -> HomeValue:
        """See `SecretHomes.read`; the version is the vault's own."""
        item = self._call("GET", home)
        return HomeValue(Secret(str(item.get("value") or "")), str(item.get("id") or ""))

    def write(self, home: SecretHome, value: Secret, version: str) -> None:
        """See `SecretHomes.write`."""
        item = self._call("GET", home)
        # Between this look and the write somebody may still be quicker; their version stays in the vault, and
        # can be restored.
        if str(item.get("id") or "") != version:
            raise Conflict("the vault's secret changed meanwhile", value=home)
        # A new version begins without them, and Terraform would show a difference.
        attributes = {key: item[key] for key in ("contentType", "tags") if item.get(key)}
        # One that ends gets a successor that lives as long: without an end nobody would be reminded again.
        lifetime = _find_lifetime(item.get("attributes") or {})
        ends = {"attributes": {"exp": int(time.time()) + lifetime}} if lifetime else {}
        self._call("PUT", home, {**attributes, **ends, "value": value.reveal()})

    def changed(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.changed`: when the newest version was made."""
        return from_unix_seconds((self._call("GET", home).get("attributes") or {}).get("created"))

    def expires(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.expires`: the end that the newest version was given."""
        return from_unix_seconds((self._call("GET", home).get("attributes") or {}).get("exp"))

    def _call(self, method: str, home: SecretHome, body: Json | None = None) -> Json:
        address = self._address(home.place)
        url = f"{address}/secrets/{home.key}?api-version={_VERSION}"
        role = "Key Vault Secrets Officer"
        return call_vault(method, url, self._credential, address=address, role=role, body=body)


def _find_lifetime(attributes: Json) -> int:
    """Seconds from a version's making to its end; 0 if it has none."""
    created, ends = attributes.get("created"), attributes.get("exp")
    return max(0, ends - created) if isinstance(created, int) and isinstance(ends, int) else 0


def call_vault(
    method: str, url: str, credential: TokenCredential, *, address: str, role: str, body: Json | None = None
) -> Json:
    """One request. Raises Unavailable (throttling too, which a later try mends), Refused, NotFound."""
    import requests

    for attempt in range(_TRIES):
        try:
            answer = requests.request(
                method, url, headers=_headers(credential, address), json=body, timeout=_TIMEOUT,
                allow_redirects=False,
            )  # fmt: skip
            content = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unavailable("the vault does not answer", value=type(error).__name__) from error
        wait = parse_throttle(answer.status_code, answer.headers)
        # A throttled request was not taken up, so that a write is made once however often it is sent.
        if wait is None or wait > _MOST_WAIT_SECONDS or attempt == _TRIES - 1:
            break
        time.sleep(wait)
    if answer.status_code == 429:
        hint = (
            "It is asked again by the next run; vaults take 4000 requests in 10 seconds, all apps together."
        )
        raise Unavailable("the vault is throttled", value=f"HTTP 429, wait {_describe(wait)}", hint=hint)
    if answer.status_code in (401, 403):
        hint = f"Give the app's identity the role {role}, and see the vault's firewall"
        raise Refused("the vault does not allow it", value=f"HTTP {answer.status_code}", hint=hint)
    if answer.status_code == 404:
        raise NotFound("the vault does not have it", value=urlsplit(url).path)
    if answer.status_code != 200 or not isinstance(content, dict):
        raise Unavailable("the vault does not answer", value=f"HTTP {answer.status_code}")
    return content


def parse_throttle(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds until a throttled vault may be asked again; None where it does not say, or is not throttled.

    https://learn.microsoft.com/azure/key-vault/general/overview-throttling
    """
    text = headers.get("Retry-After", "")
    return float(text) if status == 429 and text.isdigit() and text.isascii() else None


def _describe(wait: float | None) -> str:
    return f"{wait:.0f} s" if wait is not None else "as long as it likes"


def _headers(credential: TokenCredential, address: str) -> dict[str, str]:
    # The token's audience is the cloud's vault domain and not the one vault:
    # https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
    suffix = (urlsplit(address).hostname or "").partition(".")[2] or "vault.azure.net"
    try:
        token = credential.get_token(f"https://{suffix}/.default").token
    except Exception as error:
        if not is_sign_in_error(error):
            raise
        raise Refused("the app cannot sign in to the vault", value=type(error).__name__) from error
    return {"Authorization": f"Bearer {token}"}


def parse_vault_certificate(item: Json) -> ExpiringItem | None:
    """None for one that is disabled, or of no readable form."""
    attributes = item.get("attributes") or {}
    name = str(item.get("id") or "").rstrip("/").rpartition("/")[2]
    if not name or attributes.get("enabled") is False:
        return None
    return ExpiringItem(
        SourceKind.VAULT,
        name,
        from_unix_seconds(attributes.get("nbf")),
        from_unix_seconds(attributes.get("exp")),
    )


def connect(name: str, credential: TokenCredential) -> KeyVaultCertificates:
    """The vault of that name, or of that host name in another cloud."""
    return KeyVaultCertificates(vault_address(name), credential)


def connect_vault_secrets(credential: TokenCredential) -> KeyVaultSecrets:
    """Secrets of the vaults that homes name."""
    return KeyVaultSecrets(credential, vault_address)


def vault_address(name: str) -> str:
    """The address of the vault of that name, or of that host name in another cloud."""
    return f"https://{name if '.' in name else f'{name}.vault.azure.net'}"
