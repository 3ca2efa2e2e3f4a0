"""Rocket.Chat's messages by its REST interface, as one user with a personal access token.

https://developer.rocket.chat/apidocs/get-message and /apidocs/post-message
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.chatops.ports import ChatMessage
from shared.kernel.errors import Corrupt, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_timestamp

if TYPE_CHECKING:
    import requests

# A message has 5000 characters by default, with its attachments some more.
_ANSWER_BYTES = 1 << 18
_HINT = "See GROUNDCREW_ROCKETCHAT_USER and its token, and whether the user is in the room."


class RestChatRooms:
    """`ChatRooms` of the server at `url`."""

    def __init__(
        self, session: requests.Session, url: str, *, timeout: timedelta = timedelta(seconds=10)
    ) -> None:
        self._session, self._url, self._timeout = session, url.rstrip("/"), timeout

    def read_message(self, message: str) -> ChatMessage:
        """See `ChatRooms.read_message`."""
        status, answer = self._call("GET", "chat.getMessage", params={"msgId": message})
        if status == 400:
            # The server says no more about an id it does not have, or that this user may not see.
            raise NotFound("no such message, or not one that the user sees", value=message, hint=_HINT)
        return parse_chat_message(answer.get("message"))

    def post_reply(self, room: str, text: str, thread: str) -> None:
        """See `ChatRooms.post_reply`."""
        status, answer = self._call(
            "POST", "chat.postMessage", json={"roomId": room, "text": text, "tmid": thread}
        )
        if status == 400:
            raise Refused(
                "the chat takes no message there", value=str(answer.get("error", ""))[:200], hint=_HINT
            )

    def _call(self, method: str, path: str, **arguments: Any) -> tuple[int, Mapping[str, Any]]:
        """Status 200 or 400, and the answer. Raises Refused, Unavailable."""
        import requests

        try:
            with self._session.request(
                method, f"{self._url}/api/v1/{path}", timeout=self._timeout.total_seconds(),
                allow_redirects=False, stream=True, **arguments,
            ) as answer:  # fmt: skip
                status, body = answer.status_code, next(answer.iter_content(_ANSWER_BYTES), b"")
        except requests.RequestException as error:
            raise Unavailable("the chat does not answer", value=type(error).__name__) from error
        if status in (401, 403):
            raise Refused("the chat refuses our user", value=f"{path} answers {status}", hint=_HINT)
        # 429 and 5xx pass; a redirect would take our token to another host, and is not followed.
        if status not in (200, 400):
            raise Unavailable("the chat does not answer as it should", value=f"{path} answers {status}")
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or (status == 200 and parsed.get("success") is not True):
            raise Unavailable("the chat does not answer as it should", value=f"{path}: no success")
        return status, parsed


def parse_chat_message(value: object) -> ChatMessage:
    """A message as `chat.getMessage` shows it. Raises Corrupt."""
    try:
        if not isinstance(value, dict):
            raise TypeError("no object")
        return ChatMessage(
            # Read back from the server, since anybody who knows the webhook's token could post these fields.
            id=str(value["_id"]),
            room=str(value["rid"]),
            user=str(value["u"]["_id"]),
            text=str(value["msg"]),
            at=parse_timestamp(value["ts"]),
            edited=bool(value.get("editedAt") or value.get("editedBy")),
            # What an integration posts carries it, in whoever's name; and `t` is a system message.
            bot=bool(value.get("bot") or value.get("t")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt("the chat's message is malformed", value=type(error).__name__) from error


# Over plain HTTP to another host, whoever listens has the bot's token, which gives orders in the chat's name.
_ADDRESS = re.compile(r"(https://[^\s/@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?)(/\S*)?", re.ASCII)


def connect(url: str, user: str, token: Secret) -> RestChatRooms:
    """The server at `url`. Imports requests. Raises UsageError for what is no HTTPS address, or loopback."""
    import requests

    if not _ADDRESS.fullmatch(url):
        raise UsageError(
            "not the address of a chat", value=url, hint="It looks like https://chat.example.org"
        )
    session = requests.Session()
    session.headers.update({"X-Auth-Token": token.reveal(), "X-User-Id": user})
    return RestChatRooms(session, url)
