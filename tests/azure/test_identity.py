"""The app signs in as it does on Azure: a token of the identity endpoint opens Azurite over TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local.azurite import Azurite
from local.identity import IdentityEndpoint
from local.kubernetes.tls import Authority
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.queues import open_queues
from shared.azure.arm import token_scope
from shared.azure.sdk import find_authority, identity
from shared.azure.storage.retries import Retries
from shared.kernel.errors import GroundcrewError
from shared.settings.environment import Environment
from shared.wiring.azure import build_credential

CLIENT = "11111111-aaaa-bbbb-cccc-000000000001"
RESOURCE = (
    "/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/groundcrew"
)
STORAGE, ARM = "https://storage.azure.com", "https://management.azure.com"
MANAGED = {"credential": "managedidentity"}


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, Path]]:
    """Azurite with a certificate, and the file of the authority that signed it."""
    folder = tmp_path_factory.mktemp("azurite")
    certificate, trusted = Authority().write(folder)
    with Azurite(folder, certificate=certificate) as running:
        yield running, trusted


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """An app with user-assigned identities only, as the platform sets its environment."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    identity.cache_clear()
    build_credential.cache_clear()
    with IdentityEndpoint({CLIENT, RESOURCE}) as running:
        for name, value in running.settings.items():
            monkeypatch.setenv(name, value)
        yield running
    identity.cache_clear()
    build_credential.cache_clear()


@pytest.mark.parametrize(
    ("keys", "ambient", "name"),
    [
        ({**MANAGED, "clientId": CLIENT}, "", CLIENT),
        ({**MANAGED, "managedIdentityResourceId": RESOURCE}, "", RESOURCE),
        ({}, CLIENT, CLIENT),
    ],
    ids=["by client id", "by resource id", "by AZURE_CLIENT_ID"],
)
def test_a_user_assigned_identity_opens_the_storage(
    azurite: tuple[Azurite, Path], endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch,
    keys: Mapping[str, str], ambient: str, name: str,
) -> None:  # fmt: skip
    running, trusted = azurite
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    if ambient:
        monkeypatch.setenv("AZURE_CLIENT_ID", ambient)
    connection = {"blobServiceUri": running.blob_url, "queueServiceUri": running.queue_url, **keys}
    values = {f"AzureWebJobsStorage__{key}": value for key, value in connection.items()}
    account = Environment(values).host_storage()
    create_container(account, "groundcrew")
    blobs, queues = open_blobs(account, "groundcrew"), open_queues(account)
    blobs.replace("runs/one.json", b"{}", etag=None)
    queues.send("deploys", "one")
    assert blobs.read("runs/one.json")[0] == b"{}"
    assert queues.length("deploys") >= 1
    assert {*endpoint.requests} == {(STORAGE, name)}


def test_an_identity_that_the_app_does_not_have_opens_nothing(
    azurite: tuple[Azurite, Path], endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, trusted = azurite
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    endpoint.identities = ()
    values = {
        "AzureWebJobsStorage__blobServiceUri": running.blob_url,
        "AzureWebJobsStorage__queueServiceUri": running.queue_url,
        "AzureWebJobsStorage__credential": "managedidentity",
    }
    blobs = open_blobs(Environment(values).host_storage(), "groundcrew", retries=Retries(attempts=1))
    with pytest.raises(GroundcrewError):
        blobs.read("runs/one.json")


def test_resource_manager_is_opened_by_the_identity_of_azure_client_id(
    endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.delenv("GROUNDCREW_RESOURCE_MANAGER", raising=False)
    monkeypatch.delenv("GROUNDCREW_RESOURCE_MANAGER_TOKEN", raising=False)
    assert build_credential().get_token(token_scope(ARM)).token
    assert endpoint.requests == [(ARM, CLIENT)]


@pytest.mark.parametrize(
    ("address", "scope", "authority"),
    [
        (ARM, f"{ARM}/.default", ""),
        (f"{ARM}/", f"{ARM}/.default", ""),
        ("https://management.usgovcloudapi.net", "https://management.usgovcloudapi.net/.default",
         "https://login.microsoftonline.us"),
        ("https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default",
         "https://login.chinacloudapi.cn"),
        ("http://127.0.0.1:9000", f"{ARM}/.default", ""),
    ],
    ids=["public", "with a slash", "US government", "China", "stand-in"],
)  # fmt: skip
def test_tokens_are_of_the_cloud_of_resource_managers_address(
    address: str, scope: str, authority: str
) -> None:
    assert token_scope(address) == scope
    assert find_authority(address) == authority
