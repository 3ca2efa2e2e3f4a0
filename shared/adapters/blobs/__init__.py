"""Azure Blob Storage as `Blobs`: write-once uploads in blocks, streams that resume, leases that are kept.

Integrity: blocks go without Content-MD5. Over TLS they are authenticated up to the service, which checks
its own copies from there on, and MD5 would cost about a tenth of a core; the manifest's SHA-256, taken
before the upload, is what a restore compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.adapters.blobs.container import AzureBlobs
from shared.adapters.blobs.tuning import Tuning
from shared.azure.sdk import (
    Retries,
    find_authority,
    hide_bad_settings,
    identity,
    load_azure_core,
    quiet_sdk_logs,
    translate_sdk_errors,
)
from shared.kernel.errors import AlreadyExists, UsageError

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

    from shared.settings.storage_account import StorageAccount

__all__ = ["AzureBlobs", "Tuning", "create_container", "open_blobs"]

_DEFAULT_TUNING, _DEFAULT_RETRIES = Tuning(), Retries()


def open_blobs(
    account: StorageAccount,
    container: str,
    *,
    tuning: Tuning = _DEFAULT_TUNING,
    retries: Retries = _DEFAULT_RETRIES,
) -> AzureBlobs:
    """The container's blobs; nothing is sent before the first operation.

    Raises `UsageError` if the account's settings are malformed or its SAS is for another container.
    """
    quiet_sdk_logs()
    return AzureBlobs(_client(account, container, retries), tuning)


def create_container(account: StorageAccount, container: str, *, retries: Retries = _DEFAULT_RETRIES) -> None:
    """Make the container if it is absent, for the embedded stack; elsewhere the Terraform does."""
    quiet_sdk_logs()
    client = _client(account, container, retries)
    try:
        with client, translate_sdk_errors(f"container {container}"):
            client.create_container()
    except AlreadyExists:
        return


def _client(account: StorageAccount, container: str, retries: Retries) -> ContainerClient:
    load_azure_core()
    from azure.storage.blob import ContainerClient

    if account.sas_container not in ("", container):
        raise UsageError(
            "the SAS is for another container",
            value=account.sas_container,
            hint=f"Make one for {container}, or for the account.",
        )
    options = retries.options()
    with hide_bad_settings():
        if account.connection_string:
            return ContainerClient.from_connection_string(account.connection_string, container, **options)
        if account.sas:
            return ContainerClient.from_container_url(
                f"{account.blob_url}/{container}?{account.sas}", **options
            )
        return ContainerClient(
            account.blob_url,
            container,
            # The authority follows the storage's own cloud: a token of the public one is worth nothing in
            # Azure China.
            credential=identity(**account.sign_in, authority=find_authority(account.blob_url)),
            **options,
        )
