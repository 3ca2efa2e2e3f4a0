"""A storage queue and its poison queue, through the SDK; both are made when they are first needed."""

from __future__ import annotations

import contextlib

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient, QueueServiceClient

_POISON = "-poison"


class QueueAccount:
    """The queues of one storage account. Every method of it and its queues raises the SDK's `AzureError`."""

    def __init__(self, connection_string: str) -> None:
        # No long retries of the SDK's own: callers poll anyway, and a stop must not wait for them.
        self._service = QueueServiceClient.from_connection_string(connection_string, retry_total=1)

    def queue(self, name: str) -> HostQueue:
        """A handle; does not ask the service."""
        return HostQueue(self._service, name)

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()


class HostQueue:
    """One queue, with bodies as they lie in it."""

    def __init__(self, service: QueueServiceClient, name: str) -> None:
        self.name = name
        self.poison_name = None if name.endswith(_POISON) else f"{name}{_POISON}"
        self._service = service
        self._client = service.get_queue_client(name)

    async def receive(self, count: int, invisible_seconds: int) -> list[QueueMessage]:
        """Up to `count` messages, at most 32, hidden for a while; makes the queue if it is not there."""
        try:
            return await self._receive(count, invisible_seconds)
        except ResourceNotFoundError:
            await _create(self._client)
            return []

    async def _receive(self, count: int, invisible_seconds: int) -> list[QueueMessage]:
        pages = self._client.receive_messages(
            messages_per_page=count, max_messages=count, visibility_timeout=invisible_seconds
        )
        return [message async for message in pages]

    async def hide(self, message_id: str, receipt: str, seconds: int) -> str:
        """Make it visible only after `seconds` from now; returns the receipt that is valid from then on."""
        updated = await self._client.update_message(message_id, receipt, visibility_timeout=seconds)
        return updated.pop_receipt or receipt

    async def delete(self, message_id: str, receipt: str) -> None:
        """Remove it; fails if somebody else has received it since."""
        await self._client.delete_message(message_id, receipt)

    async def send(self, content: str) -> None:
        """Append a message that keeps for a week, the service's default."""
        await _send(self._client, content)

    async def send_to_poison(self, content: str) -> None:
        """Append a copy to the poison queue, to be kept until somebody has looked at it."""
        if self.poison_name is not None:
            await _send(self._service.get_queue_client(self.poison_name), content, time_to_live=-1)


async def _send(client: QueueClient, content: str, *, time_to_live: int | None = None) -> None:
    try:
        await client.send_message(content, time_to_live=time_to_live)
    except ResourceNotFoundError:
        await _create(client)
        await client.send_message(content, time_to_live=time_to_live)


async def _create(client: QueueClient) -> None:
    with contextlib.suppress(ResourceExistsError):
        await client.create_queue()
