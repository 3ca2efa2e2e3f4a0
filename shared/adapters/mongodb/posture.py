"""`ChatPosture` over the chat's database, with the rights of the built-in role `backup`, which reads all.

REST tells nobody whether others have a second factor, and leaves hidden settings out as if there were none.
Only what is asked is fetched: no hash of a password or a token, and of settings none that is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pymongo.database

from shared.adapters.mongodb.client import connect, translate_errors
from shared.hardening.model import (
    AccessToken,
    ChatAccount,
    ChatIntegration,
    ObservedChat,
    SettingChange,
)

_ADMIN, _PERSONAL = "admin", "personalAccessToken"
# What of sign-on is looked at; -secret and private keys are not.
_OAUTH = re.compile(
    r"^Accounts_OAuth_Custom-[^-]+(-(id|url|token_path|authorize_path|identity_path|key_field|merge_users"
    r"|merge_users_distinct_services|scope|token_sent_via|identity_token_sent_via|login_style|show_button"
    r"|username_field|email_field|name_field))?$"
)
_SAML = (
    "SAML_Custom_Default", "SAML_Custom_Default_signature_validation_type",
    "SAML_Custom_Default_signature_algorithm", "SAML_Custom_Default_validate_logout_request_signature",
    "SAML_Custom_Default_validate_logout_response_signature", "SAML_Custom_Default_cert",
    "SAML_Custom_Default_issuer", "SAML_Custom_Default_entry_point", "SAML_Custom_Default_provider",
    "SAML_Custom_Default_immutable_property",
)  # fmt: skip
_TOKENS = "services.resume.loginTokens"
_USER_FIELDS = dict.fromkeys(
    ("username", "roles", "active", "lastLogin", "services.totp.enabled", "services.email2fa.enabled",
     f"{_TOKENS}.type", f"{_TOKENS}.name", f"{_TOKENS}.createdAt", f"{_TOKENS}.bypassTwoFactor"), 1,
)  # fmt: skip
Document = Mapping[str, Any]
Database = pymongo.database.Database[dict[str, Any]]


class MongoPosture:
    """The database `database` of the server at `uri`, over a connection for each look."""

    def __init__(self, uri: str, database: str = "rocketchat") -> None:
        self._uri, self._name = uri, database

    def read_chat(self, settings: Sequence[str]) -> ObservedChat:
        """See `ChatPosture.read_chat`."""
        # A connection a day is not worth keeping open.
        client = connect(self._uri)
        try:
            with translate_errors("reading Rocket.Chat's settings"):
                return _read_chat(client[self._name], settings)
        finally:
            client.close()


def _read_chat(database: Database, settings: Sequence[str]) -> ObservedChat:
    documents = [*database["rocketchat_settings"].find(_setting_filter(settings), _SETTING_FIELDS)]
    permissions = database["rocketchat_permissions"].find({}, {"roles": 1})
    # Only whoever is looked at: a server of thousands of people is not read as a whole.
    query = {"$or": [{"roles": _ADMIN}, {f"{_TOKENS}.type": _PERSONAL}]}
    users = database["users"].find(query, _USER_FIELDS)
    hooks = database["rocketchat_integrations"].find({"enabled": True}, _HOOK_FIELDS)
    return ObservedChat(
        {str(one["_id"]): one.get("value") for one in documents},
        {str(one["_id"]): frozenset(map(str, one.get("roles") or ())) for one in permissions},
        tuple(map(_parse_account, users)),
        tuple(map(_parse_hook, hooks)),
        {str(one["_id"]): _find_last_change(database, one) for one in documents},
    )


def _find_last_change(database: Database, setting: Document) -> SettingChange:
    """Who, from the log of server events of versions that keep one; when, else from the setting itself.

    RocketChat/Rocket.Chat: apps/meteor/server/lib/auditServerEvents; not tried on a live server.
    """
    about = {"$elemMatch": {"key": "id", "value": setting["_id"]}}
    events = database["rocketchat_server_events"].find(
        {"t": "settings.changed", "data": about}, {"ts": 1, "actor.username": 1}
    )
    event = next(iter(events.sort("ts", -1).limit(1)), None)
    if event is not None:
        who = str((event.get("actor") or {}).get("username") or "")
        return SettingChange(_aware(event.get("ts")), who)
    return SettingChange(_aware(setting.get("_updatedAt")))


_SETTING_FIELDS = {"value": 1, "_updatedAt": 1}
_HOOK_FIELDS = dict.fromkeys(("name", "type", "scriptEnabled", "urls", "username"), 1)


def _setting_filter(settings: Sequence[str]) -> dict[str, Any]:
    return {"$or": [{"_id": {"$in": [*settings, *_SAML]}}, {"_id": {"$regex": _OAUTH.pattern}}]}


def _parse_account(user: Document) -> ChatAccount:
    services = user.get("services") or {}
    factors = (services.get("totp") or {}, services.get("email2fa") or {})
    tokens = (services.get("resume") or {}).get("loginTokens") or ()
    return ChatAccount(
        str(user.get("username") or user.get("_id")),
        _ADMIN in (user.get("roles") or ()),
        user.get("active") is not False,
        any(one.get("enabled") is True for one in factors),
        _aware(user.get("lastLogin")),
        tuple(
            AccessToken(
                str(one.get("name") or ""), _aware(one.get("createdAt")), one.get("bypassTwoFactor") is True
            )
            for one in tokens
            if one.get("type") == _PERSONAL
        ),
    )


def _parse_hook(hook: Document) -> ChatIntegration:
    return ChatIntegration(
        str(hook.get("name") or hook.get("_id")),
        hook.get("type") == "webhook-incoming",
        hook.get("scriptEnabled") is True,
        tuple(map(str, hook.get("urls") or ())),
        str(hook.get("username") or ""),
    )


def _aware(value: object) -> datetime | None:
    """pymongo's dates are naive and in UTC, unless the client was told otherwise."""
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
