"""One container of Azure Blob Storage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta

from shared.adapters.blobs.download import Download
from shared.adapters.blobs.lease import HeldLease
from shared.adapters.blobs.requests import BlobRequests, ContainerRequests, blob_info
from shared.adapters.blobs.tuning import Tuning
from shared.adapters.blobs.upload import BlockUpload
from shared.adapters.blobs.writes import find_own_write, new_write_id
from shared.kernel.errors import AlreadyExists, Conflict, NotFound
from shared.kernel.ports import BlobInfo, BlobUpload, Lease
from shared.kernel.storage_limits import check_blob_name


class AzureBlobs:
    """`Blobs` over the requests on a container."""

    def __init__(self, container: ContainerRequests, tuning: Tuning) -> None:
        self._container, self._tuning = container, tuning

    def create(self, name: str, data: bytes) -> BlobInfo:
        """Write once: raises `AlreadyExists` if there is a blob of that name, whatever its content."""
        blob, write_id = self._blob(name), new_write_id()
        try:
            return blob_info(name, blob.put(data, metadata=write_id, only_if_absent=True))
        except AlreadyExists:
            try:
                own = find_own_write(blob, write_id)
            except NotFound:
                # Only uncommitted blocks of an upload that died: a commit gets past them.
                return self._create_by_blocks(name, data)
            if own is None:
                raise
            return own

    def _create_by_blocks(self, name: str, data: bytes) -> BlobInfo:
        upload = self.upload(name)
        upload.write(data)
        return upload.commit()

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:
        """Write over the version `etag`, or unconditionally if None. Raises `Conflict`, `Locked`."""
        blob, write_id = self._blob(name), new_write_id()
        try:
            return blob_info(name, blob.put(data, metadata=write_id, etag=etag))
        except Conflict as conflict:
            try:
                own = find_own_write(blob, write_id)
            except NotFound:
                raise conflict from None
            if own is None:
                raise
            return own

    def read(self, name: str) -> tuple[bytes, str]:
        """The whole content and its etag, for small blobs. Raises `NotFound`."""
        # The etag of this very answer, and not of a second request: in between somebody may write.
        data, properties = self._blob(name).get()
        return data, properties.etag

    def stream(self, name: str, *, etag: str | None = None, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
        """The content in order, in constant memory, resumed after a lost connection.

        Raises `NotFound`, or `Conflict` if it is not the version `etag` or changes meanwhile.
        """
        download = Download(self._blob(name), etag, chunk_bytes, self._tuning.rounds)
        return download.chunks(read_ahead=self._tuning.read_ahead)

    def upload(self, name: str) -> BlobUpload:
        """Begin a blob of unknown size, to be created only if absent at commit."""
        return BlockUpload(
            self._blob(name),
            block_bytes=self._tuning.block_bytes,
            in_flight=self._tuning.blocks_in_flight,
        )

    def probe_write(self, name: str) -> None:
        """See `Blobs.probe_write`: a block that is never committed, which Azure forgets within a week."""
        # As long as an upload's ids: all of a blob must be.
        self._blob(name).put_block(f"{secrets.token_hex(8)}-00000", b"probe")

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Committed blobs in the order of their names (UTF-8 bytes), page by page."""
        marker = ""
        while True:
            page = self._container.list_page(prefix, marker, self._tuning.list_page)
            yield from page.blobs
            marker = page.marker
            if not marker:
                return

    def delete(self, name: str) -> None:
        """Remove the blob; a blob that is not there is fine. Raises `Locked` if it is leased."""
        try:
            self._blob(name).delete()
        except NotFound as error:
            # A container that is missing is a wrong setting, and not a blob that was removed already.
            if error.value == "ContainerNotFound":
                raise

    def lease(self, name: str, *, duration: timedelta) -> AbstractContextManager[Lease]:
        """Hold a finite lease (15–60 s, renewed while held) on the blob, which is made if absent.

        Raises `Locked` if somebody else holds it. A holder that dies loses it when `duration` is over.
        """
        return HeldLease(self._blob(name), duration, renewals=self._tuning.renewals_per_lease)

    def _blob(self, name: str) -> BlobRequests:
        return self._container.blob(check_blob_name(name))
