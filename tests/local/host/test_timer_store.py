"""What a timer store promises, in memory and over blobs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobLeaseClient, ContainerClient

from local.azurite import Azurite
from local.host.timer_store import (
    CONTAINER,
    NEVER,
    BlobTimerStore,
    MemoryTimerStore,
    ScheduleStatus,
    TimerStore,
)
from shared.kernel.errors import Locked

STATUS = ScheduleStatus(NEVER, datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 11, 59, tzinfo=UTC))

Open = Callable[[], AbstractAsyncContextManager[TimerStore]]


@pytest.fixture(params=["memory", "blobs"])
def host_of(request: pytest.FixtureRequest) -> Open:
    """Opens the store as one more host sees it: the same content each time."""
    if request.param == "memory":
        shared = MemoryTimerStore()

        @asynccontextmanager
        async def memory() -> AsyncIterator[TimerStore]:
            yield shared

        return memory
    azurite: Azurite = request.getfixturevalue("azurite")
    host_id = uuid.uuid4().hex

    @asynccontextmanager
    async def blobs() -> AsyncIterator[TimerStore]:
        store = BlobTimerStore(azurite.connection_string, host_id, timedelta(seconds=15))
        yield store
        await store.close()

    return blobs


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_there_is_no_status_before_one_was_saved(host_of: Open) -> None:
    async def scenario() -> None:
        async with host_of() as store:
            assert await store.load("tick") is None

    play(scenario())


def test_another_host_reads_the_status_that_was_saved_last(host_of: Open) -> None:
    async def scenario() -> None:
        later = ScheduleStatus(STATUS.next, STATUS.next + timedelta(hours=1), STATUS.next)
        async with host_of() as first, host_of() as second, first.hold("tick"):
            await first.save("tick", STATUS)
            await first.save("tick", later)
            assert await second.load("tick") == later
            assert await second.load("tock") is None

    play(scenario())


def test_one_host_holds_a_timer_and_the_next_can_once_it_lets_go(host_of: Open) -> None:
    async def scenario() -> None:
        async with host_of() as first, host_of() as second:
            async with first.hold("tick") as lost:
                assert not lost.is_set()
                with pytest.raises(Locked):
                    async with second.hold("tick"):
                        pass
                async with second.hold("tock"):
                    pass
            async with second.hold("tick"):
                pass

    play(scenario())


def test_the_blobs_lie_where_the_real_host_keeps_them(azurite: Azurite) -> None:
    host_id = uuid.uuid4().hex

    async def scenario() -> None:
        store = BlobTimerStore(azurite.connection_string, host_id, timedelta(seconds=15))
        async with store.hold("tick"):
            await store.save("tick", STATUS)
        await store.close()

    play(scenario())
    with ContainerClient.from_connection_string(azurite.connection_string, CONTAINER) as container:
        names = {blob.name for blob in container.list_blobs() if host_id in blob.name}
        assert names == {
            f"timers/{host_id}/Host.Functions.tick/status",
            f"locks/{host_id}/Host.Functions.tick.Listener",
        }


def test_a_status_nobody_can_read_counts_as_none(azurite: Azurite) -> None:
    host_id = uuid.uuid4().hex

    async def scenario() -> None:
        store = BlobTimerStore(azurite.connection_string, host_id, timedelta(seconds=15))
        async with store.hold("tick"):
            pass
        with ContainerClient.from_connection_string(azurite.connection_string, CONTAINER) as container:
            container.upload_blob(f"timers/{host_id}/Host.Functions.tick/status", b"{")
        assert await store.load("tick") is None
        await store.close()

    play(scenario())


def test_a_lease_that_somebody_broke_is_noticed(azurite: Azurite) -> None:
    host_id = uuid.uuid4().hex

    async def scenario() -> None:
        store = BlobTimerStore(azurite.connection_string, host_id, timedelta(seconds=15))
        async with store.hold("tick") as lost:
            with ContainerClient.from_connection_string(azurite.connection_string, CONTAINER) as container:
                blob = container.get_blob_client(f"locks/{host_id}/Host.Functions.tick.Listener")
                BlobLeaseClient(blob).break_lease(lease_break_period=0)
            await asyncio.wait_for(lost.wait(), 10)
        await store.close()

    play(scenario())
