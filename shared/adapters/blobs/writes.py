"""Recognizes our own write after its response was lost.

A request whose response is lost is sent again, and a conditional write then finds what it wrote itself: the
second response says "it exists". So every write carries an id of its own in the blob's metadata.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.azure.sdk import translate_sdk_errors
from shared.kernel.ports import BlobInfo

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

_KEY = "groundcrew_write"


def new_write_id() -> dict[str, str]:
    """Metadata with an id that no other write has."""
    return {_KEY: uuid.uuid4().hex}


def find_own_write(blob: BlobClient, message: str, write_id: dict[str, str]) -> BlobInfo | None:
    """The blob if it carries this id, None if another write made it. Raises `NotFound`, `Unavailable`."""
    with translate_sdk_errors(message):
        properties = blob.get_blob_properties()
    # By an id and not by the content: two workers may write the same bytes, and only one of them may go on.
    if (properties.metadata or {}).get(_KEY) != write_id[_KEY]:
        return None
    return blob_info(str(blob.blob_name), properties.size, properties.etag, properties.last_modified)


def blob_info(name: str, stored_bytes: int, etag: str, last_modified: datetime) -> BlobInfo:
    """A `BlobInfo`; listings give etags without quotes, headers with them, and ours have them."""
    return BlobInfo(name, stored_bytes, last_modified, etag if etag.startswith(('"', "W/")) else f'"{etag}"')


def blob_info_of_response(name: str, stored_bytes: int, answer: dict[str, Any]) -> BlobInfo:
    """A `BlobInfo` from the headers that answer a write."""
    return blob_info(name, stored_bytes, answer["etag"], answer["last_modified"])
