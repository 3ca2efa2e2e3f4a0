"""Where timers keep their schedule status, and the lease by which one host of several runs a timer.

Laid out as the real host does: in the container `azure-webjobs-hosts`, for each timer a JSON blob of Last,
Next and LastUpdated, and an empty blob to lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient

from shared.kernel.errors import Locked, Unavailable

log = logging.getLogger("host")

CONTAINER = "azure-webjobs-hosts"
# .NET's DateTime.MinValue, which the real host writes.
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """When a timer last fired (`NEVER` if it has not) and when it is to fire next, in UTC."""

    last: datetime
    next: datetime
    updated: datetime

    def to_json(self) -> dict[str, str]:
        """As the platform writes it, and as a function sees it."""
        return {
            "Last": self.last.isoformat(),
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> ScheduleStatus:
        """Raises ValueError for anything else than what `to_json` gives."""
        fields = json.loads(text)
        try:
            timestamps = [datetime.fromisoformat(fields[name]) for name in ("Last", "Next", "LastUpdated")]
        except (KeyError, TypeError) as error:
            raise ValueError(f"no schedule status: {error}") from error
        return cls(*(timestamp.replace(tzinfo=timestamp.tzinfo or UTC) for timestamp in timestamps))


class TimerStore(Protocol):
    """What a timer needs to remember; names are those of functions."""

    async def load(self, function: str) -> ScheduleStatus | None:
        """What was saved last. Raises `Unavailable`."""
        ...

    async def save(self, function: str, status: ScheduleStatus) -> None:
        """Keep the status. Raises `Unavailable`."""
        ...

    def hold(self, function: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Be the only one that runs the timer, until the event is set (the lease was lost) or the block ends.

        Raises `Locked` if somebody else does, `Unavailable`.
        """
        ...


class MemoryTimerStore:
    """Forgets with the process; for tests."""

    def __init__(self) -> None:
        self._statuses: dict[str, ScheduleStatus] = {}
        self.held: dict[str, asyncio.Event] = {}

    async def load(self, function: str) -> ScheduleStatus | None:
        """What was saved last."""
        return self._statuses.get(function)

    async def save(self, function: str, status: ScheduleStatus) -> None:
        """Keep the status."""
        self._statuses[function] = status

    @asynccontextmanager
    async def hold(self, function: str) -> AsyncIterator[asyncio.Event]:
        """Be the only one. Raises `Locked`."""
        if function in self.held:
            raise Locked(f"The timer {function} runs elsewhere")
        lost = self.held[function] = asyncio.Event()
        try:
            yield lost
        finally:
            if self.held.get(function) is lost:
                del self.held[function]

    def break_hold(self, function: str) -> None:
        """Let the holder lose it, as if its lease could not be renewed."""
        self.held.pop(function).set()


class BlobTimerStore:
    """Blobs of the host's storage account. A context manager; `lease` is from 15 to 60 seconds."""

    def __init__(self, connection_string: str, host_id: str, lease: timedelta) -> None:
        # No long retries of the SDK's own: callers try again, and a stop must not wait for them.
        self._service = BlobServiceClient.from_connection_string(connection_string, retry_total=1)
        self._host_id, self._lease_seconds = host_id, int(lease.total_seconds())

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def load(self, function: str) -> ScheduleStatus | None:
        """What was saved last; a status nobody can read counts as none."""
        try:
            text = await (await self._status_blob(function).download_blob()).readall()
            return ScheduleStatus.from_json(text)
        except ResourceNotFoundError:
            return None
        except ValueError as error:
            log.warning("timer_status_unreadable", extra={"function": function, "error": str(error)})
            return None
        except AzureError as error:
            raise _to_unavailable(error) from error

    async def save(self, function: str, status: ScheduleStatus) -> None:
        """Keep the status."""
        blob = self._status_blob(function)
        try:
            await blob.upload_blob(json.dumps(status.to_json()), overwrite=True)
        except AzureError as error:
            raise _to_unavailable(error) from error

    @asynccontextmanager
    async def hold(self, function: str) -> AsyncIterator[asyncio.Event]:
        """Hold the timer's lease and renew it until the block ends."""
        blob = self._service.get_blob_client(
            # As the real host names it: hosts with one id exclude each other, of whatever make.
            CONTAINER,
            f"locks/{self._host_id}/Host.Functions.{function}.Listener",
        )
        lease = await self._acquire(blob, function)
        lost = asyncio.Event()
        renewing = asyncio.create_task(self._renew(lease, lost))
        try:
            yield lost
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            # Best effort: unreleased, it ends by itself within a minute.
            with contextlib.suppress(AzureError):
                await lease.release()

    async def _acquire(self, blob: BlobClient, function: str) -> BlobLeaseClient:
        try:
            await self._ensure(blob)
            return await blob.acquire_lease(self._lease_seconds)
        except ResourceExistsError as error:
            raise Locked(f"The timer {function} runs elsewhere") from error
        except AzureError as error:
            raise _to_unavailable(error) from error

    async def _ensure(self, blob: BlobClient) -> None:
        with contextlib.suppress(ResourceExistsError):
            await self._service.create_container(CONTAINER)
        if not await blob.exists():
            with contextlib.suppress(ResourceExistsError):
                await blob.upload_blob(b"", overwrite=False)

    async def _renew(self, lease: BlobLeaseClient, lost: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        valid_until = loop.time() + self._lease_seconds
        while not lost.is_set():
            # Two tries before it ends.
            await asyncio.sleep(self._lease_seconds / 3)
            began = loop.time()
            try:
                await lease.renew()
                valid_until = began + self._lease_seconds
            except AzureError as error:
                refused = getattr(error, "status_code", None) in (404, 409, 412)
                # Give up while it still holds: after that another host may have it.
                if refused or loop.time() >= valid_until - self._lease_seconds / 3:
                    lost.set()

    def _status_blob(self, function: str) -> BlobClient:
        return self._service.get_blob_client(
            CONTAINER, f"timers/{self._host_id}/Host.Functions.{function}/status"
        )


def _to_unavailable(error: AzureError) -> Unavailable:
    return Unavailable("The host's storage did not answer", value=str(error).splitlines()[0])
