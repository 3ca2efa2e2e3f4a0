"""What is said in Rocket.Chat's rooms: its REST interface, and the outgoing webhook that commands come by.

Payload and answers follow the server's own code (apps/meteor/app/integrations/server/lib/triggerHandler and
app/api/server/v1/chat): the token is in the body and nothing is signed; a 200 with `text` is posted; 410
switches the integration off.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from aiohttp import web

_TIMEOUT_SECONDS = 20  # the server's own


@dataclass
class Integration:
    """An outgoing webhook; `answers` are the statuses it was answered with."""

    url: str
    token: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    trigger: str = "!ops"
    enabled: bool = True
    answers: list[int] = field(default_factory=list)


class Conversations:
    """Users by id with their tokens, rooms by id with their members, and all messages."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.members: dict[str, set[str]] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.integration: Integration | None = None
        self.down = False

    def add_user(self, user: str, *rooms: str) -> str:
        """A user in these rooms; gives a personal access token."""
        for room in rooms:
            self.members.setdefault(room, set()).add(user)
        self.tokens[user] = secrets.token_urlsafe(32)
        return self.tokens[user]

    def write_message(self, user: str, room: str, text: str, *, thread: str = "", **more: Any) -> str:
        """Somebody writes a message, and the integration hears of it; gives the message's id."""
        message = self._store_message(user, room, text, thread, **more)
        self.deliver(message)
        return str(message["_id"])

    def edit(self, message: str, text: str) -> None:
        """Its author changes the message; the integration hears of that too."""
        found = self.messages[message]
        found |= {"msg": text, "editedAt": _now(), "editedBy": found["u"]}
        self.deliver(found)

    def deliver(self, message: Mapping[str, Any], **changes: Any) -> int:
        """Send the webhook for a message, with what a forger would change; gives the status."""
        if self.integration is None or not self.integration.enabled:
            return 0
        answer = requests.post(
            self.integration.url, json={**self.payload(message), **changes},
            timeout=_TIMEOUT_SECONDS, allow_redirects=False,
        )  # fmt: skip
        self.integration.answers.append(answer.status_code)
        # And nobody is told: the next command is met by silence.
        self.integration.enabled = answer.status_code != 410
        # As the server does, which marks what it posts for an integration.
        said = answer.json() if answer.status_code == 200 and answer.content else {}
        if said.get("text"):
            self._store_message(
                "rocket.cat", str(message["rid"]), str(said["text"]), "", bot={"i": "integration"}
            )
        return answer.status_code

    def payload(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The webhook's body for a message."""
        made = {
            "token": self.integration.token if self.integration else "",
            # Set on what an integration posted: a handler that answers itself goes round for ever.
            "bot": message.get("bot") or False,
            "trigger_word": self.integration.trigger if self.integration else "",
            "channel_id": message["rid"],
            "channel_name": str(message["rid"]).lower(),
            "message_id": message["_id"],
            "timestamp": message["ts"],
            "user_id": message["u"]["_id"],
            # A name that its owner can change; only the id is a person.
            "user_name": message["u"]["username"],
            "text": message["msg"],
            "siteUrl": "http://localhost:3000",
        }
        made |= {"tmid": message["tmid"]} if message.get("tmid") else {}
        # An edit comes by the same webhook: an old message can be made a command later.
        return made | ({"isEdited": True} if message.get("editedAt") else {})

    def thread(self, message: str) -> list[str]:
        """The texts of a thread's answers, oldest first."""
        return [str(one["msg"]) for one in self.messages.values() if one.get("tmid") == message]

    def add_routes(self, app: web.Application) -> None:
        """The two methods of the REST interface that commands need."""
        app.router.add_get("/api/v1/chat.getMessage", self._get_message)
        app.router.add_post("/api/v1/chat.postMessage", self._post_message)

    def _store_message(self, user: str, room: str, text: str, thread: str, **more: Any) -> dict[str, Any]:
        message = {
            # Seventeen characters, as Meteor's.
            "_id": secrets.token_hex(9)[:17],
            "rid": room,
            "msg": text,
            "ts": _now(),
            "u": {"_id": user, "username": user.lower(), "name": user},
            "_updatedAt": _now(),
            "urls": [],
            "mentions": [],
            "channels": [],
            # The text once more, parsed: what is compared is `msg`.
            "md": [{"type": "PARAGRAPH", "value": [{"type": "PLAIN_TEXT", "value": text}]}],
            **({"tmid": thread} if thread else {}),
            **more,
        }
        self.messages[str(message["_id"])] = message
        return message

    def _find_user(self, request: web.Request) -> str:
        user, token = request.headers.get("X-User-Id", ""), request.headers.get("X-Auth-Token", "")
        known = self.tokens.get(user, "")
        return user if known and secrets.compare_digest(known, token) else ""

    async def _get_message(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=502, text="Bad Gateway")
        user = self._find_user(request)
        if not user:
            return _unauthorized_answer()
        found = self.messages.get(request.query.get("msgId", ""))
        # 400 for both, as the server does not tell whether there is such a message.
        if found is None or user not in self.members.get(str(found["rid"]), set()):
            return web.json_response({"success": False}, status=400)
        return web.json_response({"message": found, "success": True})

    async def _post_message(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=502, text="Bad Gateway")
        user = self._find_user(request)
        if not user:
            return _unauthorized_answer()
        body = await request.json()
        room = str(body.get("roomId", ""))
        if user not in self.members.get(room, set()):
            error = {"success": False, "error": "[invalid-channel]", "errorType": "invalid-channel"}
            return web.json_response(error, status=400)
        message = self._store_message(user, room, str(body.get("text", "")), str(body.get("tmid", "")))
        return web.json_response({"ts": 0, "channel": room, "message": message, "success": True})


def _unauthorized_answer() -> web.Response:
    told = {"status": "error", "message": "You must be logged in to do this."}
    return web.json_response(told, status=401)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
