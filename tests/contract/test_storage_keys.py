"""A storage account's two keys: the stand-in of Resource Manager, the fake, and Azurite that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from local.azure_rm import AzureServer
from local.azure_rm.fleet import GROUP
from local.azurite import Azurite
from local.fakes.secret_systems import MemoryStorageKeys
from shared.adapters.storage_keys import account_opener, connect
from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.storage_keys import StorageAccountKeys, StorageKeys
from tests.local.azure_rm.published import describe_azure_faults

ACCOUNT = "stchat"


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    with AzureServer() as running:
        running.add_storage_account(ACCOUNT)
        yield running
        assert describe_azure_faults(running) == []


@pytest.fixture(params=["memory", "azure"])
def keys(request: pytest.FixtureRequest) -> StorageAccountKeys:
    if request.param == "memory":
        return MemoryStorageKeys()
    server = request.getfixturevalue("azure")
    return connect(server.credential(), server.subscription, ACCOUNT, group=GROUP, base_url=server.url)


def values(keys: StorageAccountKeys) -> dict[str, str]:
    return {name: value.reveal() for name, value in keys.list_keys().items()}


def test_a_key_that_is_replaced_is_another_and_the_other_one_stays(keys: StorageAccountKeys) -> None:
    before = values(keys)
    made = keys.regenerate_key("key2").reveal()
    assert values(keys) == {"key1": before["key1"], "key2": made}
    assert made != before["key2"]


def test_a_key_of_another_name_is_an_error(keys: StorageAccountKeys) -> None:
    with pytest.raises(GroundcrewError):
        keys.regenerate_key("key3")


def test_an_account_that_is_not_there_and_a_right_that_is_missing_are_said(azure: AzureServer) -> None:
    place = {"group": GROUP, "base_url": azure.url}
    with pytest.raises(NotFound):
        connect(azure.credential(), azure.subscription, "stother", **place).list_keys()
    with pytest.raises(Refused):
        connect(azure.credential(valid=False), azure.subscription, ACCOUNT, **place).list_keys()


def opened(_value: Secret) -> None:
    """Takes everything."""


def account_sas(key: str) -> str:
    """As the SDK, which is another's code, signs one."""
    return generate_account_sas(
        ACCOUNT, key, ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, list=True), expiry=datetime(2026, 4, 1, tzinfo=UTC),
        start=datetime(2026, 1, 1, tzinfo=UTC), protocol="https",
    )  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        "%s",
        "https://stchat.blob.core.windows.net/?%s",
        "BlobEndpoint=https://stchat.blob.core.windows.net/;SharedAccessSignature=%s",
    ],
)
def test_a_sas_is_signed_anew_by_the_other_key_as_the_sdk_signs_it(form: str) -> None:
    keys = MemoryStorageKeys()
    authority = StorageKeys(ACCOUNT, keys, opened, timedelta(days=30))
    current = Secret(form % account_sas(keys.keys["key1"]))
    chosen = authority.choose(current, "20260301T120000Z")
    assert (chosen.old_label, chosen.new_label) == ("key1", "key2 of 20260301T120000Z")
    made = authority.render(current, chosen.new_label, authority.issue(chosen, current))
    expected = generate_account_sas(
        ACCOUNT, keys.keys["key2"], ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, list=True), expiry=datetime(2026, 3, 31, 12, tzinfo=UTC),
        protocol="https",
    )  # fmt: skip

    def fields(text: str) -> dict[str, str]:
        return dict(parse_qsl(text.rpartition("?")[2].rpartition("SharedAccessSignature=")[2]))

    assert fields(made.reveal()) == fields(expected)
    authority.prove(made, chosen.new_label)
    # Rendered again, hours later or by another process, it is the same: homes are compared with it.
    assert authority.render(current, chosen.new_label, Secret(keys.keys["key2"])).reveal() == made.reveal()
    with pytest.raises(Refused, match="the one in use"):
        authority.revoke(chosen.new_label, made)
    authority.revoke(chosen.old_label, made)
    with pytest.raises(Refused, match="neither key"):
        authority.choose(current, "20260301T120000Z")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("sv=2021-06-08&skoid=x&sp=r&sr=c&sig=AAAA", "user delegation"),
        ("sv=2021-06-08&sr=c&sp=r&sig=AAAA", "neither an account key nor an account SAS"),
        ("sv=2019-12-12&ss=b&srt=s&sp=r&sig=AAAA", "version that is not served"),
        ("sv=2021-06-08&ss=b&srt=s&sp=r&sig=ÄÄÄÄ", "neither key"),
        ("AccountName=x;AccountKey=short==", "neither an account key"),
        (f"AccountKey={'A' * 86}==", "neither key"),
    ],
)
def test_what_no_key_of_the_account_signed_is_refused_and_not_quoted(value: str, problem: str) -> None:
    authority = StorageKeys(ACCOUNT, MemoryStorageKeys(), opened)
    with pytest.raises(Refused, match=problem) as caught:
        authority.choose(Secret(value), "20260301T120000Z")
    assert "AAAA" not in str(caught.value)


def test_the_key_in_use_is_never_replaced() -> None:
    keys = MemoryStorageKeys()
    authority = StorageKeys(ACCOUNT, keys, opened)
    chosen = authority.choose(Secret(keys.keys["key1"]), "20260301T120000Z")
    with pytest.raises(Refused, match="the one in use"):
        authority.issue(chosen, Secret(keys.keys["key2"]))


def test_an_account_is_opened_with_its_key_and_with_no_other(tmp_path: Path) -> None:
    with Azurite(tmp_path) as azurite:
        connection = azurite.connection_string
        key = connection.partition("AccountKey=")[2].partition(";")[0]
        account_opener("devstoreaccount1")(Secret(connection))
        wrong = connection.replace(key, "A" * 86 + "==")
        with pytest.raises(Refused, match="does not take the key"):
            account_opener("devstoreaccount1")(Secret(wrong))
    with pytest.raises(Unavailable):
        account_opener("devstoreaccount1")(Secret(connection))
