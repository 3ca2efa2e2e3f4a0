"""Rooms, messages, uploads and push of the stand-in, and the realtime stream over which clients get them.

As the server does it: `rooms.media` stores a file, `rooms.mediaConfirm` makes a message of it, and a file
goes with its message (apps/meteor/app/api/server/v1/rooms.ts, lib/server/functions/deleteMessage.ts). The
stream is Meteor's DDP.
"""

from __future__ import annotations

import asyncio
import email
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from local.rocketchat.rest.state import ChatServerState, ChatUser

Document = dict[str, Any]
Answer = web.Response
UserRoute = Callable[[web.Request, ChatUser], Awaitable[Answer]]
_STREAM = "stream-room-messages"


@dataclass
class ChatRoomsState:
    """What is in the rooms, and what is wrong with them.

    - `rooms`: by id, the name and the ids of its members.
    - `is_silent`: messages are stored, and reach no stream; `has_websocket`: else a proxy lets none through.
    - `corrupts`: files come back with other bytes; `redirects`: their store is elsewhere.
    - `devices`: by user, how many get push notifications.
    """

    rooms: dict[str, Document] = field(default_factory=dict)
    messages: dict[str, Document] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    public: dict[str, Any] = field(default_factory=dict)
    is_silent: bool = False
    has_websocket: bool = True
    corrupts: bool = False
    redirects: bool = False
    may_delete: bool = True
    sent: list[str] = field(default_factory=list)  # texts of all messages that ever were

    def add_room(self, name: str, *members: str) -> str:
        """A room with these members; returns its id."""
        room = secrets.token_hex(8)
        self.rooms[room] = {"_id": room, "name": name, "t": "c", "members": list(members)}
        return room


class ChatRoomRoutes:
    """The routes of a server; `add_to` puts them into its application."""

    def __init__(self, state: ChatServerState, rooms: ChatRoomsState) -> None:
        self._state, self.rooms = state, rooms
        self._streams: list[tuple[web.WebSocketResponse, str]] = []

    def user_routes(self) -> dict[tuple[str, str], tuple[UserRoute, str, bool]]:
        """For who is signed in: route, permission, whether a second factor is asked for."""
        return {
            ("GET", "rooms.info"): (self._info, "", False),
            ("POST", "channels.create"): (self._create, "", False),
            ("POST", "chat.sendMessage"): (self._send, "", False),
            ("GET", "chat.getMessage"): (self._get, "", False),
            ("POST", "chat.delete"): (self._delete, "", False),
            ("POST", "rooms.media/{rid}"): (self._upload, "", False),
            ("POST", "rooms.mediaConfirm/{rid}/{file}"): (self._confirm, "", False),
            ("GET", "push.info"): (self._push_info, "", False),
            ("POST", "push.test"): (self._push_test, "test-push-notifications", False),
        }

    def add_to(self, application: web.Application) -> None:
        """What needs no sign-in, or another one than the API's."""
        application.router.add_get("/api/v1/service.configurations", self._services)
        application.router.add_get("/api/v1/settings.public", self._public)
        application.router.add_get("/file-upload/{file}/{name}", self._download)
        application.router.add_get("/websocket", self._open_stream)

    async def _services(self, _request: web.Request) -> Answer:
        shown = [{"_id": f"s-{name}", "service": name, "clientId": "chat"} for name in self.rooms.services]
        return web.json_response({"configurations": shown, "success": True})

    async def _public(self, request: web.Request) -> Answer:
        asked = [name for name in request.query.get("_id", "").split(",") if name]
        known = {"Accounts_ShowFormLogin": True, "LDAP_Enable": False, **self.rooms.public}
        shown = [
            {"_id": name, "value": value}
            for name, value in sorted(known.items())
            if value is not None and (not asked or name in asked)
        ]
        said = {"settings": shown, "count": len(shown), "offset": 0, "total": len(shown), "success": True}
        return web.json_response(said)

    async def _info(self, request: web.Request, user: ChatUser) -> Answer:
        name = request.query.get("roomName")
        for room in self.rooms.rooms.values():
            if room["name"] == name and user.id in room["members"]:
                shown = {key: value for key, value in room.items() if key != "members"}
                return web.json_response({"room": shown, "success": True})
        kind = "error-room-not-found"
        said = {"success": False, "error": f'The required "roomId" or "roomName" param is not valid [{kind}]'}
        return web.json_response({**said, "errorType": kind}, status=400)

    async def _create(self, request: web.Request, user: ChatUser) -> Answer:
        name = str((await request.json()).get("name"))
        if any(room["name"] == name for room in self.rooms.rooms.values()):
            return _refusal("error-duplicate-channel-name")
        room = self.rooms.rooms[self.rooms.add_room(name, user.id)]
        return web.json_response({"channel": {"_id": room["_id"], "name": name}, "success": True})

    async def _send(self, request: web.Request, user: ChatUser) -> Answer:
        given = (await request.json()).get("message") or {}
        if self.rooms.public.get("Cloud_Workspace_AirGapped_Restrictions_Remaining_Days") == 0:
            return _refusal("restricted-workspace")
        if not self._is_member(user, str(given.get("rid"))):
            return _refusal("error-not-allowed")
        message = await self._add_message(user, str(given["rid"]), str(given.get("msg", "")))
        return web.json_response({"message": message, "success": True})

    async def _get(self, request: web.Request, user: ChatUser) -> Answer:
        message = self.rooms.messages.get(request.query.get("msgId", ""))
        if message is None or not self._is_member(user, message["rid"]):
            return web.json_response({"success": False}, status=400)
        return web.json_response({"message": message, "success": True})

    async def _delete(self, request: web.Request, user: ChatUser) -> Answer:
        body = await request.json()
        message = self.rooms.messages.get(str(body.get("msgId")))
        if message is None or message["u"]["_id"] != user.id or not self.rooms.may_delete:
            return _refusal("error-action-not-allowed")
        del self.rooms.messages[message["_id"]]
        self.rooms.files.pop(str((message.get("file") or {}).get("_id")), None)
        shown = {name: message[name] for name in ("_id", "rid", "u")}
        return web.json_response({"_id": message["_id"], "message": shown, "ts": "1", "success": True})

    async def _upload(self, request: web.Request, user: ChatUser) -> Answer:
        if not self._is_member(user, request.match_info["rid"]):
            return web.json_response({"success": False, "error": "unauthorized"}, status=403)
        name, content = parse_upload(request.headers["Content-Type"], await request.read())
        if not name:
            return _refusal("error-file-required")
        file = secrets.token_hex(12)
        self.rooms.files[file] = content
        shown = {"_id": file, "url": f"/file-upload/{file}/{name}"}
        return web.json_response({"file": shown, "success": True})

    async def _confirm(self, request: web.Request, user: ChatUser) -> Answer:
        room, file = request.match_info["rid"], request.match_info["file"]
        if not self._is_member(user, room) or file not in self.rooms.files:
            return _refusal("invalid-file")
        message = await self._add_message(user, room, "", file={"_id": file, "name": "file"})
        return web.json_response({"message": message, "success": True})

    async def _download(self, request: web.Request) -> Answer:
        headers = request.headers
        user = self._state.check_token(headers.get("X-User-Id", ""), headers.get("X-Auth-Token", ""))
        content = self.rooms.files.get(request.match_info["file"])
        if user is None:
            return web.Response(status=403, text="Forbidden")
        if content is None:
            return web.Response(status=404)
        if self.rooms.redirects:
            return web.Response(status=302, headers={"Location": "https://store.example/x?signature=y"})
        return web.Response(body=content[::-1] if self.rooms.corrupts else content)

    async def _push_info(self, _request: web.Request, _user: ChatUser) -> Answer:
        enabled = self.rooms.public.get("Push_enable", True)
        said = {"pushGatewayEnabled": enabled, "defaultPushGateway": True, "success": True}
        return web.json_response(said)

    async def _push_test(self, _request: web.Request, user: ChatUser) -> Answer:
        count = self.rooms.devices.get(user.id, 0)
        if not count:
            return _refusal("error-no-tokens-for-this-user")
        return web.json_response({"tokensCount": count, "success": True})

    def _is_member(self, user: ChatUser, room: str) -> bool:
        return user.id in self.rooms.rooms.get(room, {}).get("members", ())

    async def _add_message(self, user: ChatUser, room: str, text: str, **more: Any) -> Document:
        author = {"_id": user.id, "username": user.username}
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = {
            "_id": secrets.token_hex(8), "rid": room, "msg": text, "u": author, "ts": now, "_updatedAt": now,
            **more,
        }  # fmt: skip
        self.rooms.messages[message["_id"]] = message
        self.rooms.sent.append(text)
        for socket, subscribed in [*self._streams]:
            if subscribed == room and not self.rooms.is_silent and not socket.closed:
                fields = {"eventName": room, "args": [message]}
                frame = {"msg": "changed", "collection": _STREAM, "id": "id", "fields": fields}
                await socket.send_str(json.dumps(frame))
        return message

    async def _open_stream(self, request: web.Request) -> web.StreamResponse:
        if not self.rooms.has_websocket:
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        # Meteor's first word, before anybody said hello.
        await socket.send_str(json.dumps({"server_id": "0"}))
        user: list[ChatUser] = []
        try:
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    await self._answer(socket, json.loads(received.data), user)
        except asyncio.CancelledError:  # the server is stopped under an open stream
            pass
        finally:
            self._streams = [one for one in self._streams if one[0] is not socket]
        return socket

    async def _answer(self, socket: web.WebSocketResponse, frame: Document, user: list[ChatUser]) -> None:
        match frame.get("msg"):
            case "connect":
                await socket.send_str(json.dumps({"msg": "connected", "session": "s"}))
                # The server wants to know at once whether somebody is there.
                await socket.send_str(json.dumps({"msg": "ping"}))
            case "method":
                user[:] = self._sign_in(str(frame["params"][0].get("resume")))
                error = {} if user else {"error": {"error": 403, "reason": "You've been logged out"}}
                result = {"result": {"id": user[0].id}} if user else {}
                await socket.send_str(json.dumps({"msg": "result", "id": frame["id"], **result, **error}))
            case "sub":
                room = str(frame["params"][0])
                if user and self._is_member(user[0], room):
                    self._streams.append((socket, room))
                    await socket.send_str(json.dumps({"msg": "ready", "subs": [frame["id"]]}))
                else:
                    refused = {"msg": "nosub", "id": frame["id"], "error": {"error": "not-allowed"}}
                    await socket.send_str(json.dumps(refused))

    def _sign_in(self, token: str) -> list[ChatUser]:
        known = (self._state.check_token(one.id, token) for one in self._state.users.values())
        return [user for user in known if user is not None][:1]


def parse_upload(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Name and content of the field `file` of a form; an empty name if there is none."""
    # Not by aiohttp: the body has been read by what records it, and its reader wants the stream.
    form = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in form.walk():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            return part.get_filename() or "", content if isinstance(content, bytes) else b""
    return "", b""


def _refusal(kind: str) -> Answer:
    said = {"success": False, "error": f"Refused [{kind}]", "errorType": kind}
    return web.json_response(said, status=400)
