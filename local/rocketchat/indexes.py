"""The indexes: of every kind that Rocket.Chat asks for, and a few that other software leaves behind."""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel

from local.rocketchat.catalog import ODD_CAPPED, ODD_TYPES

DAY_SECONDS = 86_400
INSENSITIVE = {"locale": "en", "strength": 2}


def _index(keys: str, **options: Any) -> IndexModel:
    """`rid ts:-1 location:2dsphere` as an index model; a bare field ascends."""
    pairs: list[tuple[str, int | str]] = []
    for key in keys.split():
        field, _, kind = key.partition(":")
        pairs.append((field, int(kind) if kind.lstrip("-").isdigit() else kind or 1))
    return IndexModel(pairs, **options)


def index_models() -> dict[str, list[IndexModel]]:
    """What to build on each collection; a server may refuse some (text, hashed)."""
    return {f"rocketchat_{name}": models for name, models in _prefixed().items()} | _others() | _grid()


def _prefixed() -> dict[str, list[IndexModel]]:
    exists = {"tcount": {"$exists": True}}
    queued = {"status": "queued"}
    return {
        "message": [
            _index("rid ts _updatedAt"),
            _index("u._id", name="author"),
            _index("msg:text", name="msg_text"),
            _index("location:2dsphere"),
            _index("expireAt", expireAfterSeconds=0),
            _index("rid tlm:-1", partialFilterExpression=exists),
            _index("tmid", sparse=True),
            _index("file._id", sparse=True),
            _index("mentions.username", sparse=True),
            _index("ts:-1"),
        ],
        "room": [
            _index("name", unique=True, sparse=True),
            _index("t"),
            _index("u._id"),
            _index("prid", sparse=True),
            _index("fname", sparse=True),
            _index("uids", sparse=True),
            _index("teamId teamDefault", partialFilterExpression={"teamId": {"$exists": True}}),
            _index("open v.token", partialFilterExpression={"open": True}),
        ],
        "subscription": [
            _index("rid u._id", unique=True),
            _index("rid alert u._id"),
            _index("u._id name t"),
            _index("E2EKey", unique=True, sparse=True),
            _index("userHighlights.0", sparse=True),
            _index("ls", name="last seen"),
        ],
        "cron_history": [_index("intendedAt name", unique=True)],
        "message_reads": [_index("tmid userId", unique=True)],
        "workspace_credentials": [_index("scopes expirationDate accessToken", unique=True)],
        "livechat_inquiry": [
            _index("rid", unique=True),
            _index("priorityWeight ts", partialFilterExpression=queued),
        ],
        "livechat_contact": [_index("name", name="name_insensitive", sparse=True, collation=INSENSITIVE)],
        "livechat_visitor": [_index("livechatData.$**"), _index("token", unique=True, sparse=True)],
        "credential_tokens": [_index("expireAt", sparse=True, expireAfterSeconds=0)],
        "notification_queue": [
            _index("ts", expireAfterSeconds=2 * 3600),
            _index("schedule", sparse=True),
        ],
        "integration_history": [
            _index("_updatedAt", expireAfterSeconds=30 * DAY_SECONDS),
            _index("integration._id integration._createdBy._id"),
        ],
        "apps_logs": [_index("_updatedAt", expireAfterSeconds=30 * DAY_SECONDS)],
        "oauth_refresh_tokens": [_index("expires", expireAfterSeconds=30 * DAY_SECONDS)],
        "_trash": [
            _index("__collection__"),
            _index("_deletedAt", expireAfterSeconds=30 * DAY_SECONDS),
            _index("rid __collection__ _deletedAt"),
        ],
        "sessions": [
            _index("sessionId", background=True),
            _index("instanceId sessionId year month day", unique=True),
            _index("_computedAt", expireAfterSeconds=45 * DAY_SECONDS),
            _index("year month day:-1 userId"),
        ],
        "analytics": [_index("date"), _index("room._id date", unique=True, sparse=True)],
        "settings": [_index("blocked", sparse=True), _index("hidden", sparse=True)],
        "uploads": [_index("uploadedAt"), _index("rid"), _index("expiresAt", sparse=True)],
        "federation_events": [_index("roomId origin_server_ts"), _index("stateId", sparse=True)],
        "statistics": [_index("createdAt:-1")],
    }


def _others() -> dict[str, list[IndexModel]]:
    return {
        "users": [
            _index("username", unique=True, sparse=True),
            # The same keys twice, told apart by collation alone.
            _index("username", name="username_insensitive", unique=True, sparse=True, collation=INSENSITIVE),
            _index("emails.address", unique=True, sparse=True),
            _index(
                "emails.address",
                name="emails.address_insensitive",
                unique=True,
                sparse=True,
                collation=INSENSITIVE,
            ),
            _index("roles", sparse=True),
            _index("active", partialFilterExpression={"active": {"$exists": True}}),
            _index("freeSwitchExtension", unique=True, sparse=True),
            _index("services.resume.loginTokens.hashedToken", unique=True, sparse=True),
            _index("__rooms", sparse=True),
        ],
        "usersSessions": [_index("connections.instanceId"), _index("connections.id")],
        "instances": [_index("_updatedAt", expireAfterSeconds=60)],
        ODD_TYPES: [_index("kind:hashed"), _index("place:2d"), _index("kind", name="hiding", hidden=True)],
        ODD_CAPPED: [_index("at:-1", sparse=True)],
    }


def _grid() -> dict[str, list[IndexModel]]:
    buckets = ("uploads", "avatars", "userDataFiles", "apps_packages")
    names = (*(f"rocketchat_{bucket}" for bucket in buckets), "assets", "custom_emoji", "custom_sounds")
    models: dict[str, list[IndexModel]] = {}
    for name in names:
        models[f"{name}.chunks"] = [_index("files_id n", unique=True)]
        models[f"{name}.files"] = [_index("filename uploadDate")]
    return models
