"""Identity-based connections mean to Groundcrew what they mean to the Functions host."""

from __future__ import annotations

import pytest

from shared.kernel.errors import UsageError
from shared.settings.environment import Environment
from shared.settings.storage_account import StorageAccount

CLIENT = "11111111-aaaa-bbbb-cccc-000000000001"
RESOURCE = (
    "/subscriptions/1/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/groundcrew"
)
BLOB, QUEUE = "https://stgroundcrew.blob.core.windows.net", "https://stgroundcrew.queue.core.windows.net"
NAMED = {"accountName": "stgroundcrew"}
MANAGED = {**NAMED, "credential": "managedidentity"}


def host(**keys: str) -> StorageAccount:
    return Environment({f"AzureWebJobsStorage__{key}": value for key, value in keys.items()}).host_storage()


@pytest.mark.parametrize(
    ("keys", "sign_in"),
    [
        (NAMED, ("", "", False)),
        (MANAGED, ("", "", True)),
        ({**MANAGED, "clientId": CLIENT}, (CLIENT, "", True)),
        ({**MANAGED, "managedIdentityResourceId": RESOURCE}, ("", RESOURCE, True)),
        ({"ACCOUNTNAME": "stgroundcrew", "Credential": "ManagedIdentity"}, ("", "", True)),
        ({**MANAGED, "clientId": " "}, ("", "", True)),
        ({**MANAGED, "clientSecret": " "}, ("", "", True)),
    ],
    ids=[
        "process's own",
        "system-assigned",
        "by client id",
        "by resource id",
        "case",
        "an empty value",
        "an empty one",
    ],
)
def test_a_named_account_is_opened_by_the_identity_that_is_named(
    keys: dict[str, str], sign_in: tuple[str, str, bool]
) -> None:
    account = host(**keys)
    assert (account.blob_url, account.queue_url) == (BLOB, QUEUE)
    assert (account.client_id, account.identity_resource_id, account.managed) == sign_in
    assert tuple(account.sign_in.values()) == sign_in


@pytest.mark.parametrize(
    ("keys", "blob", "queue"),
    [
        ({"blobServiceUri": f"{BLOB}/", "queueServiceUri": QUEUE, "tableServiceUri": "x"}, BLOB, QUEUE),
        ({"blobServiceUri": "https://st.blob.core.usgovcloudapi.net"},
         "https://st.blob.core.usgovcloudapi.net", "https://st.queue.core.usgovcloudapi.net"),
        ({**NAMED, "queueServiceUri": "https://queues.example.org"}, BLOB, "https://queues.example.org"),
    ],
    ids=["all addresses", "another cloud", "a name and an address"],
)  # fmt: skip
def test_addresses_of_services_are_taken_as_given(keys: dict[str, str], blob: str, queue: str) -> None:
    account = host(**keys)
    assert (account.blob_url, account.queue_url) == (blob, queue)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({**NAMED, "serviceUri": BLOB}, "AzureWebJobsStorage__serviceUri"),
        ({**NAMED, "clientSecret": "hush"}, "AzureWebJobsStorage__clientSecret"),
        ({**NAMED, "credential": "workloadidentity"}, "__credential"),
        ({**NAMED, "clientId": CLIENT}, "__credential"),
        ({**NAMED, "managedIdentityResourceId": RESOURCE}, "__credential"),
        ({**MANAGED, "clientId": CLIENT, "managedIdentityResourceId": RESOURCE}, "__managedIdentity"),
        ({**MANAGED, "managedIdentityResourceId": "groundcrew"}, "__managedIdentityResourceId"),
        ({"credential": "managedidentity"}, "__accountName"),
        ({"queueServiceUri": QUEUE}, "__accountName"),
        ({"blobServiceUri": "https://blobs.example.org"}, "__queueServiceUri"),
        ({"blobServiceUri": "http://st.blob.core.windows.net"}, "__blobServiceUri"),
        ({"blobServiceUri": f"{BLOB}?sig=hush"}, "__blobServiceUri"),
        ({"blobServiceUri": "https:///backups"}, "__blobServiceUri"),
        ({**NAMED, "queueServiceUri": "nowhere"}, "__queueServiceUri"),
        ({"blobServiceUri": "https://hush@st.blob.core.windows.net"}, "__blobServiceUri"),
        ({"accountName": "Not_A_Name"}, "account"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(keys: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        host(**keys)
    assert named in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_connection_string_beside_an_identity_is_refused_but_an_empty_one_is_not() -> None:
    values = {"AzureWebJobsStorage__accountName": "stgroundcrew"}
    assert Environment({**values, "AzureWebJobsStorage": ""}).host_storage().blob_url == BLOB
    with pytest.raises(UsageError, match="AzureWebJobsStorage"):
        Environment({**values, "AzureWebJobsStorage": "AccountName=a;AccountKey=k=="}).host_storage()


HOST = {"AzureWebJobsStorage__accountName": "sthost"}


@pytest.mark.parametrize(
    ("values", "url", "client_id"),
    [
        ({}, "https://sthost.blob.core.windows.net", ""),
        ({"": "stgroundcrew"}, BLOB, ""),
        ({"": BLOB}, BLOB, ""),
        ({"": "stgroundcrew", "__credential": "managedidentity", "__clientId": CLIENT}, BLOB, CLIENT),
        (
            {"__accountName": "stgroundcrew", "__credential": "managedidentity", "__clientId": CLIENT},
            BLOB,
            CLIENT,
        ),
        ({"__blobServiceUri": "https://backups.example.org"}, "https://backups.example.org", ""),
    ],
    ids=["the host's", "a name", "an address", "a name and an identity", "keys alone", "a private address"],
)
def test_backups_have_a_connection_of_their_own(values: dict[str, str], url: str, client_id: str) -> None:
    settings = {f"GROUNDCREW_BACKUP_STORAGE{key}": value for key, value in values.items()}
    account = Environment({**HOST, **settings}).backup_storage()
    assert (account.blob_url, account.client_id) == (url, client_id)


@pytest.mark.parametrize("end", ["", ";EndpointSuffix=core.windows.net"])
def test_backups_may_have_a_key_of_their_own(end: str) -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2lnPQ=={end}"
    account = Environment({**HOST, "GROUNDCREW_BACKUP_STORAGE": text}).backup_storage()
    assert account.connection_string == text
    signed = "https://st.blob.core.windows.net/backups?sv=2024&sr=c&sp=rl&sig=abc"
    assert Environment({**HOST, "GROUNDCREW_BACKUP_STORAGE": signed}).backup_storage().sas


def test_a_key_beside_an_identity_for_backups_is_refused() -> None:
    values = {
        "GROUNDCREW_BACKUP_STORAGE": "AccountName=a;AccountKey=k==",
        "GROUNDCREW_BACKUP_STORAGE__accountName": "stgroundcrew",
    }
    with pytest.raises(UsageError, match="GROUNDCREW_BACKUP_STORAGE"):
        Environment({**HOST, **values}).backup_storage()


def test_an_unresolved_key_vault_reference_is_named() -> None:
    values = {"AzureWebJobsStorage": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)"}
    with pytest.raises(UsageError, match="AzureWebJobsStorage is a Key Vault reference"):
        Environment(values).host_storage()
