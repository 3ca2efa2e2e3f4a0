"""`RehearsalDatabase` over pymongo: the restored copy, blanked and prepared for a start."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import OperationFailure

from shared.adapters.mongodb.client import Client, translate_errors
from shared.kernel.errors import Unavailable
from shared.rehearsal.blanked import DISABLED_COLLECTION, EMPTIED_COLLECTIONS, SETTINGS
from shared.rehearsal.manifest import REPLICA_SET
from shared.rehearsal.model import MARKER_COLLECTION, MARKER_DATABASE, PROBE_USER, MigrationControl
from shared.restore.drill.cluster.model import MONGODB_PORT

_TIMEOUT_MS = 30_000
_ALREADY_INITIALIZED = 23
# Switches of ways to sign in: of OAuth the name alone, whose own settings follow it behind a dash or a line.
_SIGN_IN = re.compile(r"Accounts_OAuth_(Custom-\w+|[A-Za-z0-9]+)|LDAP_Enable|SAML_Custom_Default|CAS_enabled")


class MongoRehearsal:
    """The server that the client leads to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def close(self) -> None:
        """See `RehearsalDatabase.close`."""
        self._client.close()

    def make_primary(self) -> None:
        """See `RehearsalDatabase.make_primary`. Raises Unavailable until it is one: ask again."""
        admin = self._client.admin
        with translate_errors("preparing the rehearsal's MongoDB"):
            if admin.command("hello").get("isWritablePrimary"):
                return
            # The name by which Rocket.Chat reaches it, within the pod.
            member = {"_id": 0, "host": f"127.0.0.1:{MONGODB_PORT}"}
            try:
                admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": [member]}})
            except OperationFailure as error:
                if error.code != _ALREADY_INITIALIZED:
                    raise
        # Its election takes a moment, and the driver notices by another look.
        raise Unavailable("the rehearsal's MongoDB takes no writes yet")

    def blank(self, database: str) -> Sequence[str]:
        """See `RehearsalDatabase.blank`."""
        db, changed = self._client[database], []
        with translate_errors("blanking what leads out of the copy"):
            settings, now = db["rocketchat_settings"], datetime.now(UTC)
            for one in SETTINGS:
                change = {"$set": {"value": one.value, "_updatedAt": now}}
                # One that is not there is made by the start, under the override of the environment.
                if settings.update_one({"_id": one.id, "value": {"$ne": one.value}}, change).modified_count:
                    changed.append(one.id)
            changed += [name for name in EMPTIED_COLLECTIONS if db[name].delete_many({}).deleted_count]
            off = {"$set": {"enabled": False}}
            if db[DISABLED_COLLECTION].update_many({"enabled": {"$ne": False}}, off).modified_count:
                changed.append(DISABLED_COLLECTION)
        return changed

    def add_probe_user(self, database: str, token: str) -> str:
        """See `RehearsalDatabase.add_probe_user`. Only the token's hash is stored, as Meteor does."""
        now = datetime.now(UTC)
        hashed = base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()
        user = {
            "_id": PROBE_USER, "username": PROBE_USER, "name": "Rehearsal", "type": "user", "active": True,
            "roles": ["admin"], "status": "offline", "settings": {}, "__rooms": [],
            "emails": [{"address": "rehearsal@groundcrew.invalid", "verified": True}],
            "services": {"resume": {"loginTokens": [{"when": now, "hashedToken": hashed}]}},
            "createdAt": now, "_updatedAt": now,
        }  # fmt: skip
        with translate_errors("adding the rehearsal's user"):
            self._client[database]["users"].replace_one({"_id": PROBE_USER}, user, upsert=True)
        return PROBE_USER

    def open_start_gate(self) -> None:
        """See `RehearsalDatabase.open_start_gate`."""
        marker = {"_id": "start", "at": datetime.now(UTC)}
        with translate_errors("letting Rocket.Chat start"):
            collection = self._client[MARKER_DATABASE][MARKER_COLLECTION]
            collection.replace_one({"_id": "start"}, marker, upsert=True)

    def read_control(self, database: str) -> MigrationControl | None:
        """See `RehearsalDatabase.read_control`."""
        with translate_errors("reading the migration counter"):
            found = self._client[database]["migrations"].find_one({"_id": "control"}, max_time_ms=_TIMEOUT_MS)
        version = (found or {}).get("version")
        # A number of JavaScript may be stored as a double.
        if found is None or isinstance(version, bool) or not isinstance(version, int | float):
            return None
        return MigrationControl(int(version), bool(found.get("locked")))

    def measure_bytes(self) -> int:
        """See `RehearsalDatabase.measure_bytes`: data and indexes, and not what the file system holds beside.

        https://www.mongodb.com/docs/manual/reference/command/dbStats/#output
        """
        with translate_errors("measuring the copy"):
            return sum(map(self._measure_database, self._client.list_database_names()))

    def _measure_database(self, name: str) -> int:
        stats = self._client[name].command("dbStats", maxTimeMS=_TIMEOUT_MS)
        return int(stats.get("storageSize") or 0) + int(stats.get("indexSize") or 0)

    def list_sign_in_methods(self, database: str) -> frozenset[str]:
        """See `RehearsalDatabase.list_sign_in_methods`."""
        query: dict[str, Any] = {"value": True}
        with translate_errors("reading the ways to sign in"):
            found = self._client[database]["rocketchat_settings"].find(
                query, {"_id": 1}, max_time_ms=_TIMEOUT_MS
            )
            return frozenset(str(one["_id"]) for one in found if _SIGN_IN.fullmatch(str(one["_id"])))
