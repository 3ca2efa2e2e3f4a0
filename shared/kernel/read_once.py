"""A view of a container in which everything is asked for once: for answers that look at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from shared.kernel.errors import NotFound, Refused
from shared.kernel.ports import BlobInfo, Blobs, BlobUpload, Lease


class ReadOnceBlobs:
    """Remembers what was listed and read, for as long as it lives. Writes are refused.

    It serves one request: several readers then share one listing, and see the same moment. `calls` counts
    what the storage was asked for.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._listings: dict[str, Sequence[BlobInfo]] = {}
        self._contents: dict[str, tuple[bytes, str] | NotFound] = {}
        self.calls = 0

    def read(self, name: str) -> tuple[bytes, str]:
        """The whole content and its etag. Raises `NotFound`, also from the listing alone."""
        known = self._contents.get(name)
        if known is None:
            known = self._contents[name] = self._fetch(name)
        # A new one each time: raising the same object again would lengthen its traceback.
        if isinstance(known, NotFound):
            raise NotFound(known.message, value=known.value)
        return known

    def stream(self, name: str, *, etag: str | None = None, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
        """The content in order; only small blobs are read here, so it comes whole."""
        if etag is not None:
            yield from self._blobs.stream(name, etag=etag, chunk_bytes=chunk_bytes)
            return
        yield self.read(name)[0]

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Committed blobs in the order of their names, from a listing that has them if there was one."""
        covering = self._find_listing(prefix)
        if covering is None:
            self.calls += 1
            covering = self._listings[prefix] = [*self._blobs.list(prefix)]
        return (blob for blob in covering if blob.name.startswith(prefix))

    def _find_listing(self, prefix: str) -> Sequence[BlobInfo] | None:
        return next((listing for known, listing in self._listings.items() if prefix.startswith(known)), None)

    def _fetch(self, name: str) -> tuple[bytes, str] | NotFound:
        listing = self._find_listing(name)
        if listing is not None and not any(blob.name == name for blob in listing):
            return NotFound("there is no such blob", value=name)
        self.calls += 1
        try:
            return self._blobs.read(name)
        except NotFound as error:
            return error

    def create(self, name: str, data: bytes) -> BlobInfo:  # noqa: ARG002 - the port's
        """Refused."""
        raise _refusal(name)

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:  # noqa: ARG002
        """Refused."""
        raise _refusal(name)

    def upload(self, name: str) -> BlobUpload:
        """Refused."""
        raise _refusal(name)

    def probe_write(self, name: str) -> None:
        """Refused."""
        raise _refusal(name)

    def delete(self, name: str) -> None:
        """Refused."""
        raise _refusal(name)

    def lease(self, name: str, *, duration: timedelta) -> AbstractContextManager[Lease]:  # noqa: ARG002
        """Refused."""
        raise _refusal(name)


def _refusal(name: str) -> Refused:
    return Refused("a view for reading is not written to", value=name)
