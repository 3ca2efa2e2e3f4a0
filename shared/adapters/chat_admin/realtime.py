"""The realtime stream of a room, as every client gets it: Meteor's DDP over a WebSocket.

https://github.com/meteor/meteor/blob/devel/packages/ddp/DDP.md; the stream's name and its arguments:
https://developer.rocket.chat/apidocs/stream-room-messages
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    from websocket import WebSocket

_STREAM = "stream-room-messages"
_MOST_FRAMES = 1_000  # a channel of its own is silent; another one must not keep us for ever
_LOGIN, _SUBSCRIPTION = "login", "messages"


class RoomStream:
    """An open stream; `deadline` is of `time.monotonic`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    def wait_for(self, message: str, *, deadline: float) -> bool:
        """Whether the message of that id arrives in time. Raises Unavailable if the stream ends before."""

        def arrives(frame: Mapping[str, Any]) -> bool:
            fields = frame.get("fields")
            if frame.get("msg") != "changed" or frame.get("collection") != _STREAM:
                return False
            shown = fields.get("args") if isinstance(fields, Mapping) else None
            return any(isinstance(one, Mapping) and one.get("_id") == message for one in shown or ())

        return self._read_until(arrives, deadline)

    def close(self) -> None:
        """Hang up, without the handshake of a close."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def sign_in(self, token: Secret, room: str, *, deadline: float) -> None:
        """Say hello, sign in, subscribe. Raises Refused for what the server refuses, Unavailable."""
        self._send({"msg": "connect", "version": "1", "support": ["1"]})
        self._expect(lambda frame: frame.get("msg") == "connected", "a session", deadline)
        login = {"msg": "method", "method": "login", "id": _LOGIN, "params": [{"resume": token.reveal()}]}
        self._send(login)
        self._expect(lambda frame: frame.get("msg") == "result", "a sign-in", deadline)
        options = {"useCollection": False, "args": []}
        self._send({"msg": "sub", "id": _SUBSCRIPTION, "name": _STREAM, "params": [room, options]})
        self._expect(lambda frame: frame.get("msg") == "ready", "a subscription", deadline)

    def _expect(self, wanted: Callable[[Mapping[str, Any]], bool], what: str, deadline: float) -> None:
        if not self._read_until(wanted, deadline):
            raise Unavailable("the realtime stream gives no answer", value=what)

    def _read_until(self, wanted: Callable[[Mapping[str, Any]], bool], deadline: float) -> bool:
        """Whether a frame comes that is wanted; answers pings meanwhile, or the server would hang up."""
        for _ in range(_MOST_FRAMES):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            frame = self._receive(left)
            if frame is None:
                return False
            if frame.get("msg") == "ping":
                self._send({"msg": "pong", **({"id": frame["id"]} if "id" in frame else {})})
            elif frame.get("error") is not None:
                raise Refused("the realtime stream refuses the probe account", value=_describe(frame))
            elif wanted(frame):
                return True
        return False

    def _receive(self, seconds: float) -> Mapping[str, Any] | None:
        """The next frame; None if none comes in time. Raises Unavailable."""
        from websocket import WebSocketException, WebSocketTimeoutException

        self._socket.settimeout(seconds)
        try:
            text = self._socket.recv()
        except WebSocketTimeoutException:
            return None
        except (WebSocketException, OSError) as error:
            raise Unavailable("the realtime stream broke off", value=type(error).__name__) from error
        try:
            frame = json.loads(text or "{}")
        except ValueError as error:
            raise Unavailable("the realtime stream does not speak DDP") from error
        return frame if isinstance(frame, dict) else {}

    def _send(self, frame: Mapping[str, Any]) -> None:
        from websocket import WebSocketException

        try:
            self._socket.send(json.dumps(frame))
        except (WebSocketException, OSError) as error:
            raise Unavailable("the realtime stream broke off", value=type(error).__name__) from error


def open_room_stream(address: str, token: Secret, room: str, *, timeout: float) -> RoomStream:
    """The stream of the room at the server's address. Raises Unavailable, Refused."""
    from websocket import WebSocketException, create_connection

    parts = urlsplit(address)
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/websocket"
    try:
        # Neither redirects nor a proxy of the environment: the token goes to nobody but the server.
        socket = create_connection(
            url, timeout=timeout, redirect_limit=0, suppress_origin=True, http_no_proxy=["*"]
        )
    except (WebSocketException, OSError, ValueError) as error:
        raise Unavailable("no WebSocket to the chat", value=_describe_refusal(error)) from error
    stream = RoomStream(socket)
    try:
        stream.sign_in(token, room, deadline=time.monotonic() + timeout)
    except BaseException:
        stream.close()
        raise
    return stream


def _describe_refusal(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"HTTP {status}" if status else type(error).__name__


def _describe(frame: Mapping[str, Any]) -> str:
    error = frame["error"]
    shown = error.get("error") or error.get("reason") if isinstance(error, Mapping) else error
    return str(shown)[:200]
