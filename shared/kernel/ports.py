"""One Protocol for each outside system, in our words. Adapters and fakes pass the same contract suites.

No SDK type crosses these lines, and every SDK exception is turned into one of `shared.kernel.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where jobs get the time from; decisions get it as an argument."""

    def now(self) -> datetime:
        """The current time as an aware datetime in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A committed blob as a listing shows it."""

    name: str
    stored_bytes: int
    last_modified: datetime
    etag: str


class BlobUpload(Protocol):
    """A blob being written block by block; nothing is visible before `commit`."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; the data is copied or sent on return. Raises the failure of an earlier block."""
        ...

    def commit(self) -> BlobInfo:
        """Make the blob visible, only if no blob of that name exists (`AlreadyExists`)."""
        ...

    def abort(self) -> None:
        """Discard what was written. Safe after a failure, and after `commit`, when it does nothing."""
        ...


class Blobs(Protocol):
    """One container of a blob store. Names are paths with slashes, as `check_blob_name` takes them."""

    def create(self, name: str, data: bytes) -> BlobInfo:
        """Write once: raises `AlreadyExists` if there is a blob of that name, whatever its content."""
        ...

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:
        """Write over the version `etag`, or over any if None. Raises `Conflict`; `Locked` if leased."""
        ...

    def read(self, name: str) -> tuple[bytes, str]:
        """The whole content and its etag, for small blobs. Raises `NotFound`."""
        ...

    def stream(self, name: str, *, etag: str | None = None, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
        """The content in order, in constant memory, resumed after a lost connection.

        Raises `NotFound`, or `Conflict` if the blob is not the version `etag`, or becomes another than the
        first chunk came from; all of it while iterating.
        """
        ...

    def upload(self, name: str) -> BlobUpload:
        """Begin a blob of unknown size, to be created only if absent at commit."""
        ...

    def probe_write(self, name: str) -> None:
        """Try whether blobs may be written, without making one: no listing shows it, no read finds it.

        Raises what a write would raise: `Refused`, `Unavailable`.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Committed blobs in the order of their names (UTF-8 bytes), page by page."""
        ...

    def delete(self, name: str) -> None:
        """Remove the blob; a blob that is not there is fine. Raises `Locked` if it is leased."""
        ...

    # A lease and not a lock in a database: the storage is there before anything else is.
    def lease(self, name: str, *, duration: timedelta) -> AbstractContextManager[Lease]:
        """Hold a finite lease (15–60 s, renewed while held) on the blob, which is created if absent.

        Raises `Locked` if another holder has it. The lease of a holder that died ends after `duration`.
        """
        ...


class Lease(Protocol):
    """Exclusive access, as long as `check` does not raise."""

    def check(self) -> None:
        """Raises `Locked` if the lease was lost; call before each step that must not be done twice."""
        ...


class Queues(Protocol):
    """The queues of the storage account."""

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:
        """Append a message (at most 48 KiB of text), visible after `delay`; creates the queue if absent.

        It may arrive twice. Raises `UsageError` for an empty or too long body.
        """
        ...

    def probe_send(self, queue: str) -> bool:
        """Try the right to send: a message that nobody gets to see, taken back at once.

        False if there is no such queue yet. Raises `Refused`, `Unavailable`.
        """
        ...

    def length(self, queue: str) -> int:
        """The approximate number of messages, visible or not; 0 if there is no such queue."""
        ...


class Reporter(Protocol):
    """Receives the progress of a long job: a progress bar, a log, a list in a test."""

    def phase(self, name: str, total: int) -> None:
        """A new phase begins; `total` is in the unit of `advance`, usually bytes."""
        ...

    def advance(self, amount: int) -> None:
        """Add `amount` to what is done in this phase."""
        ...

    def note(self, text: str) -> None:
        """Show one line of text."""
        ...
