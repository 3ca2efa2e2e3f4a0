"""Streams a blob in ranges of one version, each asked for again after a lost connection."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from shared.adapters.blobs.requests import BlobRequests
from shared.kernel.errors import Conflict, NotFound, Unavailable, UsageError


class Download:
    """One pass over one version of a blob: the one asked for, else the one that the first answer had."""

    def __init__(self, blob: BlobRequests, etag: str | None, chunk_bytes: int, rounds: int) -> None:
        # Zero would ask for the same range for ever.
        if chunk_bytes < 1:
            raise UsageError("a chunk holds at least a byte", value=chunk_bytes)
        self._blob, self._etag = blob, etag
        self._chunk_bytes, self._rounds = chunk_bytes, rounds
        self._total_bytes = 0

    def chunks(self, *, read_ahead: bool) -> Iterator[bytes]:
        """The content in order. Raises `NotFound`, `Conflict`, `Unavailable`, when that chunk is due."""
        data = self._read_chunk(0)
        # The whole blob came with the first answer, which is one request for most of them.
        if len(data) == self._total_bytes:
            if data:
                yield data
            return
        yield from self._read_ahead(data) if read_ahead else self._in_turn(data)

    def _in_turn(self, data: bytes) -> Iterator[bytes]:
        position = len(data)
        yield data
        while position < self._total_bytes:
            data = self._read_chunk(position)
            position += len(data)
            yield data

    def _read_ahead(self, data: bytes) -> Iterator[bytes]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        try:
            position = len(data)
            while position < self._total_bytes:
                # While the consumer works on this chunk; one ahead, so that memory holds two.
                following = pool.submit(self._read_chunk, position)
                yield data
                data = following.result()
                position += len(data)
            yield data
        finally:
            # A consumer that stops early does not wait for the chunk under way.
            pool.shutdown(wait=False, cancel_futures=True)

    def _read_chunk(self, position: int) -> bytes:
        """The bytes from `position` on, a chunk of them or what there is; asked for up to `rounds` times."""
        for _ in range(self._rounds - 1):
            try:
                return self._fetch(position)
            except Unavailable:
                # The request's own retries have paused and given up; what came before is kept.
                continue
        return self._fetch(position)

    def _fetch(self, position: int) -> bytes:
        try:
            data, properties = self._blob.get(first=position, length=self._chunk_bytes, etag=self._etag)
        except Conflict as error:
            if position == 0 and error.value == "InvalidRange":
                return self._fetch_empty()
            raise
        except NotFound as error:
            if self._etag is None or error.value == "ContainerNotFound":
                raise
            raise self._changed_error("it is gone") from error
        # All later chunks are asked for by this version: a blob that changes midway is a conflict, and no
        # mixture.
        self._etag, self._total_bytes = properties.etag, properties.stored_bytes
        # A proxy that cuts an answer off looks like the end of the blob.
        if len(data) != min(self._chunk_bytes, self._total_bytes - position):
            raise Unavailable(f"{self._blob.label} came short", value=f"{len(data)} bytes from {position}")
        return data

    def _fetch_empty(self) -> bytes:
        """Ask anew without a range, which an empty blob cannot satisfy, to learn whether it is one."""
        data, _ = self._blob.get(etag=self._etag)
        if data:
            raise self._changed_error("it was empty")
        return b""

    def _changed_error(self, value: str) -> Conflict:
        return Conflict(f"{self._blob.label} has changed", value=value, hint="Read it again and decide anew.")
