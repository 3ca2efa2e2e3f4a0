"""The operations of Blob Storage that are used, on one container and on one blob of it.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shared.azure.storage.calls import StorageAnswer, encode_path
from shared.azure.storage.service import StorageService
from shared.kernel.errors import Unavailable
from shared.kernel.ports import BlobInfo

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")
_META = "x-ms-meta-"


@dataclass(frozen=True, slots=True)
class BlobProperties:
    """What the headers of an answer say of a blob."""

    etag: str
    last_modified: datetime
    stored_bytes: int  # of the whole blob, also where the answer is a part of it
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a listing; `marker` begins the next one, and is empty at the end."""

    blobs: Sequence[BlobInfo]
    marker: str


class ContainerRequests:
    """The requests on a container. What fails raises what `StorageService.send` raises."""

    def __init__(self, service: StorageService, name: str) -> None:
        self._service, self.name = service, name

    def create(self) -> None:
        """Raises `AlreadyExists`."""
        query = {"restype": "container"}
        self._service.send("PUT", encode_path(self.name), f"container {self.name}", query=query)

    def list_page(self, prefix: str, marker: str, page: int) -> ListedPage:
        """The committed blobs from `marker` on, at most `page` of them."""
        query = {"restype": "container", "comp": "list", "maxresults": str(page)}
        query |= {"prefix": prefix} if prefix else {}
        query |= {"marker": marker} if marker else {}
        message = f"container {self.name}"
        answer = self._service.send("GET", encode_path(self.name), message, query=query)
        return parse_listing(answer.body, message)

    def blob(self, name: str) -> BlobRequests:
        """The requests on one blob."""
        return BlobRequests(self._service, self.name, name)


class BlobRequests:
    """The requests on a blob. What fails raises what `StorageService.send` raises."""

    def __init__(self, service: StorageService, container: str, name: str) -> None:
        self._service, self.name = service, name
        self._path, self.label = encode_path(container, name), f"blob {container}/{name}"

    def put(
        self,
        data: bytes,
        *,
        metadata: Mapping[str, str],
        etag: str | None = None,
        only_if_absent: bool = False,
    ) -> BlobProperties:
        """Write the whole blob at once."""
        headers = {"x-ms-blob-type": "BlockBlob", **_metadata_headers(metadata), **_condition(etag)}
        if only_if_absent:
            headers["if-none-match"] = "*"
        answer = self._service.send("PUT", self._path, self.label, headers=headers, body=bytes(data))
        return parse_properties(answer, len(data), self.label)

    def get(
        self, *, first: int = 0, length: int = 0, etag: str | None = None
    ) -> tuple[bytes, BlobProperties]:
        """The content, or `length` bytes of it; of the version `etag` if one is given."""
        headers = _condition(etag)
        if length:
            headers["x-ms-range"] = f"bytes={first}-{first + length - 1}"
        answer = self._service.send("GET", self._path, self.label, headers=headers)
        part = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
        return answer.body, parse_properties(answer, int(part[1]) if part else len(answer.body), self.label)

    def head(self) -> BlobProperties:
        """The properties without the content."""
        answer = self._service.send("HEAD", self._path, self.label)
        return parse_properties(answer, int(answer.headers.get("content-length", 0)), self.label)

    def delete(self) -> None:
        """Remove the blob."""
        self._service.send("DELETE", self._path, self.label)

    def put_block(self, block_id: str, data: bytes) -> None:
        """Send a block, which is nothing until a list names it. All ids of a blob are of one length."""
        query = {"comp": "block", "blockid": _encode_id(block_id)}
        self._service.send("PUT", self._path, self.label, query=query, body=data)

    def put_block_list(
        self, block_ids: Sequence[str], written: int, *, metadata: Mapping[str, str]
    ) -> BlobProperties:
        """Make the blob of these blocks, if there is none of its name."""
        listed = "".join(f"<Latest>{_encode_id(block_id)}</Latest>" for block_id in block_ids)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        # In the same request as the commit: a look before it would leave a gap for somebody else's blob.
        headers = {"if-none-match": "*", **_metadata_headers(metadata)}
        query = {"comp": "blocklist"}
        answer = self._service.send("PUT", self._path, self.label, query=query, headers=headers, body=body)
        return parse_properties(answer, written, self.label)

    def acquire_lease(self, lease_id: str, seconds: int) -> None:
        """Lease the blob under an id of the caller's, who is known again by it after a lost answer."""
        fields = {"action": "acquire", "duration": str(seconds), "proposed-lease-id": lease_id}
        self._lease(fields)

    def renew_lease(self, lease_id: str, *, only_within: float) -> None:
        """Renew it, in one try of so many seconds."""
        self._lease({"action": "renew", "id": lease_id}, only_within)

    def release_lease(self, lease_id: str) -> None:
        """Give it back."""
        self._lease({"action": "release", "id": lease_id})

    def _lease(self, fields: Mapping[str, str], only_within: float = 0.0) -> None:
        names = {"action": "x-ms-lease-action", "duration": "x-ms-lease-duration", "id": "x-ms-lease-id",
                 "proposed-lease-id": "x-ms-proposed-lease-id"}  # fmt: skip
        headers = {names[name]: value for name, value in fields.items()}
        self._service.send(
            "PUT", self._path, self.label, query={"comp": "lease"}, headers=headers, only_within=only_within
        )


def blob_info(name: str, properties: BlobProperties) -> BlobInfo:
    """The port's value of it."""
    return BlobInfo(name, properties.stored_bytes, properties.last_modified, properties.etag)


def parse_properties(answer: StorageAnswer, stored_bytes: int, message: str) -> BlobProperties:
    """The properties that an answer carries. Raises `Unavailable` if they are not there."""
    try:
        etag, changed = answer.headers["etag"], parsedate_to_datetime(answer.headers["last-modified"])
    except (KeyError, ValueError) as error:
        # Something between us and the service answers in its stead.
        raise _unusable(message) from error
    metadata = {
        name.removeprefix(_META): value for name, value in answer.headers.items() if name.startswith(_META)
    }
    return BlobProperties(_quote(etag), changed, stored_bytes, metadata)


def parse_listing(body: bytes, message: str) -> ListedPage:
    """A page of List Blobs. Raises `Unavailable` for what is none.

    https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body
    """
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - of the service that is trusted with the blobs
        # An answer of something else, such as a proxy's page, must not look like an empty container.
        if root.tag != "EnumerationResults" or root.find("Blobs") is None:
            raise ValueError(root.tag)
        blobs = [_parse_listed(element) for element in root.iterfind("Blobs/Blob")]
    except (ElementTree.ParseError, ValueError) as error:
        raise _unusable(message) from error
    return ListedPage(blobs, root.findtext("NextMarker") or "")


def _parse_listed(blob: Element) -> BlobInfo:
    name = blob.find("Name")
    written = (name.text if name is not None else "") or ""
    if name is not None and name.get("Encoded") == "true":
        written = unquote(written)  # it has characters that XML cannot hold
    if not written:
        raise ValueError("a blob without a name")
    size, changed, etag = (
        blob.findtext(f"Properties/{field}") or "" for field in ("Content-Length", "Last-Modified", "Etag")
    )
    if not etag:
        raise ValueError("a blob without a version")
    return BlobInfo(written, int(size), parsedate_to_datetime(changed), _quote(etag))


def _unusable(message: str) -> Unavailable:
    return Unavailable(
        f"cannot reach {message}", value="no answer of Blob Storage", hint="Is there a proxy in between?"
    )


def _quote(etag: str) -> str:
    """Listings give etags without quotes, headers with them, and ours have them."""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def _encode_id(block_id: str) -> str:
    return base64.b64encode(block_id.encode()).decode()


def _metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"{_META}{name}": value for name, value in metadata.items()}


def _condition(etag: str | None) -> dict[str, str]:
    return {"if-match": etag} if etag else {}
