"""One container of a blob store, in memory, by the rules of Azure Blob Storage."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from local.fakes.clock import ManualClock
from shared.kernel.errors import AlreadyExists, Conflict, Locked, NotFound, UsageError
from shared.kernel.ports import BlobInfo, BlobUpload, Clock, Lease
from shared.kernel.storage_limits import check_blob_name, lease_seconds


@dataclass(slots=True)
class _LeaseState:
    """Who has a lease; `until` is None while the holder lives and renews it."""

    holder: str
    duration: timedelta
    until: datetime | None = None


class MemoryBlobs:
    """`Blobs` for tests, safe for threads. Leases end by `clock`; a holder lives until `holders_died`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._lock = threading.RLock()
        self._stored: dict[str, tuple[bytes, BlobInfo]] = {}
        self._leases: dict[str, _LeaseState] = {}
        self._versions = 0

    def create(self, name: str, data: bytes) -> BlobInfo:
        """Write once: raises `AlreadyExists` if there is a blob of that name, whatever its content."""
        with self._lock:
            if check_blob_name(name) in self._stored:
                raise AlreadyExists(f"there is already blob {name}")
            return self._put(name, data)

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:
        """Write over the version `etag`, or unconditionally if None. Raises `Conflict`, `Locked`."""
        with self._lock:
            entry = self._stored.get(check_blob_name(name))
            # If-Match on a blob that is gone fails as on one that has changed.
            if etag and (entry is None or entry[1].etag != etag):
                raise Conflict(f"blob {name} has changed", hint="Read it again and decide anew.")
            self._refuse_if_leased(name)
            return self._put(name, data)

    def read(self, name: str) -> tuple[bytes, str]:
        """The whole content and its etag. Raises `NotFound`."""
        data, info = self._get(name)
        return data, info.etag

    def stream(self, name: str, *, etag: str | None = None, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
        """The content in order. Raises `NotFound`, or `Conflict` if it is not, or no longer, one version."""
        if chunk_bytes < 1:
            raise UsageError("a chunk holds at least a byte", value=chunk_bytes)
        check_blob_name(name)
        return self._read_chunks(name, etag, chunk_bytes)

    def _read_chunks(self, name: str, etag: str | None, chunk_bytes: int) -> Iterator[bytes]:
        # An empty blob is asked for as well: one that is missing has to raise.
        position, total = 0, 1
        while position < total:
            try:
                data, info = self._get(name)
            except NotFound:
                if etag is None:
                    raise
                raise Conflict(f"blob {name} has changed", value="it is gone") from None
            if etag is not None and info.etag != etag:
                raise Conflict(f"blob {name} has changed", hint="Read it again and decide anew.")
            etag, total = info.etag, len(data)
            if data:
                yield data[position : position + chunk_bytes]
            position += chunk_bytes

    def upload(self, name: str) -> BlobUpload:
        """Begin a blob of unknown size, to be created only if absent at commit."""
        return _MemoryUpload(self, check_blob_name(name))

    def probe_write(self, name: str) -> None:
        """See `Blobs.probe_write`."""
        check_blob_name(name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Committed blobs in the order of their names (UTF-8 bytes), as they were when it began."""
        with self._lock:
            entry = sorted(name for name in self._stored if name.startswith(prefix))
            infos = [self._stored[name][1] for name in entry]
        yield from infos

    def delete(self, name: str) -> None:
        """Remove the blob; a blob that is not there is fine. Raises `Locked` if it is leased."""
        with self._lock:
            if check_blob_name(name) in self._stored:
                self._refuse_if_leased(name)
                del self._stored[name]

    def lease(self, name: str, *, duration: timedelta) -> AbstractContextManager[Lease]:
        """Hold a finite lease (15–60 s) on the blob, which is made if absent. Raises `Locked`."""
        lease_seconds(duration)
        return _MemoryLease(self, check_blob_name(name), duration)

    def holders_died(self) -> None:
        """All that hold leases now have died: nobody renews, so each lease ends after its duration."""
        with self._lock:
            for lease in self._leases.values():
                lease.until = self._clock.now() + lease.duration

    def break_lease(self, name: str) -> None:
        """Take the lease away from whoever holds it, as an operator can."""
        with self._lock:
            self._leases.pop(name, None)

    def _get(self, name: str) -> tuple[bytes, BlobInfo]:
        with self._lock:
            entry = self._stored.get(check_blob_name(name))
        if entry is None:
            raise NotFound(f"there is no blob {name}")
        return entry

    def _put(self, name: str, data: bytes | bytearray) -> BlobInfo:
        self._versions += 1
        # Azure tells whole seconds.
        now = self._clock.now().replace(microsecond=0)
        # The quotes are part of an etag, and come back in If-Match as they are.
        info = BlobInfo(name, len(data), now, f'"0x{self._versions:X}"')
        self._stored[name] = (bytes(data), info)
        return info

    def _refuse_if_leased(self, name: str) -> None:
        if self._find_holder(name) is not None:
            raise Locked(f"blob {name} is leased", hint="Another process holds it; try again later.")

    def _find_holder(self, name: str) -> str | None:
        lease = self._leases.get(name)
        if lease is None or (lease.until is not None and self._clock.now() >= lease.until):
            return None
        return lease.holder

    def _acquire_lease(self, name: str, duration: timedelta) -> str:
        with self._lock:
            # Azure leases blobs only, and no names: the lock is an empty one.
            if name not in self._stored:
                self._put(name, b"")
            self._refuse_if_leased(name)
            self._leases[name] = _LeaseState(uuid.uuid4().hex, duration)
            return self._leases[name].holder

    def _release_lease(self, name: str, holder: str) -> None:
        with self._lock:
            if self._find_holder(name) == holder:
                del self._leases[name]

    def _is_held_by(self, name: str, holder: str) -> bool:
        with self._lock:
            return self._find_holder(name) == holder


class _MemoryUpload:
    def __init__(self, blobs: MemoryBlobs, name: str) -> None:
        self._blobs, self._name = blobs, name
        self._data = bytearray()
        self._ended = ""

    def write(self, data: bytes | memoryview) -> None:
        self._check_open()
        self._data += memoryview(data).cast("B")

    def commit(self) -> BlobInfo:
        self._check_open()
        self._ended = "committed"
        return self._blobs.create(self._name, bytes(self._data))

    def abort(self) -> None:
        self._ended = self._ended or "aborted"
        self._data.clear()

    def _check_open(self) -> None:
        if self._ended:
            raise UsageError(f"the upload of blob {self._name} is over", value=self._ended)


class _MemoryLease:
    def __init__(self, blobs: MemoryBlobs, name: str, duration: timedelta) -> None:
        self._blobs, self._name, self._duration = blobs, name, duration
        self._holder = ""

    def __enter__(self) -> _MemoryLease:
        self._holder = self._blobs._acquire_lease(self._name, self._duration)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blobs._release_lease(self._name, self._holder)

    def check(self) -> None:
        if not self._blobs._is_held_by(self._name, self._holder):
            raise Locked(
                f"the lease on blob {self._name} is lost",
                hint="The work stops here; the next run continues it.",
            )
