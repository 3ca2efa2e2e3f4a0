"""Recognizes our own write after its response was lost.

A request whose response is lost is sent again, and a conditional write then finds what it wrote itself: the
second response says "it exists". So every write carries an id of its own in the blob's metadata.
"""

from __future__ import annotations

import uuid

from shared.adapters.blobs.requests import BlobRequests, blob_info
from shared.kernel.ports import BlobInfo

_KEY = "groundcrew_write"


def new_write_id() -> dict[str, str]:
    """Metadata with an id that no other write has."""
    return {_KEY: uuid.uuid4().hex}


def find_own_write(blob: BlobRequests, write_id: dict[str, str]) -> BlobInfo | None:
    """The blob if it carries this id, None if another write made it. Raises `NotFound`, `Unavailable`."""
    properties = blob.head()
    # By an id and not by the content: two workers may write the same bytes, and only one of them may go on.
    if properties.metadata.get(_KEY) != write_id[_KEY]:
        return None
    return blob_info(blob.name, properties)
