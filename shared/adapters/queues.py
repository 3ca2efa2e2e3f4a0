"""Azure Storage queues, with messages as the Functions host reads them: UTF-8 text in base64."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.azure.sdk import (
    Retries,
    find_authority,
    hide_bad_settings,
    identity,
    load_azure_core,
    quiet_sdk_logs,
    translate_sdk_errors,
)
from shared.kernel.errors import AlreadyExists, NotFound, UsageError
from shared.kernel.storage_limits import check_message

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient, QueueServiceClient

    from shared.settings.storage_account import StorageAccount

_DEFAULT_RETRIES = Retries()
_PROBE_SECONDS = 60


def open_queues(account: StorageAccount, *, retries: Retries = _DEFAULT_RETRIES) -> AzureQueues:
    """The account's queues; nothing is sent before the first operation. Raises `UsageError`."""
    if account.sas_container:
        raise UsageError(
            "the SAS is for a container", hint="Queues need a SAS for the account, or an identity."
        )
    quiet_sdk_logs()
    with hide_bad_settings():
        return AzureQueues(_service(account, retries.options()))


def _service(account: StorageAccount, options: dict[str, Any]) -> QueueServiceClient:
    load_azure_core()
    from azure.storage.queue import QueueServiceClient

    if account.connection_string:
        return QueueServiceClient.from_connection_string(account.connection_string, **options)
    if account.sas:
        return QueueServiceClient(f"{account.queue_url}?{account.sas}", **options)
    return QueueServiceClient(
        account.queue_url,
        credential=identity(**account.sign_in, authority=find_authority(account.blob_url)),
        **options,
    )


class AzureQueues:
    """`Queues` over the SDK's service client.

    A message whose answer is lost is sent again, so it may arrive twice: receivers must not mind.
    """

    def __init__(self, service: QueueServiceClient) -> None:
        self._service = service

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:
        """Append a message (at most 48 KiB) that becomes visible after `delay`; makes the queue if absent.

        Raises `UsageError` for a longer body or delay, `Unavailable`, `Refused`.
        """
        check_message(queue, body, delay)
        try:
            self._send(queue, body, delay)
        except NotFound:
            self._create(queue)
            self._send(queue, body, delay)

    def probe_send(self, queue: str) -> bool:
        """See `Queues.probe_send`. Should it not be taken back, it ends a second after it could be seen."""
        try:
            with translate_sdk_errors(f"send to queue {queue}"):
                client = self._client(queue)
                # The service wants it visible for a second of its life at least.
                sent = client.send_message(
                    "probe", visibility_timeout=_PROBE_SECONDS - 1, time_to_live=_PROBE_SECONDS
                )
                client.delete_message(sent)
        except NotFound:
            return False
        return True

    def length(self, queue: str) -> int:
        """About how many messages wait, visible or not; 0 if there is no such queue."""
        try:
            with translate_sdk_errors(f"queue {queue}"):
                return int(self._client(queue).get_queue_properties().approximate_message_count or 0)
        except NotFound:
            return 0

    def _send(self, queue: str, body: str, delay: timedelta) -> None:
        with translate_sdk_errors(f"queue {queue}"):
            self._client(queue).send_message(
                # For ever: Azure drops messages after seven days by default, and a deploy that waits for an
                # approval must not vanish.
                body,
                visibility_timeout=math.ceil(delay.total_seconds()),
                time_to_live=-1,
            )

    def _create(self, queue: str) -> None:
        try:
            with translate_sdk_errors(f"queue {queue}"):
                self._client(queue).create_queue()
        except AlreadyExists:
            return

    def _client(self, queue: str) -> QueueClient:
        from azure.storage.queue import TextBase64EncodePolicy

        return self._service.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())
