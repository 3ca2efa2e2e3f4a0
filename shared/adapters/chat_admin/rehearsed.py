"""`StartedChat` over Rocket.Chat's REST API and its realtime stream, on a copy that nobody else is in.

https://developer.rocket.chat/apidocs: login, create-channel, list-integrations,
update-incoming-webhook-integration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.adapters.chat_admin.participant import ProbeAccount
from shared.adapters.chat_admin.rest import ChatApi, Json, connect_chat
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.rehearsal.model import PROBE_USER, ScriptState

# Slow: caches are cold, and the node does other things.
_ARRIVES_WITHIN = timedelta(seconds=60)
_CHANNEL = "groundcrew-rehearsal"
_INCOMING, _OUTGOING = "webhook-incoming", "webhook-outgoing"
# What an update takes beside its type and id; the server refuses what it does not know.
_FIELDS = {
    _INCOMING: ("name", "username", "alias", "avatar", "emoji", "scriptEnabled", "script"),
    _OUTGOING: (
        *("event", "name", "username", "alias", "avatar", "emoji", "scriptEnabled", "script", "urls"),
        *("triggerWords", "token", "targetRoom", "retryFailedCalls", "retryCount", "retryDelay"),
    ),
}


class RehearsedChat:
    """The server behind `api`, whose user is the rehearsal's own administrator."""

    def __init__(self, api: ChatApi, token: Secret) -> None:
        self._api, self._token = api, token
        self._account = ProbeAccount(api)

    def read_version(self) -> str:
        """See `StartedChat.read_version`."""
        status, body = self._api.download("/api/info", limit=1 << 16)
        if status != 200:
            return ""
        try:
            answer = json.loads(body)
        except ValueError:
            return ""
        return str(answer.get("version") or "") if isinstance(answer, dict) else ""

    def sign_in(self) -> str:
        """See `StartedChat.sign_in`."""
        answer = self._api.post("login", {"resume": self._token.reveal()})
        data = answer.get("data")
        who = data.get("userId") if isinstance(data, dict) else None
        if who != self._api.user_id:
            return "the login token is not taken"
        self._account.sign_in()
        return ""

    def send_message(self, text: str) -> str:
        """See `StartedChat.send_message`."""
        self._create_channel()
        trip = self._account.send_message(_CHANNEL, text, timeout=_ARRIVES_WITHIN)
        if trip.arrived_after is not None:
            return ""
        # It was stored: what did not bring it is the change stream.
        return f"stored, but the stream did not bring it: {trip.stream_problem or 'timed out'}"

    def upload_file(self, name: str, content: bytes) -> str:
        """See `StartedChat.upload_file`."""
        self._create_channel()
        trip = self._account.upload_file(_CHANNEL, name, content)
        return "" if trip.same_bytes else trip.problem or "the file came back with other bytes"

    def save_scripts(self) -> Sequence[ScriptState]:
        """See `StartedChat.save_scripts`."""
        found = self._api.pages("integrations.list", "integrations")
        with_scripts = [
            one for one in found if one.get("scriptEnabled") and str(one.get("script") or "").strip()
        ]
        return [self._save_script(one) for one in with_scripts]

    def _save_script(self, integration: Json) -> ScriptState:
        """The server compiles a script when it is saved, and notes `scriptError`.

        RocketChat/Rocket.Chat: apps/meteor/app/integrations/server/methods
        """
        name = str(integration.get("name") or integration.get("_id"))
        try:
            answer = self._api.put("integrations.update", _build_update(integration))
        except Refused as error:
            # Of some refusals the text is all there is: one of the script's syntax is an answer.
            is_script = "script" in str(error.value).lower()
            return ScriptState(name, str(error.value) if is_script else None)
        except GroundcrewError:
            return ScriptState(name)
        saved = answer.get("integration")
        if not isinstance(saved, dict):
            return ScriptState(name)
        problem = saved.get("scriptError")
        if isinstance(problem, dict):
            problem = problem.get("message") or problem.get("name") or "error"
        return ScriptState(name, str(problem) if problem else "")

    def _create_channel(self) -> None:
        try:
            self._api.post("channels.create", {"name": _CHANNEL})
        except Refused as error:
            if "duplicate-channel-name" not in str(error.value):
                raise


def _build_update(integration: Json) -> dict[str, Any]:
    """The whole of it as it is, so that nothing but the script's compilation changes; and switched off."""
    kind = _OUTGOING if integration.get("type") == _OUTGOING else _INCOMING
    body = {name: integration[name] for name in _FIELDS[kind] if integration.get(name) is not None}
    channel = integration.get("channel")
    # As it is written in the form, where several stand behind each other.
    text = ",".join(map(str, channel)) if isinstance(channel, list) else str(channel or "")
    return {"type": kind, "integrationId": integration.get("_id"), "enabled": False, "channel": text, **body}


def connect_rehearsed(address: str, user_id: str, token: str) -> RehearsedChat:
    """The started server. Raises UsageError for what is no address of this machine, or https."""
    secret = Secret(token)
    return RehearsedChat(connect_chat(address, user_id or PROBE_USER, secret, Secret("")), secret)
