"""Incoming webhooks of Rocket.Chat: `POST /hooks/<id>/<token>`.

The answers follow the server's own code (apps/meteor/app/integrations/server/api): success is
`{"success": true}`, a failure 400 with `error`, a disabled integration 503, too many calls 429.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from local.chat.conversations import Conversations
from local.exchanges import ApiExchange, record_exchanges
from local.server import Served

RATE_CALLS, RATE_SECONDS = 10, 60  # API_Enable_Rate_Limiter_Limit_Calls_Default and _Time_Default


@dataclass
class Hook:
    """An incoming integration and the messages it posted."""

    id: str
    token: str
    channel: str
    enabled: bool = True
    may_override: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)


class ChatServer:
    """A context manager with a chat behind `url`; `rate_limited` is off until a test wants it."""

    def __init__(self, *, port: int = 0) -> None:
        self.hooks: dict[str, Hook] = {}
        self.conversations = Conversations()
        self.exchanges: list[ApiExchange] = []
        self.rate_limited = False
        self.down = False
        self._served = Served(self.application, port=port)
        self.url = self._served.url

    def __enter__(self) -> ChatServer:
        self._served.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.__exit__(kind, error, trace)

    def add_hook(self, channel: str = "#operations", *, may_override: bool = False) -> Hook:
        """A new integration with an id and a token of its own."""
        hook = Hook(secrets.token_hex(8), secrets.token_hex(24), channel, may_override=may_override)
        self.hooks[hook.id] = hook
        return hook

    def hook_url(self, hook: Hook) -> str:
        """The URL an administrator would copy."""
        return f"{self.url}/hooks/{hook.id}/{hook.token}"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that was posted, integration by integration."""
        return [message for hook in self.hooks.values() for message in hook.messages]

    def wait_for(self, words: str, *, seconds: float = 90) -> list[str]:
        """What people read of the messages with these words, once there is one. Raises TimeoutError.

        Messages are delivered beside the job that raises them, so that they may come after its end.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := [text for text in map(read_message, self.messages) if words in text]:
                return found
            time.sleep(0.05)
        raise TimeoutError(f"no message with {words!r} in {seconds:.0f} s; there are {len(self.messages)}")

    def application(self) -> web.Application:
        """The chat as an aiohttp application."""
        app = web.Application(client_max_size=1 << 20, middlewares=[record_exchanges(self.exchanges)])
        app.router.add_post("/hooks/{id}/{token}", self._post)
        # The older form of the address, which integrations of long ago still have.
        app.router.add_post("/hooks/{id}/{user}/{token}", self._post)
        app.router.add_get("/api/info", self._info)
        self.conversations.add_routes(app)
        return app

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"success": True, "version": "8.2"})

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        hook = self.hooks.get(request.match_info["id"])
        if self.down:
            return web.Response(status=502, text="Bad Gateway")
        if hook is None or not secrets.compare_digest(hook.token, request.match_info["token"]):
            return _failure_answer("Invalid integration id or token provided.", status=404)
        if self.rate_limited and not _within_rate(hook):
            wait = (
                f"Please slow down. You must wait {RATE_SECONDS} seconds before trying this endpoint again."
            )
            return _failure_answer(f"Error, too many requests. {wait} [error-too-many-requests]", status=429)
        if not hook.enabled:
            return _failure_answer("Service Unavailable", status=503)
        try:
            content = _message_content(request.content_type, body)
        except ValueError as error:
            return _failure_answer(str(error))
        if not content:
            return web.json_response({"success": True})  # an empty body posts nothing and is a success
        # Off by default: a notice that names a channel is refused as a whole.
        if (content.get("channel") or content.get("roomId")) and not hook.may_override:
            return _failure_answer("overriding destination channel is disabled for this integration")
        hook.messages.append({"channel": hook.channel, **content})
        return web.json_response({"success": True})


def read_message(message: Mapping[str, Any]) -> str:
    """All that people read of a message: its text, then titles, texts and fields of its attachments."""
    parts = [str(message["text"])]
    for attachment in message.get("attachments", ()):
        facts = [f"{one['title']}: {one['value']}" for one in attachment.get("fields", ())]
        parts += [attachment.get("title", ""), attachment.get("text", ""), *facts]
    return "\n".join(part for part in parts if part)


def _message_content(content_type: str, body: bytes) -> dict[str, Any]:
    text = body.decode()
    if content_type == "application/x-www-form-urlencoded":
        # Slack's form, which Rocket.Chat takes as well.
        text = parse_qs(text).get("payload", [text])[0]
    content = json.loads(text) if text else {}
    return content if isinstance(content, dict) else {}


def _within_rate(hook: Hook) -> bool:
    now = time.monotonic()
    hook.calls = [at for at in hook.calls if now - at < RATE_SECONDS]
    hook.calls.append(now)
    return len(hook.calls) <= RATE_CALLS


def _failure_answer(error: str, *, status: int = 400) -> web.Response:
    return web.json_response({"success": False, "error": error}, status=status)
