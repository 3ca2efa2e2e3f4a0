"""Azure Blob Storage as `Blobs`: write-once uploads in blocks, streams that resume, leases that are kept.

Integrity: blocks go without Content-MD5. Over TLS they are authenticated up to the service, which checks
its own copies from there on, and MD5 would cost about a tenth of a core; the manifest's SHA-256, taken
before the upload, is what a restore compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.adapters.blobs.container import AzureBlobs
from shared.adapters.blobs.requests import ContainerRequests
from shared.adapters.blobs.tuning import Tuning
from shared.azure.storage.connection import open_service
from shared.azure.storage.retries import Retries
from shared.kernel.errors import AlreadyExists, UsageError

if TYPE_CHECKING:
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
    return AzureBlobs(_open_container(account, container, retries), tuning)


def create_container(account: StorageAccount, container: str, *, retries: Retries = _DEFAULT_RETRIES) -> None:
    """Make the container if it is absent, for the embedded stack; elsewhere the Terraform does."""
    try:
        _open_container(account, container, retries).create()
    except AlreadyExists:
        return


def _open_container(account: StorageAccount, container: str, retries: Retries) -> ContainerRequests:
    if account.sas_container not in ("", container):
        raise UsageError(
            "the SAS is for another container",
            value=account.sas_container,
            hint=f"Make one for {container}, or for the account.",
        )
    return ContainerRequests(open_service(account, "blob", retries), container)
