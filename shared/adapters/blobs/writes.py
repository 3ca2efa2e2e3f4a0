"""Tells our own write from somebody else's when an answer was lost.

A request whose answer is lost is sent again, and a conditional write then finds what it wrote itself: the
second answer says "it exists". Every write carries an id of its own in the blob's metadata, which settles it.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.azure.sdk import translated
from shared.kernel.ports import BlobInfo

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

_KEY = "groundcrew_write"


def new_mark() -> dict[str, str]:
    """Metadata that no other write has."""
    return {_KEY: uuid.uuid4().hex}


def found_own(blob: BlobClient, message: str, mark: dict[str, str]) -> BlobInfo | None:
    """The blob as it is if it has this mark, None if it is another's. Raises `NotFound`, `Unavailable`."""
    with translated(message):
        properties = blob.get_blob_properties()
    if (properties.metadata or {}).get(_KEY) != mark[_KEY]:
        return None
    return info(str(blob.blob_name), properties.size, properties.etag, properties.last_modified)


def info(name: str, stored_bytes: int, etag: str, last_modified: datetime) -> BlobInfo:
    """A `BlobInfo`; listings give etags without their quotes, headers with them, and we keep them."""
    return BlobInfo(name, stored_bytes, last_modified, etag if etag.startswith(('"', "W/")) else f'"{etag}"')


def info_of_answer(name: str, stored_bytes: int, answer: dict[str, Any]) -> BlobInfo:
    """A `BlobInfo` from the headers that answer a write."""
    return info(name, stored_bytes, answer["etag"], answer["last_modified"])
