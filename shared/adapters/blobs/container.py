"""One container of Azure Blob Storage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.adapters.blobs.download import Download
from shared.adapters.blobs.lease import HeldLease
from shared.adapters.blobs.tuning import Tuning
from shared.adapters.blobs.upload import BlockUpload
from shared.adapters.blobs.writes import blob_info, blob_info_of_response, find_own_write, new_write_id
from shared.azure.sdk import translate_sdk_errors
from shared.kernel.errors import AlreadyExists, Conflict, NotFound
from shared.kernel.ports import BlobInfo, BlobUpload, Lease
from shared.kernel.storage_limits import check_blob_name

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient


class AzureBlobs:
    """`Blobs` over the SDK's container client."""

    def __init__(self, container: ContainerClient, tuning: Tuning) -> None:
        self._container, self._tuning = container, tuning

    def create(self, name: str, data: bytes) -> BlobInfo:
        """Write once: raises `AlreadyExists` if there is a blob of that name, whatever its content."""
        blob, message, write_id = self._blob(name), self._blob_label(name), new_write_id()
        try:
            with translate_sdk_errors(message):
                answer = blob.upload_blob(bytes(data), overwrite=False, metadata=dict(write_id))
        except AlreadyExists:
            try:
                own = find_own_write(blob, message, write_id)
            except NotFound:
                # Only uncommitted blocks of an upload that died: a commit gets past them.
                return self._create_by_blocks(name, data)
            if own is None:
                raise
            return own
        return blob_info_of_response(name, len(data), answer)

    def _create_by_blocks(self, name: str, data: bytes) -> BlobInfo:
        upload = self.upload(name)
        upload.write(data)
        return upload.commit()

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:
        """Write over the version `etag`, or unconditionally if None. Raises `Conflict`, `Locked`."""
        from azure.core import MatchConditions

        blob, message, write_id = self._blob(name), self._blob_label(name), new_write_id()
        condition: dict[str, Any] = (
            {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        )
        try:
            with translate_sdk_errors(message):
                answer = blob.upload_blob(bytes(data), overwrite=True, metadata=dict(write_id), **condition)
        except Conflict as conflict:
            try:
                own = find_own_write(blob, message, write_id)
            except NotFound:
                raise conflict from None
            if own is None:
                raise
            return own
        return blob_info_of_response(name, len(data), answer)

    def read(self, name: str) -> tuple[bytes, str]:
        """The whole content and its etag, for small blobs. Raises `NotFound`."""
        with translate_sdk_errors(self._blob_label(name)):
            answer = self._blob(name).download_blob()
            # The etag of this very answer, and not of a second request: in between somebody may write.
            return answer.readall(), str(answer.properties.etag)

    def stream(self, name: str, *, etag: str | None = None, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
        """The content in order, in constant memory, resumed after a lost connection.

        Raises `NotFound`, or `Conflict` if it is not the version `etag` or changes meanwhile.
        """
        download = Download(self._blob(name), self._blob_label(name), etag, chunk_bytes, self._tuning.rounds)
        return download.chunks(read_ahead=self._tuning.read_ahead)

    def upload(self, name: str) -> BlobUpload:
        """Begin a blob of unknown size, to be created only if absent at commit."""
        return BlockUpload(
            self._blob(name),
            self._blob_label(name),
            block_bytes=self._tuning.block_bytes,
            in_flight=self._tuning.blocks_in_flight,
        )

    def probe_write(self, name: str) -> None:
        """See `Blobs.probe_write`: a block that is never committed, which Azure forgets within a week."""
        with translate_sdk_errors(self._blob_label(name)):
            # As long as an upload's ids: all of a blob must be.
            self._blob(name).stage_block(f"{secrets.token_hex(8)}-00000", b"probe", length=5)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Committed blobs in the order of their names (UTF-8 bytes), page by page."""
        message = f"container {self._container.container_name}"
        items = iter(
            self._container.list_blobs(
                name_starts_with=prefix or None, results_per_page=self._tuning.list_page
            )
        )
        # By hand and not by `for`: each page is a request that may fail, and is translated by itself.
        while True:
            with translate_sdk_errors(message):
                blob = next(items, None)
            if blob is None:
                return
            yield blob_info(blob.name, blob.size, blob.etag, blob.last_modified)

    def delete(self, name: str) -> None:
        """Remove the blob; a blob that is not there is fine. Raises `Locked` if it is leased."""
        try:
            with translate_sdk_errors(self._blob_label(name)):
                self._blob(name).delete_blob()
        except NotFound as error:
            # A container that is missing is a wrong setting, and not a blob that was removed already.
            if error.value == "ContainerNotFound":
                raise

    def lease(self, name: str, *, duration: timedelta) -> AbstractContextManager[Lease]:
        """Hold a finite lease (15–60 s, renewed while held) on the blob, which is made if absent.

        Raises `Locked` if somebody else holds it. A holder that dies loses it when `duration` is over.
        """
        return HeldLease(
            self._blob(name), self._blob_label(name), duration, renewals=self._tuning.renewals_per_lease
        )

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(check_blob_name(name))

    def _blob_label(self, name: str) -> str:
        return f"blob {self._container.container_name}/{name}"
