"""The collections of a Rocket.Chat database, the many empty ones included, with their options and the view.

A server fresh from the box has most of them empty; in one that is used, as made here, 50 of 86 are. The `odd`
ones are no part of Rocket.Chat: they hold what it does not write today and a backup must carry all the same.
"""

from __future__ import annotations

from typing import Any

from local.rocketchat.dice import split_words

Options = dict[str, Any]

_UNPREFIXED = split_words(
    "users usersSessions instances migrations rocketchat__trash _raix_push_app_tokens pbx_events "
    "ufsTokens assets.files assets.chunks custom_emoji.files custom_emoji.chunks custom_sounds.files "
    "custom_sounds.chunks meteor_accounts_loginServiceConfiguration meteor_oauth_pendingCredentials "
    "meteor_oauth_pendingRequestTokens"
)
_PREFIXED = split_words(
    "message room subscription sessions oembed_cache integration_history notification_queue apps "
    "apps_logs apps_persistence apps_scheduler cron cron_history credential_tokens message_reads "
    "oauth_apps oauth_refresh_tokens server_events workspace_credentials email_inbox raw_imports "
    "analytics team matrix_bridged_users federation_servers federation_keys federation_room_events "
    "federation_events federation_events_staging federation_locks livechat_inquiry "
    "livechat_department livechat_department_agents livechat_contact livechat_trigger livechat_tag "
    "livechat_priority livechat_unit_monitors livechat_custom_field livechat_visitor uploads.files "
    "uploads.chunks avatars.files avatars.chunks userDataFiles.files userDataFiles.chunks "
    "apps_packages.files apps_packages.chunks settings statistics permissions roles uploads avatars "
    "user_data_files custom_emoji custom_sounds custom_user_status integrations invites import "
    "reports export_operations message_read_receipt smarsh_history webdav_accounts "
    "livechat_agent_activity video_conference media_calls"
)
COLLECTIONS = (*_UNPREFIXED, *(f"rocketchat_{name}" for name in _PREFIXED))

ODD_TYPES, ODD_IDS, ODD_CAPPED, ODD_VALIDATED = "odd_types", "odd_ids", "odd_capped", "odd_validated"
ODD_COLLATED, ODD_NAME, ODD_SERIES = "odd_collated", "odd.Näme 1", "odd_series"

ODD_OPTIONS: dict[str, Options] = {
    ODD_TYPES: {},
    ODD_IDS: {},
    ODD_NAME: {},
    ODD_CAPPED: {"capped": True, "size": 1 << 20, "max": 500},
    ODD_COLLATED: {"collation": {"locale": "en", "strength": 2}},
    ODD_VALIDATED: {
        "validator": {"$jsonSchema": {"bsonType": "object", "required": ["name"]}},
        "validationLevel": "moderate",
        "validationAction": "error",
    },
}
SERIES_OPTIONS: Options = {"timeField": "at", "metaField": "from", "granularity": "minutes"}

VIEW = "view_livechat_queue_status"
VIEW_ON = "rocketchat_room"
# Old servers kept this view; a migration dropped it.
VIEW_PIPELINE: list[Options] = [
    {"$match": {"t": "l", "open": True}},
    {"$group": {"_id": "$departmentId", "chats": {"$sum": 1}, "since": {"$min": "$ts"}}},
    {"$sort": {"chats": -1, "_id": 1}},
]
