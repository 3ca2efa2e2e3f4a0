"""`ChatParticipant` over Rocket.Chat's REST API and its realtime stream.

https://developer.rocket.chat/apidocs: send-message, get-message, delete-message, push-notifications,
upload-media-files-to-a-room, send-uploaded-file-to-a-room.
"""

from __future__ import annotations

import time
from datetime import timedelta

from shared.adapters.chat_admin.realtime import RoomStream
from shared.adapters.chat_admin.rest import ChatApi, quoted
from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.probes.model import MessageTrip, PushAnswer, UploadTrip

_CONNECT_SECONDS = 10.0


class ProbeAccount:
    """The user of `api`: a plain one, who is in the probe's channel and may delete what he wrote."""

    def __init__(self, api: ChatApi) -> None:
        self._api = api

    def sign_in(self) -> None:
        """See `ChatParticipant.sign_in`."""
        who = self._api.get("me").get("_id")
        if who != self._api.user_id:
            raise Refused("the token is of another user", value=who)

    def send_message(self, channel: str, text: str, *, timeout: timedelta) -> MessageTrip:
        """See `ChatParticipant.send_message`."""
        room = self._find_room(channel)
        try:
            # Before the message: a stream shows only what comes after.
            stream = self._api.open_stream(room, timeout=_CONNECT_SECONDS)
        except (Unavailable, Refused) as error:
            return self._send_unseen(room, text, _describe(error))
        try:
            return self._send_seen(stream, room, text, timeout)
        finally:
            stream.close()

    def upload_file(self, channel: str, name: str, content: bytes) -> UploadTrip:
        """See `ChatParticipant.upload_file`. What is not confirmed the server removes after a day."""
        room = self._find_room(channel)
        uploaded = self._api.upload(f"rooms.media/{quoted(room)}", name, content).get("file")
        file = str((uploaded if isinstance(uploaded, dict) else {}).get("_id") or "")
        if not file:
            raise Unavailable("Rocket.Chat does not tell the id of an upload", value=room)
        confirmed = self._api.post(f"rooms.mediaConfirm/{quoted(room)}/{quoted(file)}", {})
        message = str((confirmed.get("message") or {}).get("_id") or "")
        status, came = self._api.download(f"/file-upload/{quoted(file)}/{quoted(name)}", limit=len(content))
        # Deleted by its message: the server removes the file with it.
        left_behind = self._delete(room, message)
        if 300 <= status < 400:
            problem = "the server redirects to its file store, which was not asked"
            return UploadTrip(None, problem, left_behind)
        if status != 200:
            return UploadTrip(False, f"the file is answered with HTTP {status}", left_behind)
        return UploadTrip(came == content, left_behind=left_behind)

    def test_push(self) -> PushAnswer:
        """See `ChatParticipant.test_push`."""
        if self._api.get("push.info").get("pushGatewayEnabled") is not True:
            return PushAnswer(enabled=False)
        try:
            count = self._api.post("push.test", {}).get("tokensCount")
        except Refused as error:
            reason = str(error.value)
            # The server's way to say that this user has no device; nothing was refused to anybody.
            if "error-no-tokens-for-this-user" in reason:
                return PushAnswer(enabled=True)
            return PushAnswer(enabled=True, problem=f"a test is refused: {reason}")
        return PushAnswer(enabled=True, devices=count if isinstance(count, int) else None)

    def _send_seen(self, stream: RoomStream, room: str, text: str, timeout: timedelta) -> MessageTrip:
        begun = time.monotonic()
        message = self._post(room, text)
        try:
            arrived = stream.wait_for(message, deadline=begun + timeout.total_seconds())
            problem = ""
        except (Unavailable, Refused) as error:
            arrived, problem = False, _describe(error)
        took = time.monotonic() - begun
        return MessageTrip(took if arrived else None, problem, self._delete(room, message))

    def _send_unseen(self, room: str, text: str, problem: str) -> MessageTrip:
        message = self._post(room, text)
        stored = self._api.get("chat.getMessage", {"msgId": message}).get("message") or {}
        left_behind = self._delete(room, message)
        if stored.get("msg") != text:
            raise Refused("the chat stored another text than was sent", value=message)
        return MessageTrip(None, problem, left_behind)

    def _post(self, room: str, text: str) -> str:
        answer = self._api.post("chat.sendMessage", {"message": {"rid": room, "msg": text}})
        message = str((answer.get("message") or {}).get("_id") or "")
        if not message:
            raise Unavailable("Rocket.Chat does not tell the id of a message", value=room)
        return message

    def _delete(self, room: str, message: str) -> str:
        """Why it stays; empty if it is gone."""
        try:
            self._api.post("chat.delete", {"roomId": room, "msgId": message})
        except GroundcrewError as error:
            return _describe(error)
        return ""

    def _find_room(self, channel: str) -> str:
        """Raises Refused where the account is not in it or it is not there, which look the same."""
        try:
            room = self._api.get("rooms.info", {"roomName": channel}).get("room") or {}
        except NotFound as error:
            raise Refused("the probe account sees no such channel", value=channel) from error
        return str(room.get("_id") or "")


def _describe(error: GroundcrewError) -> str:
    return error.message if error.value is None else f"{error.message}: {error.value}"
