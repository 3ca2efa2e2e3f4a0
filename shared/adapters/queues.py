"""Azure Storage queues, with messages as the Functions host reads them: UTF-8 text in base64.

https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

from __future__ import annotations

import base64
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.azure.storage.calls import encode_path
from shared.azure.storage.connection import open_service
from shared.azure.storage.retries import Retries
from shared.azure.storage.service import StorageService
from shared.kernel.errors import AlreadyExists, NotFound, Unavailable, UsageError
from shared.kernel.storage_limits import check_message

if TYPE_CHECKING:
    from shared.settings.storage_account import StorageAccount

_DEFAULT_RETRIES = Retries()
_PROBE_SECONDS = 60
_FOR_EVER = -1


def open_queues(account: StorageAccount, *, retries: Retries = _DEFAULT_RETRIES) -> AzureQueues:
    """The account's queues; nothing is sent before the first operation. Raises `UsageError`."""
    if account.sas_container:
        raise UsageError(
            "the SAS is for a container", hint="Queues need a SAS for the account, or an identity."
        )
    return AzureQueues(open_service(account, "queue", retries))


class AzureQueues:
    """`Queues` over the requests to the queue service.

    A message whose answer is lost is sent again, so it may arrive twice: receivers must not mind.
    """

    def __init__(self, service: StorageService) -> None:
        self._service = service

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:
        """Append a message (at most 48 KiB) that becomes visible after `delay`; makes the queue if absent.

        Raises `UsageError` for a longer body or delay, `Unavailable`, `Refused`.
        """
        check_message(queue, body, delay)
        seconds = math.ceil(delay.total_seconds())
        try:
            # For ever: Azure drops messages after seven days by default, and a deploy that waits for an
            # approval must not vanish.
            self._put_message(queue, body, seconds, _FOR_EVER, f"queue {queue}")
        except NotFound:
            self._create(queue)
            self._put_message(queue, body, seconds, _FOR_EVER, f"queue {queue}")

    def probe_send(self, queue: str) -> bool:
        """See `Queues.probe_send`. Should it not be taken back, it ends a second after it could be seen."""
        message = f"send to queue {queue}"
        try:
            # The service wants it visible for a second of its life at least.
            sent = self._put_message(queue, "probe", _PROBE_SECONDS - 1, _PROBE_SECONDS, message)
            message_id, receipt = parse_receipt(sent, message)
            path = encode_path(queue, "messages", message_id)
            self._service.send("DELETE", path, message, query={"popreceipt": receipt})
        except NotFound:
            return False
        return True

    def length(self, queue: str) -> int:
        """About how many messages wait, visible or not; 0 if there is no such queue."""
        try:
            answer = self._service.send(
                "GET", encode_path(queue), f"queue {queue}", query={"comp": "metadata"}
            )
        except NotFound:
            return 0
        return int(answer.headers.get("x-ms-approximate-messages-count", 0))

    def _put_message(
        self, queue: str, body: str, hidden_seconds: int, kept_seconds: int, message: str
    ) -> bytes:
        """Send it, and return the service's receipt. Base64 needs no escapes in XML."""
        text = base64.b64encode(body.encode()).decode()
        answer = self._service.send(
            "POST", encode_path(queue, "messages"), message,
            query={"visibilitytimeout": str(hidden_seconds), "messagettl": str(kept_seconds)},
            body=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode(),
        )  # fmt: skip
        return answer.body

    def _create(self, queue: str) -> None:
        try:
            self._service.send("PUT", encode_path(queue), f"queue {queue}")
        except AlreadyExists:
            return


def parse_receipt(body: bytes, message: str) -> tuple[str, str]:
    """The id of a message that was sent, and the receipt that takes it back. Raises `Unavailable`."""
    from xml.etree import ElementTree

    try:
        # S314: it is the service that is trusted with the messages.
        sent = ElementTree.fromstring(body).find("QueueMessage")  # noqa: S314
        found = ("", "") if sent is None else (sent.findtext("MessageId"), sent.findtext("PopReceipt"))
    except ElementTree.ParseError as error:
        raise _unusable(message) from error
    message_id, receipt = found
    if not message_id or not receipt:
        raise _unusable(message)
    return message_id, receipt


def _unusable(message: str) -> Unavailable:
    return Unavailable(
        f"cannot reach {message}", value="no answer of Queue Storage", hint="Is there a proxy in between?"
    )
