"""The settings of commands from chat: one endpoint per system, each closed while its secret is empty."""

from __future__ import annotations

from shared.settings.setting import Setting

ROCKETCHAT_TOKENS = Setting(
    "GROUNDCREW_ROCKETCHAT_TOKENS",
    "The token of Rocket.Chat's outgoing webhook to `/api/chatops`; two, separated by white space, while one "
    "is exchanged for the other. Empty closes this endpoint.",
    "<the token that the integration shows>",
    default="",
    secret=True,
)
ROCKETCHAT_USER = Setting(
    "GROUNDCREW_ROCKETCHAT_USER",
    "The id of the Rocket.Chat user who reads messages back and posts answers, in the rooms of commands.",
    "rbAXPnMktTFbNpwtJ",
    default="",
)
ROCKETCHAT_USER_TOKEN = Setting(
    "GROUNDCREW_ROCKETCHAT_USER_TOKEN",
    "That user's personal access token.",
    "<43 characters>",
    default="",
    secret=True,
)
ROCKETCHAT_PASSWORD = Setting(
    "GROUNDCREW_ROCKETCHAT_PASSWORD",
    "The password of the Rocket.Chat user whose token is rotated, or who changes settings: Rocket.Chat asks "
    "for it as a second factor. That user has neither TOTP nor e-mail codes.",
    "<password>",
    default="",
    secret=True,
)
PROBE_USER = Setting(
    "GROUNDCREW_PROBE_USER",
    "The id of the Rocket.Chat user who writes a message and a file into `probes.channel` after a deploy and "
    "a start: a plain user who is in no other room.",
    "sT4nPbqWcXk2mZ7yR",
    default="",
)
PROBE_TOKEN = Setting(
    "GROUNDCREW_PROBE_TOKEN",
    "That user's personal access token.",
    "<43 characters>",
    default="",
    secret=True,
)
SLACK_SECRETS = Setting(
    "GROUNDCREW_SLACK_SIGNING_SECRETS",
    "The signing secret of the Slack app whose slash command goes to `/api/chatops`; two while one is "
    "exchanged. Empty closes this endpoint.",
    "<32 hex digits>",
    default="",
    secret=True,
)
TEAMS_SECRETS = Setting(
    "GROUNDCREW_TEAMS_SECRETS",
    "The security token of Teams' outgoing webhook to `/api/chatops`, in base64; two while one is exchanged. "
    "Empty closes this endpoint.",
    "<44 characters>",
    default="",
    secret=True,
)
