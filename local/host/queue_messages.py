"""Queue messages: between what lies in a storage queue and what a function is given or returns."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from azure.functions.meta import Datum

from local.host.functions import Function
from shared.kernel.errors import UsageError

if TYPE_CHECKING:
    # Not at run time: a worker whose first call is measured has no queue SDK of its own.
    from azure.storage.queue import QueueMessage


def decode_body(content: str, *, base64_encoded: bool) -> bytes:
    """The message's bytes. Raises ValueError if it is not base64 and should be."""
    if not base64_encoded:
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from error


def encode_body(body: bytes, *, base64_encoded: bool) -> str:
    """What to put into the queue. Raises `UsageError` for bytes that are no text and are not to be base64."""
    if base64_encoded:
        return base64.b64encode(body).decode()
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UsageError("The message is not UTF-8 and messageEncoding is none") from error


def trigger_input(message: QueueMessage, body: bytes) -> tuple[Datum, dict[str, Datum]]:
    """The function's input and the metadata that belongs to it."""
    metadata = {
        "Id": message.id,
        "DequeueCount": str(message.dequeue_count),
        "ExpirationTime": _format_time(message.expires_on),
        "InsertionTime": _format_time(message.inserted_on),
        "NextVisibleTime": _format_time(message.next_visible_on),
        "PopReceipt": message.pop_receipt or "",
    }
    return _parse_body(body), {name: Datum(value, "string") for name, value in metadata.items()}


def manual_message(text: str) -> tuple[Datum, dict[str, Datum]]:
    """The same for a message that an administrator gives and that is in no queue."""
    now = datetime.now(UTC)
    metadata = {
        "Id": "manual",
        "DequeueCount": "1",
        "ExpirationTime": _format_time(now + timedelta(days=7)),
        "InsertionTime": _format_time(now),
        "NextVisibleTime": _format_time(now),
        "PopReceipt": "",
    }
    return _parse_body(text.encode()), {name: Datum(value, "string") for name, value in metadata.items()}


def output_bodies(function: Function, datum: Datum) -> list[bytes]:
    """The messages in the value of a queue output: text, bytes, or a list of texts.

    Raises `UsageError` for the rest: the real host writes a `QueueMessage` as JSON, which nobody expects.
    """
    value = datum.value
    if datum.type == "json":
        value = json.loads(value)
    if isinstance(value, bytes):
        return [value]
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        hint = "Set text, bytes or a list of texts."
        raise UsageError(f"{function.name} wrote to a queue what is not served", value=datum.type, hint=hint)
    return [text.encode() for text in texts]


def _parse_body(body: bytes) -> Datum:
    try:
        return Datum(body.decode(), "string")
    except UnicodeDecodeError:
        return Datum(body, "bytes")


def _format_time(timestamp: datetime | None) -> str:
    # The form that azure.functions parses (it knows no colon in the offset of ISO 8601).
    return (timestamp or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
