"""`ChatLobby` over the pages that the server answers without a sign-in.

`service.configurations` and `settings.public`: https://developer.rocket.chat/apidocs/settings. The settings'
names: RocketChat/Rocket.Chat, apps/meteor/server/settings/accounts.ts, ldap.ts, ee/server/settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.adapters.chat_probe.pages import ChatPages, connect_pages
from shared.kernel.errors import Unavailable
from shared.probes.model import ServerOffer

_TIMEOUT = timedelta(seconds=10)
# What the form takes, by the setting that switches it on.
_FORMS = {"Accounts_ShowFormLogin": "password", "LDAP_Enable": "ldap"}
_RESTRICTED = "Cloud_Workspace_AirGapped_Restrictions_Remaining_Days"


class PublicOffer:
    """The server behind `pages`."""

    def __init__(self, pages: ChatPages) -> None:
        self._pages = pages

    def read_offer(self) -> ServerOffer:
        """See `ChatLobby.read_offer`."""
        services = self._read("/api/v1/service.configurations").get("configurations")
        names = ",".join([*_FORMS, _RESTRICTED])
        # Servers before 7 do not know `_id`, and give the first fifty: what is not among them is unseen.
        shown = self._read(f"/api/v1/settings.public?_id={names}&count=50").get("settings")
        values = {str(one.get("_id")): one.get("value") for one in _objects(shown)}
        forms = {way for setting, way in _FORMS.items() if values.get(setting) is True}
        days = values.get(_RESTRICTED)
        return ServerOffer(
            frozenset(
                {str(one["service"]).lower() for one in _objects(services) if one.get("service")} | forms
            ),
            frozenset(way for setting, way in _FORMS.items() if not isinstance(values.get(setting), bool)),
            days if isinstance(days, int) and not isinstance(days, bool) else None,
        )

    def _read(self, path: str) -> Mapping[str, Any]:
        import requests

        place = path.partition("?")[0]
        try:
            status, text = self._pages.fetch(path)
        except requests.RequestException as error:
            raise Unavailable("Rocket.Chat does not answer", value=type(error).__name__) from error
        if status != 200:
            raise Unavailable("Rocket.Chat does not answer as it should", value=f"{place}: HTTP {status}")
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise Unavailable("Rocket.Chat's answer is no JSON", value=place) from error
        if not isinstance(answer, dict) or answer.get("success") is not True:
            raise Unavailable("Rocket.Chat's answer is no success", value=place)
        return answer


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def connect_offer(url: str) -> PublicOffer:
    """Imports requests. Raises UsageError for what is no HTTP address."""
    return PublicOffer(connect_pages(url, _TIMEOUT))
