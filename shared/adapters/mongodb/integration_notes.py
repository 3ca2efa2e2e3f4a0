"""`IntegrationNotes` over Rocket.Chat's database: which integrations are on, and how their last call ended.

Of scripts only whether they compile is read, of the history only whether, where and when it failed: neither
texts of messages nor answers. RocketChat/Rocket.Chat, triggerHandler.ts and updateHistory.ts of
apps/meteor/app/integrations/server/lib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pymongo.database
from pymongo import ReadPreference

from shared.adapters.mongodb.client import connect, translate_errors
from shared.probes.model import IntegrationState

Database = pymongo.database.Database[dict[str, Any]]

_TIMEOUT_MS = 3_000
_MOST = 200
_FIELDS = {"name": 1, "type": 1, "scriptEnabled": 1, "scriptError": 1}
_HISTORY_FIELDS = {"error": 1, "finished": 1, "step": 1, "_createdAt": 1}
_OUTGOING = "webhook-outgoing"


class MongoIntegrationNotes:
    """The database `database` of the server at `uri`, over a connection for each look."""

    def __init__(self, uri: str, database: str = "rocketchat") -> None:
        self._uri, self._name = uri, database

    def read_integrations(self) -> Sequence[IntegrationState]:
        """See `IntegrationNotes.read_integrations`."""
        client = connect(self._uri)
        try:
            with translate_errors("reading the history of integrations"):
                preferred = ReadPreference.SECONDARY_PREFERRED
                database = client.get_database(self._name, read_preference=preferred)
                found = database["rocketchat_integrations"].find(
                    {"enabled": True}, _FIELDS, limit=_MOST, sort=[("_id", 1)], max_time_ms=_TIMEOUT_MS
                )
                return [_read_state(database, one) for one in list(found)]
        finally:
            client.close()


def _read_state(database: Database, integration: Mapping[str, Any]) -> IntegrationState:
    name = _clean(integration.get("name") or integration["_id"])
    # What an integration compiles to is stored with the error of the attempt, where there is one.
    broken = integration.get("scriptEnabled") is True and bool(integration.get("scriptError"))
    if integration.get("type") != _OUTGOING:
        return IntegrationState(name, script_error=broken)
    last = database["rocketchat_integration_history"].find_one(
        {"integration._id": integration["_id"]},
        _HISTORY_FIELDS,
        sort=[("_createdAt", -1)],
        max_time_ms=_TIMEOUT_MS,
    )
    if last is None:
        return IntegrationState(name, outgoing=True, script_error=broken)
    at = last.get("_createdAt")
    return IntegrationState(
        name, True, broken, last.get("error") is True, _clean(last.get("step") or ""),
        at.replace(tzinfo=UTC) if isinstance(at, datetime) else None,
    )  # fmt: skip


def _clean(value: object) -> str:
    """Names are people's: without what would break a line or mention somebody."""
    return "".join(sign for sign in str(value) if sign.isprintable() and sign not in "`@")[:60]
