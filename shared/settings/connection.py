"""Identity-based connections: the settings `<NAME>__<key>` by which the Functions host signs in to storage.

https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
The host reads these settings itself, so Groundcrew reads each of them the same way, and refuses what it does
not understand: a setting that is ignored would make the two sign in differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.kernel.errors import UsageError
from shared.settings.storage_account import StorageAccount

# Configuration keys of .NET do not tell upper from lower case.
_KEYS = {
    key.lower(): key
    for key in (
        "accountName",
        "blobServiceUri",
        "queueServiceUri",
        "tableServiceUri",  # the host's own (diagnostic events); Groundcrew has no tables
        "credential",
        "clientId",
        "managedIdentityResourceId",
    )
}
_RESOURCE_ID = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.managedidentity/userassignedidentities/[^/]+",
    re.IGNORECASE,
)


def parse_connection(name: str, settings: Mapping[str, str]) -> StorageAccount | None:
    """The storage account of the settings `<name>__<key>`; None if there are none. Raises UsageError."""
    values = _read_keys(name, settings)
    if not values:
        return None
    client_id, resource_id = values.get("clientId", ""), values.get("managedIdentityResourceId", "")
    credential = values.get("credential", "")
    # Also possible for the host are client secrets: then a secret would stand among settings that this app
    # never reads.
    if credential.lower() not in ("", "managedidentity"):
        raise UsageError(
            f"{name}__credential is not supported", value=credential, hint="Use managedidentity."
        )
    if client_id and resource_id:
        hint = "Keep one of the two."
        raise UsageError(f"{name}__clientId and {name}__managedIdentityResourceId are both set", hint=hint)
    if (client_id or resource_id) and not credential:
        # The host then ignores the identity's name and signs in as the system-assigned one.
        raise UsageError(
            f"{name} names an identity but not {name}__credential",
            hint=f"Set {name}__credential=managedidentity.",
        )
    if resource_id and not _RESOURCE_ID.fullmatch(resource_id):
        raise UsageError(
            f"{name}__managedIdentityResourceId is not the id of a user-assigned identity", value=resource_id
        )
    blob_url, queue_url = _service_urls(name, values)
    return StorageAccount(
        blob_url=blob_url,
        queue_url=queue_url,
        client_id=client_id,
        identity_resource_id=resource_id,
        managed=bool(credential),
    )


def _read_keys(name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The values by key as `_KEYS` spells it, without empty ones."""
    prefix, values = f"{name}__".lower(), dict[str, str]()
    for setting, text in settings.items():
        if not setting.lower().startswith(prefix) or not text.strip():
            continue
        key = _KEYS.get(setting[len(prefix) :].lower())
        if key is None:
            known = ", ".join(_KEYS.values())
            raise UsageError(f"{setting} is not supported", hint=f"Understood after {name}__: {known}.")
        values[key] = text.strip()
    return values


def _service_urls(name: str, values: Mapping[str, str]) -> tuple[str, str]:
    """The URLs of the blob and the queue service: as given, else from the account's name."""
    blob = _service_url(name, "blobServiceUri", values)
    queue = _service_url(name, "queueServiceUri", values)
    account = values.get("accountName", "")
    if account:
        named = StorageAccount.by_identity(account)
        return blob or named.blob_url, queue or named.queue_url
    if not blob:
        raise UsageError(
            f"{name}__accountName is not set",
            hint=f"Set it, or {name}__blobServiceUri and __queueServiceUri.",
        )
    # An emulator's or a private name has no `.blob.`, and no queue service that could be told from it.
    return blob, queue or (StorageAccount.by_identity(blob).queue_url if ".blob." in blob else "")


def _service_url(name: str, key: str, values: Mapping[str, str]) -> str:
    text = values.get(key, "")
    parts = urlsplit(text)
    if text and (parts.scheme != "https" or not parts.hostname or parts.query or parts.username):
        # What is in a query or before an @ may be a secret.
        raise UsageError(
            f"{name}__{key} is not the address of a service",
            hint="It looks like https://ACCOUNT.blob.core.windows.net; tokens go over https only.",
        )
    return text.rstrip("/")
