"""Commands on the queue, sealed by the endpoint: whoever may write to the queue cannot claim what it proved.

A right to send to a queue is given more easily than one to write the state, and a forged command could
approve a forged request. The seal is an HMAC under a key that only the app has.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shared.chatops.deps import QUEUE
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.kernel.errors import UsageError
from shared.kernel.timestamps import parse_timestamp


def derive_queue_key(secret: str) -> bytes:
    """The key of the seals, from a secret that the app has anyway; empty for none."""
    return hmac.digest(secret.encode(), b"groundcrew chat-commands", "sha256") if secret else b""


def encode_request(request: ChatRequest, key: bytes) -> str:
    """One request with its seal, as it stands in a message: JSON in ASCII."""
    # Sealed as the text that it is: what is parsed is byte for byte what was sealed.
    content = json.dumps({**asdict(request), "sent": request.sent.isoformat()})
    return json.dumps({"request": content, "seal": _seal(content, key)})


def parse_message(data: str | bytes, key: bytes) -> list[ChatRequest]:
    """The requests in a message of the queue. Raises UsageError for what no endpoint sealed."""
    try:
        fields = json.loads(data)
        sealed = fields if isinstance(fields, list) else [fields]
        # Anybody can compute an HMAC under an empty key.
        if not key or not sealed:
            raise ValueError("no key, or nothing sealed")
        return [_parse_request(_open_seal(one, key)) for one in sealed]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        hint = f"It is moved to the queue {QUEUE}-poison. See who can write to {QUEUE}."
        raise UsageError(
            "a message is no command of our endpoints", value=type(error).__name__, hint=hint
        ) from error


def _seal(content: str, key: bytes) -> str:
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def _open_seal(sealed: Mapping[str, Any], key: bytes) -> Mapping[str, Any]:
    content = sealed["request"]
    if not hmac.compare_digest(str(sealed["seal"]).encode(), _seal(content, key).encode()):
        raise ValueError("the seal is not ours")
    fields: Mapping[str, Any] = json.loads(content)
    return fields


def _parse_request(fields: Mapping[str, Any]) -> ChatRequest:
    texts = {name: fields[name] for name in fields if name not in ("platform", "door", "accounts", "sent")}
    accounts = tuple(fields["accounts"])
    if not all(isinstance(one, str) for one in (*texts.values(), *accounts)):
        raise ValueError("not a text")
    # Messages that an older app put on the queue say `door`.
    platform = fields["platform"] if "platform" in fields else fields["door"]
    return ChatRequest(
        platform=ChatPlatform(platform), accounts=accounts, sent=parse_timestamp(fields["sent"]), **texts
    )
