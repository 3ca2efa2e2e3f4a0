"""The indexes: of every kind that Rocket.Chat asks for, and a few that other software leaves behind."""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel

from local.rocketchat.catalog import ODD_CAPPED, ODD_TYPES

DAY_SECONDS = 86_400
INSENSITIVE = {"locale": "en", "strength": 2}


def _index_model(keys: str, **options: Any) -> IndexModel:
    """`rid ts:-1 location:2dsphere` as an index model; a bare field ascends."""
    pairs: list[tuple[str, int | str]] = []
    for key in keys.split():
        field, _, kind = key.partition(":")
        pairs.append((field, int(kind) if kind.lstrip("-").isdigit() else kind or 1))
    return IndexModel(pairs, **options)


def index_models() -> dict[str, list[IndexModel]]:
    """What to build on each collection; a server may refuse some (text, hashed)."""
    return (
        {f"rocketchat_{name}": models for name, models in _prefixed_indexes().items()}
        | _other_indexes()
        | _grid_indexes()
    )


# Longer than other functions: it is one table, which is compared with the server's own by collection.
def _prefixed_indexes() -> dict[str, list[IndexModel]]:
    exists = {"tcount": {"$exists": True}}
    queued = {"status": "queued"}
    return {
        "message": [
            _index_model("rid ts _updatedAt"),
            _index_model("u._id", name="author"),
            _index_model("msg:text", name="msg_text"),
            _index_model("location:2dsphere"),
            _index_model("expireAt", expireAfterSeconds=0),
            _index_model("rid tlm:-1", partialFilterExpression=exists),
            _index_model("tmid", sparse=True),
            _index_model("file._id", sparse=True),
            _index_model("mentions.username", sparse=True),
            _index_model("ts:-1"),
        ],
        "room": [
            _index_model("name", unique=True, sparse=True),
            _index_model("t"),
            _index_model("u._id"),
            _index_model("prid", sparse=True),
            _index_model("fname", sparse=True),
            _index_model("uids", sparse=True),
            _index_model("teamId teamDefault", partialFilterExpression={"teamId": {"$exists": True}}),
            _index_model("open v.token", partialFilterExpression={"open": True}),
        ],
        "subscription": [
            _index_model("rid u._id", unique=True),
            _index_model("rid alert u._id"),
            _index_model("u._id name t"),
            _index_model("E2EKey", unique=True, sparse=True),
            _index_model("userHighlights.0", sparse=True),
            _index_model("ls", name="last seen"),
        ],
        "cron_history": [_index_model("intendedAt name", unique=True)],
        "message_reads": [_index_model("tmid userId", unique=True)],
        "workspace_credentials": [_index_model("scopes expirationDate accessToken", unique=True)],
        "livechat_inquiry": [
            _index_model("rid", unique=True),
            _index_model("priorityWeight ts", partialFilterExpression=queued),
        ],
        "livechat_contact": [
            _index_model("name", name="name_insensitive", sparse=True, collation=INSENSITIVE)
        ],
        "livechat_visitor": [
            _index_model("livechatData.$**"),
            _index_model("token", unique=True, sparse=True),
        ],
        "credential_tokens": [_index_model("expireAt", sparse=True, expireAfterSeconds=0)],
        "notification_queue": [
            _index_model("ts", expireAfterSeconds=2 * 3600),
            _index_model("schedule", sparse=True),
        ],
        "integration_history": [
            _index_model("_updatedAt", expireAfterSeconds=30 * DAY_SECONDS),
            _index_model("integration._id integration._createdBy._id"),
        ],
        "apps_logs": [_index_model("_updatedAt", expireAfterSeconds=30 * DAY_SECONDS)],
        "oauth_refresh_tokens": [_index_model("expires", expireAfterSeconds=30 * DAY_SECONDS)],
        "_trash": [
            _index_model("__collection__"),
            _index_model("_deletedAt", expireAfterSeconds=30 * DAY_SECONDS),
            _index_model("rid __collection__ _deletedAt"),
        ],
        "sessions": [
            _index_model("sessionId", background=True),
            _index_model("instanceId sessionId year month day", unique=True),
            _index_model("_computedAt", expireAfterSeconds=45 * DAY_SECONDS),
            _index_model("year month day:-1 userId"),
        ],
        "analytics": [_index_model("date"), _index_model("room._id date", unique=True, sparse=True)],
        "settings": [_index_model("blocked", sparse=True), _index_model("hidden", sparse=True)],
        "uploads": [_index_model("uploadedAt"), _index_model("rid"), _index_model("expiresAt", sparse=True)],
        "federation_events": [_index_model("roomId origin_server_ts"), _index_model("stateId", sparse=True)],
        "statistics": [_index_model("createdAt:-1")],
    }


def _other_indexes() -> dict[str, list[IndexModel]]:
    return {
        "users": [
            _index_model("username", unique=True, sparse=True),
            # The same keys twice, told apart by collation alone.
            _index_model(
                "username", name="username_insensitive", unique=True, sparse=True, collation=INSENSITIVE
            ),
            _index_model("emails.address", unique=True, sparse=True),
            _index_model(
                "emails.address",
                name="emails.address_insensitive",
                unique=True,
                sparse=True,
                collation=INSENSITIVE,
            ),
            _index_model("roles", sparse=True),
            _index_model("active", partialFilterExpression={"active": {"$exists": True}}),
            _index_model("freeSwitchExtension", unique=True, sparse=True),
            _index_model("services.resume.loginTokens.hashedToken", unique=True, sparse=True),
            _index_model("__rooms", sparse=True),
        ],
        "usersSessions": [_index_model("connections.instanceId"), _index_model("connections.id")],
        "instances": [_index_model("_updatedAt", expireAfterSeconds=60)],
        ODD_TYPES: [
            _index_model("kind:hashed"),
            _index_model("place:2d"),
            _index_model("kind", name="hiding", hidden=True),
        ],
        ODD_CAPPED: [_index_model("at:-1", sparse=True)],
    }


def _grid_indexes() -> dict[str, list[IndexModel]]:
    buckets = ("uploads", "avatars", "userDataFiles", "apps_packages")
    names = (*(f"rocketchat_{bucket}" for bucket in buckets), "assets", "custom_emoji", "custom_sounds")
    models: dict[str, list[IndexModel]] = {}
    for name in names:
        models[f"{name}.chunks"] = [_index_model("files_id n", unique=True)]
        models[f"{name}.files"] = [_index_model("filename uploadDate")]
    return models
