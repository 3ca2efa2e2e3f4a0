"""All that a running app has written into its storage, to be searched for what must not be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from shared.kernel.errors import NotFound
from shared.kernel.ports import Blobs


def read_stored_texts(blobs: Blobs) -> Iterator[str]:
    """The content of each blob that is still there when it is read."""
    for blob in blobs.list():
        # The app goes on working: a hold that was listed may be released before it is read.
        with suppress(NotFound):
            yield blobs.read(blob.name)[0].decode(errors="replace")
