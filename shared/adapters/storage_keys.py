"""`StorageAccountKeys` over Resource Manager, and opening an account by what a reader would hold.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys and .../regenerate-key
The rights are those two actions, as the role "Storage Account Key Operator Service Role" has them. They read
every blob of the account, so that role belongs on no account whose keys are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD, ArmId
from shared.azure.arm_client import ArmClient, connect_arm
from shared.azure.storage.connection import open_service
from shared.azure.storage.retries import Retries
from shared.azure.storage.service import StorageService
from shared.kernel.errors import GroundcrewError, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.settings.storage_account import StorageAccount

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KIND, API_VERSION = "Microsoft.Storage/storageAccounts", "2023-05-01"
# The signature was right and the rights are others: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_SIGNED = frozenset(
    {
        "AuthorizationPermissionMismatch",
        "AuthorizationServiceMismatch",
        "AuthorizationResourceTypeMismatch",
    }
)


class AzureStorageKeys:
    """The keys of one account."""

    def __init__(self, client: ArmClient, account: ArmId) -> None:
        self._client, self._account = client, account

    def list_keys(self) -> Mapping[str, Secret]:
        """See `StorageAccountKeys.list_keys`."""
        return self._send("/listKeys", None, "List a storage account's keys")

    def regenerate_key(self, name: str) -> Secret:
        """See `StorageAccountKeys.regenerate_key`."""
        keys = self._send("/regenerateKey", {"keyName": name}, f"Replace {name} of a storage account")
        if name not in keys:
            raise Unavailable("Azure did not show the key that it made", value=name)
        return keys[name]

    def _send(self, action: str, body: Mapping[str, Any] | None, message: str) -> dict[str, Secret]:
        answer = self._client.send("POST", self._account, API_VERSION, message, action=action, body=body)
        return {str(one["keyName"]): Secret(str(one["value"])) for one in answer.get("keys") or ()}


def connect(
    credential: TokenCredential, subscription: str, account: str, *, group: str, base_url: str = PUBLIC_CLOUD
) -> AzureStorageKeys:
    """The keys of the account in the group."""
    place = ArmId(subscription.lower(), group.lower(), KIND.lower(), account.lower())
    return AzureStorageKeys(connect_arm(credential, subscription, group=group, base_url=base_url), place)


def account_opener(account: str) -> Callable[[Secret], None]:
    """Opens the account with a connection string, a SAS or a key; raises Refused, Unavailable."""
    return lambda value: _open_account(account, value.reveal().strip())


def _open_account(account: str, value: str) -> None:
    try:
        # One page of one container: the smallest question that only a right signature answers.
        _connect(account, value).send(
            "GET", "/", "the storage account", query={"comp": "list", "maxresults": "1"}
        )
    except Refused as error:
        if str(error.value) not in _SIGNED:
            raise Refused("the storage account does not take the key", value=error.value) from error
    except GroundcrewError as error:
        # Not chained where the text is at fault: the parser may quote it.
        raise Unavailable("the storage account does not answer", value=error.value) from None


def _connect(account: str, value: str) -> StorageService:
    if "AccountKey=" in value or "SharedAccessSignature=" in value:
        opened = StorageAccount.by_connection_string(value)
    elif "://" in value:  # a SAS URL, of the account or of something in it
        base, _, query = value.partition("?")
        opened = StorageAccount(sas=query, blob_url="/".join(base.split("/")[:3]))
    elif "sig=" in value:
        opened = StorageAccount(sas=value, blob_url=f"https://{account}.blob.core.windows.net")
    else:
        text = f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey={value}"
        opened = StorageAccount.by_connection_string(text)
    return open_service(opened, "blob", Retries(attempts=2))
