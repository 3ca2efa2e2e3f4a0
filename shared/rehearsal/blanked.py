"""What is blanked in the copy before Rocket.Chat is started on it, so that it speaks to nobody.

The namespace denies all traffic. This is the second lock: should a cluster's network plugin not enforce its
policies, a copy of production must still send no mail, push, webhook or event, and must not register itself
as the workspace that it is a copy of.
"""

from __future__ import annotations

from dataclasses import dataclass

NOWHERE = "127.0.0.1"
_DISCARD = 9  # RFC 863: nobody listens there in the pod


@dataclass(frozen=True, slots=True)
class BlankedSetting:
    """A setting of Rocket.Chat, what it is in the copy, and what the environment overrides it with.

    `override` is empty where a variable cannot do it: Rocket.Chat ignores empty ones.
    https://github.com/RocketChat/Rocket.Chat/blob/8.6.0/apps/meteor/app/settings/server/functions/overwriteSetting.ts
    """

    id: str
    value: str | bool | int
    override: str = ""


def _off(*names: str) -> tuple[BlankedSetting, ...]:
    return tuple(BlankedSetting(name, False, "false") for name in names)


def _empty(*names: str) -> tuple[BlankedSetting, ...]:
    return tuple(BlankedSetting(name, "") for name in names)


# By what they would reach. The ids are those of apps/meteor/server/settings of Rocket.Chat 7.x to 9.0.
MAIL = (
    BlankedSetting("SMTP_Host", NOWHERE, NOWHERE),
    BlankedSetting("SMTP_Port", _DISCARD, str(_DISCARD)),
    *_empty("SMTP_Username", "SMTP_Password", "Direct_Reply_Username", "Direct_Reply_Password"),
    *_off("Direct_Reply_Enable"),
)
PUSH = (
    *_off("Push_enable", "Push_enable_gateway"),
    BlankedSetting("Push_gateway", f"http://{NOWHERE}:{_DISCARD}", f"http://{NOWHERE}:{_DISCARD}"),
    *_empty("Push_apn_key", "Push_apn_cert", "Push_gcm_api_key", "Push_google_api_credentials"),
)
WEBHOOKS = (
    *_empty("Livechat_webhookUrl", "Livechat_secret_token", "SlackBridge_APIToken", "SlackBridge_BotToken"),
    *_off("SlackBridge_Enabled", "IRC_Enabled", "SMS_Enabled", "Smarsh_Enabled"),
)
FEDERATION = _off("Federation_Matrix_enabled", "Federation_Service_Enabled", "FEDERATION_Enabled")
CLOUD = (
    *_off(
        "Register_Server", "Statistics_reporting", "Update_EnableChecker", "Cloud_Service_Agree_PrivacyTerms"
    ),
    *_empty("Cloud_Workspace_Id", "Cloud_Workspace_Client_Id", "Cloud_Workspace_Client_Secret"),
    *_empty("Cloud_Workspace_Access_Token", "Cloud_Workspace_Registration_Client_Uri"),
)
# Uploads of the rehearsal must not land in production's bucket, nor directories be asked.
STORES = (
    BlankedSetting("FileUpload_Storage_Type", "GridFS", "GridFS"),
    *_empty("FileUpload_S3_AWSAccessKeyId", "FileUpload_S3_AWSSecretAccessKey"),
    *_empty("FileUpload_GoogleStorage_Secret", "FileUpload_Webdav_Password"),
    *_off("LDAP_Background_Sync"),
)
SETTINGS = (*MAIL, *PUSH, *WEBHOOKS, *FEDERATION, *CLOUD, *STORES)
# Emptied: tokens of phones, of the cloud, mailboxes that are read, and mails and pushes that wait.
EMPTIED_COLLECTIONS = (
    "_raix_push_app_tokens",
    "rocketchat_workspace_credentials",
    "rocketchat_email_inbox",
    "rocketchat_notification_queue",
)
# Switched off, row by row: their scripts are kept, since it is asked whether they compile.
DISABLED_COLLECTION = "rocketchat_integrations"
AREAS = ("SMTP", "push", "webhooks", "federation", "cloud registration", "file stores")
# Of the chart's own environment these stay behind: where the data are, who else is spoken to, and the cloud.
OWN_VARIABLES = frozenset({
    "MONGO_URL", "MONGO_OPLOG_URL", "MAIL_URL", "TRANSPORTER", "PORT", "ROOT_URL_PATH_PREFIX", "REG_TOKEN",
    "HTTP_PROXY", "HTTPS_PROXY", "AUTO_ACCEPT_FINGERPRINT", "NODE_TLS_REJECT_UNAUTHORIZED",
})  # fmt: skip


def list_overrides() -> dict[str, str]:
    """The variables that hold the settings down, whatever the chart's values or the data say."""
    return {f"OVERWRITE_SETTING_{one.id}": one.override for one in SETTINGS if one.override}
