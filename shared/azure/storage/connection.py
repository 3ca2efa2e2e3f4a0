"""Opens a service of a storage account by what the settings say of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shared.azure.sdk import find_authority, identity
from shared.azure.storage.authorization import (
    Authorization,
    SasAuthorization,
    SharedKeyAuthorization,
    TokenAuthorization,
    is_plain_http,
)
from shared.azure.storage.service import StorageService
from shared.kernel.errors import UsageError
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    from shared.azure.storage.retries import Retries
    from shared.settings.storage_account import StorageAccount

Service = Literal["blob", "queue"]

# Of the emulator on everybody's machine, published by Microsoft: it opens nothing else.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#well-known-storage-account-and-key
_EMULATED = "devstoreaccount1"
_EMULATED_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATED_PORTS = {"blob": 10000, "queue": 10001}


def open_service(account: StorageAccount, service: Service, retries: Retries) -> StorageService:
    """The account's service; nothing is sent before the first request.

    Raises `UsageError` for settings of which no address can be made, quoting nothing.
    """
    url = account.blob_url if service == "blob" else account.queue_url
    authorization: Authorization
    if account.connection_string:
        url, authorization = _read_connection_string(account.connection_string, service)
    elif account.sas:
        authorization = SasAuthorization(account.sas)
    elif is_plain_http(url):
        raise _unusable()
    else:
        # The authority follows the storage's own cloud: a token of the public one is worth nothing in
        # Azure China.
        authority = find_authority(account.blob_url)
        authorization = TokenAuthorization(identity(**account.sign_in, authority=authority))
    return StorageService(url.rstrip("/"), authorization, retries)


def _read_connection_string(text: str, service: Service) -> tuple[str, Authorization]:
    """https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string"""
    pairs = (part.strip().partition("=")[::2] for part in text.split(";"))
    values = {name.lower(): value.strip() for name, value in pairs}
    if values.get("usedevelopmentstorage", "").lower() == "true":
        url = f"http://127.0.0.1:{_EMULATED_PORTS[service]}/{_EMULATED}"
        return url, SharedKeyAuthorization(_EMULATED, Secret(_EMULATED_KEY))
    name, key = values.get("accountname", ""), values.get("accountkey", "")
    url = values.get(f"{service}endpoint", "")
    if not url:
        if not name:
            raise _unusable()
        scheme = values.get("defaultendpointsprotocol") or "https"
        url = f"{scheme}://{name}.{service}.{values.get('endpointsuffix') or 'core.windows.net'}"
    if key and name:
        return url, SharedKeyAuthorization(name, Secret(key))
    if signature := values.get("sharedaccesssignature"):
        return url, SasAuthorization(signature)
    raise _unusable()


def _unusable() -> UsageError:
    return UsageError(
        "cannot make a client of the storage account's settings",
        hint="Copy the connection string or URL whole; an identity needs https.",
    )
