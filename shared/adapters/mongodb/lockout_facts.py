"""`LockoutSource` over Rocket.Chat's database: a few settings, and the newest statistics."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pymongo.database
from pymongo import ReadPreference

from shared.adapters.mongodb.client import connect, translate_errors
from shared.calendar.ports import LockoutFacts

_TIMEOUT_MS = 5_000
_TOKEN = "Cloud_Workspace_Supported_Versions_Token"  # noqa: S105 - a setting's name
_LICENCE, _DAYS = "Enterprise_License", "Cloud_Workspace_AirGapped_Restrictions_Remaining_Days"


class MongoLockoutFacts:
    """The database `database` of the server at `uri`, over a connection for each look."""

    def __init__(self, uri: str, database: str = "rocketchat") -> None:
        self._uri, self._name = uri, database

    def read_facts(self) -> LockoutFacts:
        """See `LockoutSource.read_facts`."""
        client = connect(self._uri)
        try:
            with translate_errors("reading when things end"):
                version = str(client.admin.command("buildInfo")["version"])
                preferred = ReadPreference.SECONDARY_PREFERRED
                return _read(client.get_database(self._name, read_preference=preferred), version)
        finally:
            client.close()


def _read(database: pymongo.database.Database[dict[str, Any]], mongodb: str) -> LockoutFacts:
    query = {"_id": {"$in": [_TOKEN, _LICENCE, _DAYS]}}
    found = database["rocketchat_settings"].find(query, {"value": 1}, max_time_ms=_TIMEOUT_MS)
    values = {str(one["_id"]): one.get("value") for one in found}
    statistics, days = database["rocketchat_statistics"], values.get(_DAYS)
    newest = statistics.find_one({}, {"version": 1}, sort=[("createdAt", -1)], max_time_ms=_TIMEOUT_MS)
    # The token comes with the answer of the collector: statistics without one were not taken there.
    # RocketChat/Rocket.Chat: apps/meteor/server/cron/usageReport.ts
    reported = statistics.find_one(
        {"statsToken": {"$exists": True}},
        {"createdAt": 1},
        sort=[("createdAt", -1)],
        max_time_ms=_TIMEOUT_MS,
    )
    # https://www.mongodb.com/docs/manual/reference/command/dbStats/#output
    stats = database.command("dbStats", maxTimeMS=_TIMEOUT_MS)
    return LockoutFacts(
        disk_total_bytes=int(stats.get("fsTotalSize") or 0),
        disk_used_bytes=int(stats.get("fsUsedSize") or 0),
        version=str((newest or {}).get("version") or ""),
        mongodb=mongodb,
        supported_versions=str(values.get(_TOKEN) or ""),
        licence=str(values.get(_LICENCE) or ""),
        # A number of JavaScript is a double as often as an integer.
        restricted_in=int(days) if isinstance(days, int | float) and not isinstance(days, bool) else None,
        reported_at=_aware((reported or {}).get("createdAt")),
    )


def _aware(value: object) -> datetime | None:
    """pymongo's dates are naive and in UTC, unless the client was told otherwise."""
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
