"""`ChatSettingsWriter` over Rocket.Chat's REST API."""

from __future__ import annotations

from typing import Any

from shared.adapters.chat_admin.rest import ChatApi, quoted
from shared.kernel.errors import NotFound, Refused


class ChatSettings:
    """Settings of the server, as the administrator of `api`."""

    def __init__(self, api: ChatApi) -> None:
        self._api = api

    def add_provider(self, name: str) -> None:
        """See `ChatSettingsWriter.add_provider`. The server makes each of its settings if it is not there."""
        self._api.post("settings.addCustomOAuth", {"name": name})

    def set_setting(self, setting: str, value: Any) -> None:
        """See `ChatSettingsWriter.set_setting`. An id that is not there is answered with 400 and no text."""
        try:
            self._api.post(f"settings/{quoted(setting)}", {"value": value})
        except Refused as error:
            if str(error.value).endswith(": HTTP 400"):
                raise NotFound("Rocket.Chat has no such setting, or hides it", value=setting) from error
            raise
