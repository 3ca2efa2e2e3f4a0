"""The three ways into a storage account are read rightly, and malformed ones are refused without quoting."""

from __future__ import annotations

import pytest

from shared.kernel.errors import UsageError
from shared.settings.storage_account import StorageAccount

PUBLIC, EMULATED = "https://st.blob.core.windows.net", "http://127.0.0.1:10000/acc"


@pytest.mark.parametrize(
    ("url", "blob_url", "queue_url", "container"),
    [
        (f"{PUBLIC}/?sv=1&sig=x", PUBLIC, "https://st.queue.core.windows.net", ""),
        (f"{PUBLIC}/backups?sig=x", PUBLIC, "https://st.queue.core.windows.net", "backups"),
        (f"{EMULATED}?sig=x", EMULATED, EMULATED, ""),
        ("https://st.blob.x.blob.y/?sig=x", "https://st.blob.x.blob.y", "https://st.queue.x.blob.y", ""),
        (f"{EMULATED}/backups?sig=x", EMULATED, EMULATED, "backups"),
    ],
    ids=["account", "container", "emulated account", "an odd name", "emulated container"],
)
def test_a_sas_url_tells_the_account_and_what_it_opens(
    url: str, blob_url: str, queue_url: str, container: str
) -> None:
    account = StorageAccount.by_sas_url(url)
    assert (account.blob_url, account.queue_url, account.sas_container) == (blob_url, queue_url, container)
    assert account.sas in url
    assert "sig=x" in account.sas
    assert "sig" not in repr(account)


def test_an_identity_opens_an_account_by_name_or_url() -> None:
    by_name = StorageAccount.by_identity("stgroundcrew", client_id="1234")
    assert by_name.blob_url == "https://stgroundcrew.blob.core.windows.net"
    assert by_name.queue_url == "https://stgroundcrew.queue.core.windows.net"
    assert by_name.client_id == "1234"
    for length in (3, 24):  # Azure's shortest and longest
        assert StorageAccount.by_identity("s" * length).blob_url.startswith(f"https://{'s' * length}.blob.")
    by_url = StorageAccount.by_identity("https://st.blob.core.chinacloudapi.cn/")
    assert by_url.queue_url == "https://st.queue.core.chinacloudapi.cn"
    assert (by_url.blob_url, by_url.client_id) == ("https://st.blob.core.chinacloudapi.cn", "")
    assert by_name.sign_in == {"client_id": "1234", "resource_id": "", "managed": False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hush",
        "AccountName=a",
        "AccountKey=hush",
        "AccountName=a;AccountKey=",
        "BlobEndpoint=what ever;AccountKey=hush",
        "BlobEndpoint=nowhere;AccountKey=hush",
        "AccountName=a;AccountKey=hush;QueueEndpoint=ftp://x",
        "AccountName=a;AccountKey=hush;BlobEndpoint=ftp://x",
        "AccountName=a;BlobEndpoint=https://x",
        "BlobEndpoint=https://x y;AccountKey=hush",
        "AccountName=a;AccountKey=hush\nAccountName=b",
        "AccountName=;AccountKey=hush",
    ],
)
def test_a_malformed_connection_string_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        StorageAccount.by_connection_string(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "UseDevelopmentStorage=true",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=k==;EndpointSuffix=core.windows.net",
        "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=hush%3D",
        " AccountName=a;AccountKey=k== \n",
        "accountname=a;ACCOUNTKEY=k==;",
        "BlobEndpoint=http://127.0.0.1:10000/a;QueueEndpoint=http://127.0.0.1:10001/a;AccountKey=k==",
    ],
)
def test_connection_strings_as_the_portal_gives_them_are_taken(text: str) -> None:
    account = StorageAccount.by_connection_string(text)
    assert account.connection_string == text.strip()
    assert "hush" not in repr(account)
    assert "k==" not in repr(account)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "st",
        "https://st.blob.core.windows.net/c",
        "ftp://x/c?sig=hush",
        "https:///c?sig=hush",
        "https://st.blob.core.windows.net/c?signature=hush",
    ],
)
def test_what_is_no_sas_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        StorageAccount.by_sas_url(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "ab", "Upper", "with-dash", "x" * 25, "grün"])
def test_what_cannot_name_an_account_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="account's name"):
        StorageAccount.by_identity(name)
