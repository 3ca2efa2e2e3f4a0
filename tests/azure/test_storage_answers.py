"""What Blob Storage and Queue Storage answer is read as they write it, and nothing else is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.adapters.blobs.requests import parse_listing, parse_properties
from shared.adapters.queues import parse_receipt
from shared.azure.storage.calls import StorageAnswer, encode_path
from shared.kernel.errors import Unavailable

# As the service writes it: https://learn.microsoft.com/rest/api/storageservices/list-blobs#sample-response
LISTING = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://crew.blob.core.windows.net/" ContainerName="backups">
  <Blobs>
    <Blob><Name>a/grüße &amp; b</Name><Properties><Last-Modified>Fri, 27 Nov 2026 01:02:03 GMT</Last-Modified>
      <Etag>0x8DA</Etag><Content-Length>7</Content-Length></Properties></Blob>
    <Blob><Name Encoded="true">c%25%EF%BF%BE</Name><Properties>
      <Last-Modified>Fri, 27 Nov 2026 01:02:03 GMT</Last-Modified>
      <Etag>"0x8DB"</Etag><Content-Length>0</Content-Length></Properties></Blob>
  </Blobs>
  <NextMarker>2!8</NextMarker>
</EnumerationResults>""".encode()
NIGHT = datetime(2026, 11, 27, 1, 2, 3, tzinfo=UTC)


def test_a_listing_has_names_sizes_versions_and_where_it_goes_on() -> None:
    page = parse_listing(LISTING, "container backups")
    assert page.marker == "2!8"
    first, second = page.blobs
    assert (first.name, first.stored_bytes, first.etag) == ("a/grüße & b", 7, '"0x8DA"')
    assert first.last_modified == NIGHT
    assert (second.name, second.etag) == ("c%\ufffe", '"0x8DB"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in to the hotel's network</body></html>",
        b"<EnumerationResults></EnumerationResults>",
        LISTING[:300],
        LISTING.replace(b"<Content-Length>7</Content-Length>", b""),
        LISTING.replace(b"<Content-Length>7<", b"<Content-Length>many<"),
        LISTING.replace(b"Fri, 27 Nov 2026 01:02:03 GMT", b"yesterday"),
        LISTING.replace(b"<Etag>0x8DA</Etag>", b""),
        LISTING.replace("<Name>a/grüße &amp; b</Name>".encode(), b""),
    ],
    ids=["nothing", "a page", "no blobs", "cut", "no size", "a size", "a time", "no version", "no name"],
)
def test_what_is_no_listing_is_never_an_empty_container(body: bytes) -> None:
    with pytest.raises(Unavailable, match="container backups"):
        parse_listing(body, "container backups")


def test_properties_come_from_the_headers() -> None:
    headers = {
        "etag": '"0x1"',
        "last-modified": "Fri, 27 Nov 2026 01:02:03 GMT",
        "x-ms-meta-groundcrew_write": "1",
    }
    properties = parse_properties(StorageAnswer(200, headers), 7, "blob a")
    assert (properties.etag, properties.last_modified, properties.stored_bytes) == ('"0x1"', NIGHT, 7)
    assert properties.metadata == {"groundcrew_write": "1"}


@pytest.mark.parametrize("name", ["etag", "last-modified"])
def test_a_success_without_a_version_is_none_of_the_services(name: str) -> None:
    headers = {"etag": '"0x1"', "last-modified": "Fri, 27 Nov 2026 01:02:03 GMT"}
    del headers[name]
    with pytest.raises(Unavailable, match="blob a"):
        parse_properties(StorageAnswer(200, headers), 7, "blob a")


@pytest.mark.parametrize(
    "body", [b"", b"<html/>", b"<List><QueueMessage><MessageId>1</MessageId></QueueMessage></List>"]
)
def test_a_message_without_a_receipt_cannot_be_taken_back(body: bytes) -> None:
    with pytest.raises(Unavailable, match="queue jobs"):
        parse_receipt(body, "queue jobs")


@pytest.mark.parametrize(
    ("segments", "path"),
    [
        (("c", "a/b"), "/c/a/b"),
        (("c", "ü b?#%&+"), "/c/%C3%BC%20b%3F%23%25%26%2B"),
        (("c", "a'(1)!*~-_."), "/c/a%27%281%29%21%2A~-_."),
    ],
)
def test_a_name_is_sent_as_it_is_signed(segments: tuple[str, ...], path: str) -> None:
    assert encode_path(*segments) == path
