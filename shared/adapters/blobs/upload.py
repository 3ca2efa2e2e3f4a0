"""Uploads a blob of unknown size as staged blocks, a few at a time, in bounded memory."""

from __future__ import annotations

import io
import secrets
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from shared.adapters.blobs.requests import BlobRequests, blob_info
from shared.adapters.blobs.writes import find_own_write, new_write_id
from shared.kernel.errors import AlreadyExists, GroundcrewError, NotFound, Unavailable, UsageError
from shared.kernel.ports import BlobInfo

# https://learn.microsoft.com/rest/api/storageservices/put-block: at most 50,000 committed blocks.
MAX_BLOCKS = 50_000
_BLOCKS_PER_SIZE = 10_000


def block_size(index: int, first_bytes: int) -> int:
    """The size of block `index`: twice as large after every 10,000, so that 4 MiB at first allow 1.2 TiB."""
    return first_bytes << (index // _BLOCKS_PER_SIZE)


class BlockUpload:
    """`BlobUpload` over staged blocks, committed under If-None-Match.

    Azure forgets blocks that are never committed within a week, or when another upload of the name commits.
    """

    def __init__(self, blob: BlobRequests, *, block_bytes: int, in_flight: int) -> None:
        self._blob = blob
        self._block_bytes, self._in_flight = block_bytes, in_flight
        self._token = secrets.token_hex(8)  # keeps apart the blocks of two uploads of one name
        self._buffer = io.BytesIO()
        self._ids: list[str] = []
        self._written = 0
        self._pool: ThreadPoolExecutor | None = None
        self._staging: deque[Future[None]] = deque()
        self._failure: GroundcrewError | None = None
        self._ended = ""

    def write(self, data: bytes | memoryview) -> None:
        """Append; what is not sent yet is copied. Raises the failure of an earlier block, if any."""
        self._check_open()
        view = memoryview(data).cast("B")
        while view:
            # Blocks are cut by the blob's own measure and not by the writes, so that their number is bounded.
            free = block_size(len(self._ids), self._block_bytes) - self._buffer.tell()
            self._buffer.write(view[:free])
            self._written += min(free, len(view))
            view = view[free:]
            if self._buffer.tell() == block_size(len(self._ids), self._block_bytes):
                self._send_block()

    def commit(self) -> BlobInfo:
        """Make the blob visible, only if no blob of that name exists (`AlreadyExists`)."""
        self._check_open()
        if self._buffer.tell():
            self._send_block()
        # A block that failed must be known before the list names it.
        while self._staging:
            self._await_oldest()
        write_id = new_write_id()
        try:
            committed = self._commit(write_id)
        except GroundcrewError as error:
            self._fail_upload(error)
            raise
        self._end_upload("committed")
        return committed

    def abort(self) -> None:
        """Forget what was written. Safe after a failure, and after `commit`, when it does nothing."""
        if not self._ended:
            self._end_upload("aborted")

    def _commit(self, write_id: dict[str, str]) -> BlobInfo:
        try:
            committed = self._blob.put_block_list(self._ids, self._written, metadata=write_id)
        except AlreadyExists as error:
            return self._resolve_conflict(error, write_id)
        except UsageError as error:
            # Another upload of this name was committed, and the service forgot our blocks.
            if error.value != "InvalidBlockList":
                raise
            return self._resolve_conflict(error, write_id)
        return blob_info(self._blob.name, committed)

    def _resolve_conflict(self, error: GroundcrewError, write_id: dict[str, str]) -> BlobInfo:
        try:
            own = find_own_write(self._blob, write_id)
        except NotFound:
            raise Unavailable(
                f"the blocks of {self._blob.label} are gone", value=error.value, hint="Upload it anew."
            ) from error
        if own is not None:
            return own
        raise AlreadyExists(f"there is already {self._blob.label}") from error

    def _send_block(self) -> None:
        if len(self._ids) == MAX_BLOCKS:
            raise UsageError(
                f"{self._blob.label} is too large",
                value=f"{self._written} bytes",
                hint="Split it into more parts.",
            )
        # So many blocks are in memory at most, however fast the writer is.
        while len(self._staging) >= self._in_flight:
            self._await_oldest()
        # getvalue() hands over the buffer's own bytes; all ids have one length, as Azure wants it.
        body, self._buffer = self._buffer.getvalue(), io.BytesIO()
        block_id = f"{self._token}-{len(self._ids):05d}"
        self._ids.append(block_id)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="stage-block")
        self._staging.append(self._pool.submit(self._blob.put_block, block_id, body))

    def _await_oldest(self) -> None:
        try:
            self._staging.popleft().result()
        except GroundcrewError as error:
            self._fail_upload(error)
            raise

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise UsageError(f"the upload of {self._blob.label} is over", value=self._ended)

    def _fail_upload(self, error: GroundcrewError) -> None:
        # Raised again by every later call: a writer that overlooked it cannot commit a blob with a hole.
        self._failure = error
        self._end_upload("failed")

    def _end_upload(self, how: str) -> None:
        self._ended = how
        self._buffer = io.BytesIO()
        if self._pool is not None:
            # Requests under way end by their own time limits; nothing of them is ever committed.
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._staging.clear()
